"""Speak to one vLLM server in its HTTP dialect. What it answers is checked before anything is made of it.

The endpoints that take weights exist in vLLM's development mode only (VLLM_SERVER_DEV_MODE=1). The environment variable
VLLM_API_KEY, which vllm itself reads, holds the key of a server that was started with one.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import openai

from fastslow.core.errors import EngineError
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


class VllmServer:
    """Ask one vLLM server. Every method raises EngineError, in one line that names the URL, where it fails."""

    def __init__(self, url: str):
        self.url = url
        own = is_loopback(url)  # a proxy of the environment is not meant for this machine
        client = openai.DefaultAsyncHttpxClient(follow_redirects=False, trust_env=not own)
        key = os.environ.get("VLLM_API_KEY") or "none"
        self._client = openai.AsyncOpenAI(base_url=url, api_key=key, http_client=client, max_retries=0)

    async def close(self) -> None:
        await self._client.close()

    async def card(self) -> Card:
        """Return what the server says of itself."""
        version = _mapping(await self._get("version")).get("version")
        cards = _mapping(await self._get("v1/models")).get("data")
        cards = [card for card in cards if isinstance(card, dict)] if isinstance(cards, list) else []
        own = next((card for card in cards if not card.get("parent")), {})
        name, root, window = own.get("id"), own.get("root"), own.get("max_model_len")
        if not (isinstance(version, str) and isinstance(name, str) and isinstance(root, str) and type(window) is int):
            raise EngineError(f"what answers at {self.url} is no vLLM server.")
        try:
            told = _mapping(_mapping(await self._get("server_info?config_format=json")).get("vllm_config"))
        except EngineError:
            told = {}
        return Card(version, name, root, window, _mapping(told.get("model_config")))

    async def has(self, path: str) -> bool:
        """Return whether there is an endpoint that takes posts at this path."""
        try:
            await self._client.get(path, cast_to=object, options={"timeout": _within(PATIENCE)})
        except openai.APIStatusError as error:
            return error.status_code != 404
        except openai.APIError as error:
            raise self._failure(error) from None
        return True

    async def token_ids(self, model: str, text: str) -> list[int] | None:
        """Return the ids that the server's tokenizer gives a text; None where it has no tokenizer."""
        body = {"model": model, "prompt": text, "add_special_tokens": False}
        try:
            tokens = _mapping(await self._post("tokenize", body, PATIENCE)).get("tokens")
        except EngineError:
            return None
        return tokens if isinstance(tokens, list) else None

    # Weights

    async def weight_version(self) -> str:
        """Return the label of the weights in use; vLLM's own, 'default', after a start."""
        return str(_mapping(await self._get("weight_info")).get("weight_version"))

    async def set_weight_version(self, label: str) -> None:
        """Label the weights in use."""
        await self._post("update_weight_version", {"new_version": label}, PATIENCE)

    async def reload(self, folder: str) -> None:
        """Replace the weights by those in a folder that the server sees under the same path."""
        body = {"method": "reload_weights", "kwargs": {"weights_path": folder}}
        await self._post("collective_rpc", body, PATIENCE_FOR_WEIGHTS)

    async def load_adapter(self, name: str, folder: str) -> None:
        """Load an adapter under this name, in place of the one that has it."""
        body = {"lora_name": name, "lora_path": folder, "load_inplace": True}
        await self._post("v1/load_lora_adapter", body, PATIENCE_FOR_WEIGHTS)

    async def reset_prefix_cache(self) -> None:
        """Drop the keys and values of all prompts: they belong to the weights that computed them."""
        done = await self._post("reset_prefix_cache", {}, PATIENCE)
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
        told = await self._post("v1/completions", body, PATIENCE_FOR_ANSWERS, retries=RETRIES)
        try:
            return _checked(_mapping(told), prompt, params, eos_ids)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            said = f"{type(error).__name__}: {error}" if not isinstance(error, ValueError) else str(error)
            raise EngineError(f"the vLLM server at {self.url} answered what cannot be used: {said[:200]}.") from None

    # HTTP

    async def _get(self, path: str) -> Any:
        try:
            return await self._client.get(path, cast_to=object, options={"timeout": _within(PATIENCE)})
        except openai.APIError as error:
            raise self._failure(error) from None

    async def _post(self, path: str, body: dict[str, Any], timeout: float, *, retries: int = 0) -> Any:
        options: Any = {"timeout": _within(timeout), "max_retries": retries}
        try:
            return await self._client.post(path, cast_to=object, body=body, options=options)
        except openai.APIError as error:
            raise self._failure(error) from None

    def _failure(self, error: openai.APIError) -> EngineError:
        path = error.request.url.path
        if isinstance(error, openai.APITimeoutError):
            return EngineError(f"the vLLM server at {self.url} gave no answer to {path} in time.")
        if isinstance(error, openai.APIStatusError):
            words = " ".join(error.response.text.split())[:200]
            return EngineError(f"the vLLM server at {self.url} answered {path} with HTTP {error.status_code}: {words}")
        cause = type(error.__cause__ or error).__name__
        return EngineError(f"the vLLM server at {self.url} cannot be reached ({cause} at {path}).")


def _within(seconds: float) -> openai.Timeout:
    """Return the limits of a call that may take this long once a connection is there."""
    return openai.Timeout(seconds, connect=PATIENCE_TO_CONNECT)


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _checked(told: dict[str, Any], prompt: Prompt, params: SamplingParams, eos_ids: Sequence[int]) -> Answer:
    """Return the completion in an answer. Raises for one that is not what was asked for."""
    choice = told["choices"][0]
    if choice["prompt_token_ids"] != list(prompt.ids):
        raise ValueError("it echoes another prompt than it was sent")
    ids, logprobs = choice["token_ids"], choice["logprobs"]["token_logprobs"]
    if not all(type(i) is int and 0 <= i < 2**31 for i in ids) or len(ids) != len(logprobs):
        raise ValueError("its tokens and log-probabilities do not belong together")
    if not 1 <= len(ids) <= params.max_new_tokens:
        raise ValueError(f"{len(ids)} tokens where 1 to {params.max_new_tokens} were asked for")
    ended, cut = ids[-1] in set(eos_ids), len(ids) == params.max_new_tokens
    if not (ended or cut) or set(ids[:-1]) & set(eos_ids):
        raise ValueError(f"a completion that ends where it should not ({choice.get('finish_reason')})")
    sample = Sample(tuple(ids), tuple(map(float, logprobs)))
    if any(logprob > ROUNDING for logprob in sample.logprobs):  # one that is not finite is the policy's to judge
        raise ValueError("a log-probability above 0")
    usage = _mapping(told.get("usage"))
    cached = _mapping(usage.get("prompt_tokens_details")).get("cached_tokens")
    return Answer(sample, len(prompt.ids), cached if type(cached) is int else None)
