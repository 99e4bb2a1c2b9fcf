"""Sample on vLLM servers over HTTP: this process needs no vllm, and any version of it can serve.

A refresh writes the weights to a folder that both sides see, has every server read them, drops the servers' prefix
caches, and labels the weights. The label is asked for before and after every batch: a server that was restarted, or
that another run has used, is noticed. What a label cannot show (a reload that answers 200 and keeps a weight) the
tripwire does (`policy.tripwire`).
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from fastslow.core import processes
from fastslow.core.errors import BadInput, EngineError, quoted
from fastslow.policy.dealing import Dealer
from fastslow.policy.engines.base import Prompt, Sample, SamplingParams, go_on
from fastslow.policy.engines.calls import Calls, all_of
from fastslow.policy.engines.servable import check_prepared
from fastslow.policy.engines.servers import Answer, Card, VllmServer
from fastslow.policy.engines.transport import Adapters, Transport, WholeWeights
from fastslow.policy.trials import vocabulary

AT_ONCE = 256
"""Most requests of one process in flight at each server, which has a queue of its own."""

TOKENIZER_PROBE = "Two plus 2 is four: naïve façade, 一二三.\n\tdef f(x): return x ** 2  # 0.5"
"""A text that tokenizers of different families cut differently."""


class VllmEngine:
    """Sample on the servers at `urls`, with the weights of `model`.

    Each process has servers of its own where there are enough, and deals its prompts to them so that a context stays
    where its tokens were computed.

    Args:
        model: the model in training; where its adapters are off during a refresh, the model without them.
        tokenizer: the model's, compared with the servers'.
        urls: of the servers.
        adapters: bring the adapters of a LoRA run instead of whole weights.
        eos_ids: tokens that end a completion.
        dtype: type that the servers compute in.

    Raises:
        BadInput: for a server that cannot be reached, is none of vLLM's, lacks an endpoint, or serves another model.
    """

    separate = True

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        urls: Sequence[str],
        adapters: bool,
        eos_ids: Sequence[int],
        dtype: torch.dtype,
    ):
        self.proceed = go_on
        self._eos = sorted(set(eos_ids))
        self._calls = Calls()
        self._servers = [VllmServer(url, vocabulary(model)) for url in urls]
        self._own = servers_of(processes.rank(), processes.count(), len(urls))
        self._dealer = Dealer()
        self._run = processes.from_main(lambda: uuid.uuid4().hex[:12])
        self._cards = processes.from_main(lambda: self._inspect(tokenizer, adapters, dtype))
        root = processes.from_main(lambda: self._roots(model))
        self._transport: Transport = Adapters(model, root) if adapters else WholeWeights(model, root, dtype)
        self._pushes = 0
        self._label = ""
        self._version: int | None = None
        self._answered: dict[tuple[tuple[int, ...], int], str] = {}
        self._usage = {"prefill_tokens": 0, "decode_tokens": 0, "prompt_tokens": 0}
        self._cached: int | None = None

    @property
    def window(self) -> int:
        return min(card.window for card in self._cards)

    def refresh(self, version: int) -> None:
        if version != self._version:
            self._version, self._pushes = None, self._pushes + 1
            self._label = f"{self._run}-{self._pushes}"
            self._transport.write(self._label)
            self.forget()
        processes.from_main(lambda: self._calls.run(self._hold(self._servers)))
        self._version = version

    def forget(self) -> None:
        self._dealer.forget()

    def sample(self, prompts: Sequence[Prompt], params: SamplingParams) -> list[Sample]:
        if self._version is None:
            raise RuntimeError("refresh(version) must be called before sampling")
        answers = self._calls.run(self._answers(prompts, params))
        self._count(answers)
        return [answer.sample for answer in answers]

    def place(self, prompt: Prompt) -> str:
        return self._answered.get((prompt.ids, prompt.seed), "one of the vLLM servers")

    def describe(self) -> dict[str, Any]:
        urls = [server.url for server in self._servers]
        return {"engine": "vllm", "version": self._cards[0].version, "urls": urls}

    def usage(self) -> dict[str, float]:
        return dict(self._usage) if self._cached is None else {**self._usage, "cached_tokens": self._cached}

    def close(self) -> None:
        self._version = None
        self._transport.clear()
        self._calls.run(all_of([server.close() for server in self._servers], at_once=len(self._servers)))
        self._calls.close()

    # Weights

    async def _hold(self, servers: Sequence[VllmServer]) -> None:
        """Have every server hold the newest weights: those that do not are pushed to."""
        await all_of([self._hold_at(server) for server in servers], at_once=len(servers))

    async def _hold_at(self, server: VllmServer) -> None:
        if await server.weight_version() == self._label:
            return
        await server.set_weight_version(f"{self._label}-pending")  # whoever else uses the server sees it change hands
        await self._transport.push(server)
        await server.reset_prefix_cache()
        await server.set_weight_version(self._label)
        if (told := await server.weight_version()) != self._label:
            raise EngineError(f"the vLLM server at {server.url} labels its weights '{told}', not '{self._label}'.")

    # Answers

    async def _answers(self, prompts: Sequence[Prompt], params: SamplingParams) -> list[Answer]:
        contexts = [prompt.ids[: prompt.prefix] or prompt.ids for prompt in prompts]
        dealt = self._dealer.deal(contexts, len(self._own))
        home = {place: self._own[i] for i, places in enumerate(dealt) for place in places}

        async def answer(at: int) -> Answer:
            self.proceed()
            name = self._transport.asked_for(self._cards[home[at]])
            return await self._servers[home[at]].complete(name, prompts[at], params, self._eos)

        calls = [answer(at) for at in range(len(prompts))]
        answers = await all_of(calls, at_once=AT_ONCE * len(self._own))
        for at in sorted(set(home.values())):
            server = self._servers[at]
            if (told := await server.weight_version()) != self._label:
                raise EngineError(
                    f"the vLLM server at {server.url} changed its weights while it answered (their label is now "
                    f"'{told}'): it was restarted, or another run uses it."
                )
        self._answered = {(p.ids, p.seed): self._servers[home[at]].url for at, p in enumerate(prompts)}
        return answers

    def _count(self, answers: Sequence[Answer]) -> None:
        for answer in answers:
            cached = answer.cached_tokens
            self._usage["prompt_tokens"] += answer.prompt_tokens
            self._usage["prefill_tokens"] += answer.prompt_tokens - (cached or 0)
            self._usage["decode_tokens"] += len(answer.sample.ids) - 1
            if cached is not None:
                self._cached = (self._cached or 0) + cached

    # Checks before the first refresh

    def _inspect(self, tokenizer: PreTrainedTokenizerBase, adapters: bool, dtype: torch.dtype) -> list[Card]:
        return self._calls.run(inspect_all(self._servers, tokenizer, adapters, dtype))

    def _roots(self, model: PreTrainedModel) -> Any:
        """Return the folder that weights are written below, once every server's was found to fit."""
        roots = [check_prepared(c.root, model, s.url) for c, s in zip(self._cards, self._servers, strict=True)]
        return roots[0]


