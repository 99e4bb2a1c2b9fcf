"""Speak to one vLLM server in its HTTP dialect. What it answers is checked before anything is made of it.

The endpoints that take weights exist in vLLM's development mode only (VLLM_SERVER_DEV_MODE=1). The environment variable
VLLM_API_KEY, which vllm itself reads, holds the key of a server that was started with one.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import openai

from fastslow.core.errors import EngineError, quoted
from fastslow.core.hosts import is_loopback
from fastslow.policy.engines.base import Prompt, Sample, SamplingParams

PATIENCE = 30.0
"""Seconds for a question about the server itself."""
PATIENCE_TO_CONNECT = 10.0
"""Seconds for a connection to be made."""
PATIENCE_FOR_WEIGHTS = 900.0
"""Seconds for a server to read new weights."""
PATIENCE_FOR_ANSWERS = 3600.0
"""Seconds for one completion, its waiting in the server's queue included."""
RETRIES = 2
"""Retries of a completion whose connection broke off; its seed makes the answer the same."""
LONGEST_BODY = 2**26
"""Bytes of an answer: a completion of 100,000 tokens takes some 10 MB with the ids that it echoes."""
LONGEST_NAME = 1024
"""Characters of a name that a server gives itself, or of the folder that it was started on."""
FINISHED = ("stop", "length")
"""Reasons for a completion to end; a server that shuts down says abort."""

ROUNDING = 1e-3
"""Nats by which rounding may lift a log-probability above 0."""


@dataclass(frozen=True)
class Answer:
    """One completion, with the tokens of its prompt, and how many of those the server had cached (None: not said)."""

    sample: Sample
    prompt_tokens: int
    cached_tokens: int | None


@dataclass(frozen=True)
class Card:
    """What a server says of itself: its version, the name of its model, the folder it was started on, its longest
    sequence in tokens, and the settings that it was started with (empty where it does not tell)."""

    version: str
    name: str
    root: str
    window: int
    settings: dict[str, Any]


class Refused(EngineError):
    """Raised for an answer with a status that says no."""

    def __init__(self, words: str, status: int):
        super().__init__(words)
        self.status = status