def check_servers(urls: Sequence[str], *, adapters: bool, dtype: torch.dtype) -> None:
    """Raise BadInput where a run could not use a server, as far as that can be said before its model is loaded."""
    calls, servers = Calls(), [VllmServer(url, 0) for url in urls]  # nothing is sampled
    try:
        calls.run(inspect_all(servers, None, adapters, dtype))
    finally:
        calls.run(all_of([server.close() for server in servers], at_once=len(servers)))
        calls.close()


async def inspect_all(
    servers: Sequence[VllmServer], tokenizer: PreTrainedTokenizerBase | None, adapters: bool, dtype: torch.dtype
) -> list[Card]:
    """Return the servers' cards. Raises BadInput where a run could not use one of them."""
    found = await asyncio.gather(*(inspect(s, tokenizer, adapters, dtype) for s in servers), return_exceptions=True)
    failed = [error for error in found if isinstance(error, BaseException)]
    if not failed:
        return [card for card in found if isinstance(card, Card)]
    if not isinstance(failed[0], EngineError):
        raise failed[0]
    several = f" {len(failed) - 1} of the others fail too." if len(failed) > 1 else ""
    raise BadInput(f"{failed[0]}{several} docs/engines.md says how to start one.")


async def inspect(
    server: VllmServer, tokenizer: PreTrainedTokenizerBase | None, adapters: bool, dtype: torch.dtype
) -> Card:
    """Return a server's card. Raises EngineError or BadInput where a run could not use the server."""
    card = await server.card()
    needed = ["update_weight_version", "reset_prefix_cache", *([] if adapters else ["collective_rpc"])]
    there = await asyncio.gather(*(server.has(path) for path in needed))
    if not all(there):
        raise BadInput(
            f"the vLLM server at {server.url} takes no weights (no /{needed[there.index(False)]}): start it in "
            "development mode, with VLLM_SERVER_DEV_MODE=1 in its environment."
        )
    if adapters and not await server.has("v1/load_lora_adapter"):
        raise BadInput(
            f"the vLLM server at {server.url} takes no adapters: start it with --enable-lora --max-lora-rank RANK and "
            "VLLM_ALLOW_RUNTIME_LORA_UPDATING=1, or say --engine_sync disk."
        )
    told = {"logprobs_mode": ("processed_logprobs", "--logprobs-mode"), "dtype": (str(dtype).split(".")[1], "--dtype")}
    for name, (wanted, flag) in told.items():
        found = quoted(card.settings.get(name, wanted)).removeprefix("torch.")
        if found != wanted:
            raise BadInput(f"the vLLM server at {server.url} was started with {flag} {found}; start it with {wanted}.")
    if tokenizer is not None:
        ids = await server.token_ids(card.name, TOKENIZER_PROBE)
        if ids not in (None, tokenizer(TOKENIZER_PROBE, add_special_tokens=False)["input_ids"]):
            raise BadInput(f"the vLLM server at {server.url} has another tokenizer than the run's model.")
    return card


def servers_of(process: int, processes: int, servers: int) -> list[int]:
    """Return the numbers of the servers that a process asks: an equal share of them or, where there are more processes
    than servers, one that as many processes ask as any other.

    Raises BadInput for numbers that do not divide: some servers would have more to do than others.
    """
    if servers % processes and processes % servers:
        raise BadInput(
            f"{servers} engine_urls cannot be shared equally by {processes} processes; give a multiple or a divisor."
        )
    return [process % servers] if processes >= servers else list(range(process, servers, processes))