class VllmServer:
    """Ask one vLLM server. Every method raises EngineError, in one line that names the URL, where it fails.

    `vocabulary` is the number of ids of the model that is trained: a server gives no others.
    """

    def __init__(self, url: str, vocabulary: int):
        self.url = url
        self._vocabulary = vocabulary
        own = is_loopback(url)  # a proxy of the environment is not meant for this machine
        client = openai.DefaultAsyncHttpxClient(
            follow_redirects=False,
            trust_env=not own,
            headers={"Accept-Encoding": "identity"},
            event_hooks={"response": [_refuse_large]},
        )
        self._key = os.environ.get("VLLM_API_KEY") or "none"
        self._client = openai.AsyncOpenAI(base_url=url, api_key=self._key, http_client=client, max_retries=0)

    async def close(self) -> None:
        await self._client.close()

    async def card(self) -> Card:
        """Return what the server says of itself."""
        version = _mapping(await self._ask("version")).get("version")
        cards = _mapping(await self._ask("v1/models")).get("data")
        cards = [card for card in cards if isinstance(card, dict)] if isinstance(cards, list) else []
        own = next((card for card in cards if not card.get("parent")), {})
        window: Any = own.get("max_model_len")
        version, name, root = map(_name_in, (version, own.get("id"), own.get("root")))
        if not (version and name and root) or type(window) is not int or window < 1:
            raise EngineError(f"what answers at {self.url} is no vLLM server.")
        try:
            told = _mapping(_mapping(await self._ask("server_info?config_format=json")).get("vllm_config"))
        except EngineError:
            told = {}
        return Card(version, name, root, window, _mapping(told.get("model_config")))

    async def has(self, path: str) -> bool:
        """Return whether there is an endpoint that takes posts at this path."""
        try:
            await self._ask(path)
        except Refused as refusal:
            return refusal.status != 404
        return True

    async def token_ids(self, model: str, text: str) -> list[int] | None:
        """Return the ids that the server's tokenizer gives a text; None where it has no tokenizer."""
        body = {"model": model, "prompt": text, "add_special_tokens": False}
        try:
            tokens = _mapping(await self._ask("tokenize", body)).get("tokens")
        except EngineError:
            return None
        return tokens if isinstance(tokens, list) else None

    # Weights

    async def weight_version(self) -> str:
        """Return the label of the weights in use; vLLM's own, 'default', after a start."""
        return quoted(_mapping(await self._ask("weight_info")).get("weight_version"))

    async def set_weight_version(self, label: str) -> None:
        """Label the weights in use."""
        await self._ask("update_weight_version", {"new_version": label})

    async def reload(self, folder: str) -> None:
        """Replace the weights by those in a folder that the server sees under the same path."""
        body = {"method": "reload_weights", "kwargs": {"weights_path": folder}}
        await self._ask("collective_rpc", body, seconds=PATIENCE_FOR_WEIGHTS)

    async def load_adapter(self, name: str, folder: str) -> None:
        """Load an adapter under this name, in place of the one that has it."""
        body = {"lora_name": name, "lora_path": folder, "load_inplace": True}
        await self._ask("v1/load_lora_adapter", body, seconds=PATIENCE_FOR_WEIGHTS)

    async def reset_prefix_cache(self) -> None:
        """Drop the keys and values of all prompts: they belong to the weights that computed them."""
        done = await self._ask("reset_prefix_cache", {})
        if isinstance(done, dict) and done.get("success") is False:
            raise EngineError(f"the vLLM server at {self.url} did not drop its prefix cache: is anyone else using it?")

    # Answers

    async def complete(self, model: str, prompt: Prompt, params: SamplingParams, eos_ids: Sequence[int]) -> Answer:
        """Return the completion of one prompt, drawn by the prompt's own seed."""
        body = {
            "model": model,
            "prompt": list(prompt.ids),
            "n": 1,
            "seed": prompt.seed % 2**63,
            "max_tokens": params.max_new_tokens,
            # All are sent: a server fills in what is missing from the model's generation config.
            "temperature": params.temperature,
            "top_p": params.top_p,
            "top_k": params.top_k,
            "min_p": params.min_p or 0.0,
            "repetition_penalty": params.repetition_penalty,
            "presence_penalty": 0.0,
            "frequency_penalty": 0.0,
            # The tokens that end an answer are the trainer's, and not those of the server's tokenizer.
            "ignore_eos": True,
            "stop_token_ids": list(eos_ids),
            "logprobs": 0,
            "return_token_ids": True,
            "add_special_tokens": False,
        }
        told = await self._ask("v1/completions", body, seconds=PATIENCE_FOR_ANSWERS, retries=RETRIES)
        try:
            return _checked(_mapping(told), prompt, params, eos_ids, self._vocabulary)
        except (KeyError, IndexError, TypeError, ValueError, OverflowError) as error:
            said = f"{type(error).__name__}: {error}" if not isinstance(error, ValueError) else str(error)
            raise EngineError(f"the vLLM server at {self.url} answered what cannot be used: {quoted(said)}.") from None

    # HTTP

    async def _ask(
        self, path: str, body: dict[str, Any] | None = None, *, seconds: float = PATIENCE, retries: int = 0
    ) -> Any:
        """Return the JSON that a path answers, to a post where there is a body. `seconds` limits one try."""
        options: Any = {"timeout": _within(seconds), "max_retries": retries}
        if body is None:
            call = self._client.get(path, cast_to=object, options=options)
        else:
            call = self._client.post(path, cast_to=object, body=body, options=options)
        # The client's limit is that of a single read: a server that sends a byte now and then would never end it.
        whole = (1 + retries) * (seconds + PATIENCE_TO_CONNECT)
        try:
            said = await asyncio.wait_for(call, whole)
        except openai.APIError as error:
            raise self._failure(error, path) from None
        except _Unreadable as problem:
            raise EngineError(f"the vLLM server at {self.url} answered /{path} {problem}.") from None
        except TimeoutError:
            raise EngineError(f"the vLLM server at {self.url} gave no answer to /{path} in time.") from None
        except (ValueError, RecursionError):  # a body that is no JSON, or JSON of a kind that Python does not read
            raise EngineError(f"the vLLM server at {self.url} answered /{path} with what is not JSON.") from None
        if (error := _mapping(said).get("error")) and not _mapping(said).get("choices"):
            raise EngineError(f"the vLLM server at {self.url} answered /{path} with an error: {self._quoted(error)}")
        return said

    def _failure(self, error: openai.APIError, path: str) -> EngineError:
        if isinstance(error, openai.APITimeoutError):
            return EngineError(f"the vLLM server at {self.url} gave no answer to /{path} in time.")
        if isinstance(error, openai.APIStatusError):
            words = f"HTTP {error.status_code}: {self._quoted(error.response.text)}"
            return Refused(f"the vLLM server at {self.url} answered /{path} with {words}", error.status_code)
        cause = type(error.__cause__ or error).__name__
        return EngineError(f"the vLLM server at {self.url} cannot be reached ({cause} at /{path}).")

    def _quoted(self, words: object) -> str:
        """Return a server's own words without the key, which a server may repeat."""
        return quoted(str(words).replace(self._key, "***"))


class _Unreadable(Exception):
    """Raised for an answer whose body is not to be read; the words follow 'answered PATH'."""


async def _refuse_large(response: Any) -> None:
    """Refuse an answer that is known to be too long, or compressed, which was not asked for and may hide any length."""
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise _Unreadable("with a compressed body, which it was not asked for")
    length = response.headers.get("Content-Length", "0")
    if not length.isdecimal() or int(length) > LONGEST_BODY:
        raise _Unreadable(f"with a body of {quoted(length, 20)} bytes, more than any answer needs")


def _within(seconds: float) -> openai.Timeout:
    """Return the limits of a call that may take this long once a connection is there."""
    return openai.Timeout(seconds, connect=PATIENCE_TO_CONNECT)


def _name_in(value: Any) -> str:
    """Return a name, '' where a server says none that can be shown."""
    return value if isinstance(value, str) and value.isprintable() and len(value) <= LONGEST_NAME else ""


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _checked(
    told: dict[str, Any], prompt: Prompt, params: SamplingParams, eos_ids: Sequence[int], vocabulary: int
) -> Answer:
    """Return the completion in an answer. Raises for one that is not what was asked for."""
    (choice,) = told["choices"]
    if choice["prompt_token_ids"] != list(prompt.ids):
        raise ValueError("it echoes another prompt than it was sent")
    ids, logprobs = choice["token_ids"], choice["logprobs"]["token_logprobs"]
    if not all(type(i) is int for i in ids) or not all(type(x) in (float, int) for x in logprobs):
        raise ValueError("tokens or log-probabilities that are no numbers")
    if len(ids) != len(logprobs):
        raise ValueError("its tokens and log-probabilities do not belong together")
    if any(not 0 <= i < vocabulary for i in ids):
        raise ValueError(f"a token that is none of the {vocabulary} of the model")
    if not 1 <= len(ids) <= params.max_new_tokens:
        raise ValueError(f"{len(ids)} tokens where 1 to {params.max_new_tokens} were asked for")
    ended, cut = ids[-1] in set(eos_ids), len(ids) == params.max_new_tokens
    if not (ended or cut) or set(ids[:-1]) & set(eos_ids) or choice.get("finish_reason") not in FINISHED:
        raise ValueError(f"a completion that ends where it should not ({choice.get('finish_reason')})")
    sample = Sample(tuple(ids), tuple(map(float, logprobs)))
    if any(logprob > ROUNDING for logprob in sample.logprobs):  # one that is not finite is the policy's to judge
        raise ValueError("a log-probability above 0")
    usage = _mapping(told.get("usage"))
    cached = _mapping(usage.get("prompt_tokens_details")).get("cached_tokens")
    told_cached = type(cached) is int and 0 <= cached <= len(prompt.ids)
    return Answer(sample, len(prompt.ids), cached if told_cached else None)
