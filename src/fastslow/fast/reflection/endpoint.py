"""Ask a language model behind an OpenAI-compatible URL for the replies that proposers need.

local.py asks a model in this process, with the same protocol and the same accounting. A reply is untrusted text, and
the proposer parses it.
"""

from __future__ import annotations

import json
import logging
import os
import re
from dataclasses import replace
from typing import Any, Protocol
from urllib.parse import urlsplit

import openai

from fastslow.core.errors import BadInput, EndpointError
from fastslow.core.proxies import proxy_for
from fastslow.core.thoughts import without_thoughts
from fastslow.fast.reflection.costs import Ceiling, Usage
from fastslow.fast.reflection.dialects import (
    BROKEN_OFF,
    CUT,
    FILTERED,
    NO_REPLY,
    THOUGHTS,
    TOOLS,
    error_in,
    one_line,
    parsed,
    read_reply,
    refused_parameters,
)
from fastslow.fast.reflection.http import http_client
from fastslow.fast.reflection.journal import Journal, LMReply, request_key

logger = logging.getLogger(__name__)

LEFT_OUT = "from now on requests go without it, in a stream, or with max_completion_tokens"

HTTP_RETRIES = 3
"""Retries of a call, four tries in all; between them the openai client waits, with jitter, as long as Retry-After asks
(up to 120 s)."""

SAMPLES_PER_CALL = 2
"""Samples of one call: an empty or cut reply is often chance at temperature 1, so it is drawn once more."""

CHARS_PER_TOKEN = 64
"""Most characters for each requested token: a longer reply did not come from a sampler."""

QUOTA_WORDS = ("insufficient_quota", "quota exceeded", "billing")


class ReflectionLM(Protocol):
    """Answer one prompt with one text, by a frozen model."""

    usage: Usage

    def complete(self, prompt: str, *, seed: int) -> str:
        """Return the model's reply to `prompt` as a single user turn. Raises EndpointError where there is none."""
        ...


class OpenAIReflectionLM:
    """Ask any OpenAI-compatible chat endpoint: hosted, vLLM, Ollama. Not thread-safe.

    The key is read from the environment at construction and appears in no message, repr or saved file; `api_key_env=""`
    means that the server needs none. `timeout` is in seconds for each try. The seed is sent to the endpoint, which may
    or may not make the reply reproducible.

    Raises BadInput at construction for a base_url or key that cannot work, without calling the server.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        api_key_env: str = "OPENAI_API_KEY",
        temperature: float = 1.0,
        max_tokens: int = 1024,
        timeout: float = 60,
        ceiling: Ceiling | None = None,
        journal: Journal | None = None,
    ):
        self.host = _checked_host(base_url)
        self._scheme = urlsplit(base_url).scheme
        if not model:
            raise BadInput(f"the reflection LM at {self.host} needs a model name; its /models lists what it serves.")
        self.model = model
        self.usage = Usage()
        self._key_env = api_key_env
        self._temperature = temperature
        self._max_tokens = max_tokens
        self._timeout = timeout
        self._ceiling = ceiling or Ceiling()
        self.journal = journal if journal is not None else Journal()
        # What the server has refused so far: each is asked for once, and left out from then on.
        self._refused: set[str] = set()
        self._instead = ""
        self._dearest = 0
        self._key = _key_from_environment(api_key_env, self.host)
        self._client = _Client(
            base_url=base_url,
            api_key=self._key,
            timeout=timeout,
            max_retries=HTTP_RETRIES,
            http_client=http_client(),
        )

    def __repr__(self) -> str:
        return f"OpenAIReflectionLM(model={self.model!r}, host={self.host!r})"

    def complete(self, prompt: str, *, seed: int) -> str:
        """Return a complete, non-empty reply. Raises EndpointError, in one line that says how to mend it."""
        problem = ""
        for draw in range(SAMPLES_PER_CALL):
            # JSON to the server is UTF-8, which has no lone surrogates; a decoded byte-level token may hold one.
            reply = self._sample(prompt.encode("utf-8", "replace").decode("utf-8"), seed + draw)
            problem = self._problem(reply)
            if not problem:
                return without_thoughts(reply.text)
        raise self._failure(
            f"the reply of '{self.model}' at {self.host}, {SAMPLES_PER_CALL} times in a row, {problem}."
        )

    def _problem(self, reply: LMReply) -> str:
        """Return why a reply cannot be used, worded to follow 'the reply'; '' where it can."""
        text, reason = reply.text, reply.finish_reason
        if reason == NO_REPLY:
            return self._instead
        full = reason is None and reply.completion_tokens is not None and reply.completion_tokens >= self._max_tokens
        if reason in CUT or full:
            return f"was cut at reflection_max_tokens={self._max_tokens}; raise it (reasoning counts towards it)"
        if reason in FILTERED:
            return "was refused by the model or its filter; another model may do it"
        if reason in BROKEN_OFF:
            return "was broken off by the server; its log may say why"
        if len(text) > CHARS_PER_TOKEN * self._max_tokens:
            return f"has {len(text)} characters, far more than reflection_max_tokens={self._max_tokens} can hold"
        if without_thoughts(text).strip():
            return ""
        if reason in TOOLS:
            return "called a tool, though none was offered; another model or chat template may answer"
        if reason == THOUGHTS or text.strip():
            return "held thoughts and no answer; raise --reflection_max_tokens, or switch the thinking off"
        return (
            "held no text; check that --reflection_base_url ends in the API's version (often /v1) and that the model "
            "chats"
        )

    def _sample(self, prompt: str, seed: int) -> LMReply:
        """Return one reply, from the journal where it was paid for before.

        The usage counts a replayed reply too, so that the tallies of a resumed run equal those of an uninterrupted one.
        """
        self.usage.calls += 1
        key = request_key(self._asked(prompt, seed))
        reply = self.journal.get(key)
        self._instead = "was no completion"
        if reply is None:
            self._keep_below_ceiling(prompt)
            reply = self._paid(prompt, seed)
            self.journal.add(key, reply)
        self._meter(reply)
        return reply

    def _asked(self, prompt: str, seed: int) -> dict[str, Any]:
        """Return everything that decides the reply. The host is not part of it: a model moved to another host is the
        same model."""
        return {
            "model": self.model,
            "messages": [{"role": "user", "content": prompt}],
            "temperature": self._temperature,
            "max_tokens": self._max_tokens,
            "seed": seed % 2**31,  # several servers read it into a signed 32-bit integer
        }

    def _keep_below_ceiling(self, prompt: str) -> None:
        spent, worst = self.journal.replies(), len(prompt.encode("utf-8", "replace"))
        self._dearest = max(self._dearest, worst)
        # An unmetered reply counts at its highest possible cost.
        before = sum(r.prompt_tokens if r.prompt_tokens is not None else self._dearest for r in spent)
        written = sum(r.completion_tokens if r.completion_tokens is not None else self._max_tokens for r in spent)
        passed = self._ceiling.passed(before + worst, written + self._max_tokens)
        if passed is not None:
            raise self._failure(f"another call to '{self.model}' might pass the ceiling of {passed}; none is made.")

    def _paid(self, prompt: str, seed: int) -> LMReply:
        answer = ""
        try:
            # A server may echo what it was sent, and replies are stored in files.
            answer = self._redacted(self._request(prompt, seed))
            return self._read(answer)
        except openai.APIError as error:
            problem = self._explain(error)
        except ValueError:
            what = "a web page" if "<html" in answer[:1000].lower() else "broken JSON"
            problem = f"the reflection LM at {self.host} answered with {what}; is it an OpenAI-compatible server?"
        # Raised outside the handlers: the openai error carries the request, and a server may echo the key in its words.
        raise self._failure(problem)

    def _read(self, answer: str) -> LMReply:
        """Return the reply in an answer. Raises ValueError for what is not JSON.

        An error with status 200 becomes a reply that cost nothing: it is journaled, so that a resumed run goes on to
        the same next draw.
        """
        body = parsed(answer)
        if (error := error_in(body)) is not None:
            self._instead = f"was an error: {one_line(error[0])}"
            return LMReply("", NO_REPLY, 0, 0)
        reply = read_reply(body)
        return replace(reply, text=self._redacted(reply.text))  # once more: JSON may spell any letter as \\uXXXX

    def _request(self, prompt: str, seed: int) -> str:
        """Return the text of the server's answer; what the server refuses in a request is left out from then on."""
        while True:
            asked = self._accepted(self._asked(prompt, seed))
            try:
                return self._answer(asked)
            except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
                new = refused_parameters(asked, error.param, self._words(error)) - self._refused
                if not new:
                    raise
            self._refused |= new
            logger.warning("the reflection LM at %s refuses %s; %s", self.host, ", ".join(sorted(new)), LEFT_OUT)

    def _accepted(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Return the request in the dialect of this server."""
        if "max_tokens" in self._refused:
            asked["max_completion_tokens"] = asked.pop("max_tokens")
        if "stream" in self._refused:
            asked |= {"stream": True, "stream_options": {"include_usage": True}}
        return {name: value for name, value in asked.items() if name not in self._refused or name == "stream"}

    def _answer(self, asked: dict[str, Any]) -> str:
        answer = self._client.chat.completions.with_raw_response.create(**asked).http_response
        try:
            answer.read()
            return answer.text
        except Exception as error:  # the HTTP library's own errors, which openai does not wrap in a stream
            raise openai.APIConnectionError(request=answer.request) from error

    def _meter(self, reply: LMReply) -> None:
        self.usage.prompt_tokens += reply.prompt_tokens or 0
        self.usage.completion_tokens += reply.completion_tokens or 0
        self.usage.unmetered += not reply.metered

    def _failure(self, problem: str) -> EndpointError:
        self.usage.failures += 1
        return EndpointError(problem)

    def _explain(self, error: openai.APIError) -> str:
        who = f"the reflection LM at {self.host}"
        tries = _tries(error)
        if isinstance(error, openai.APITimeoutError):
            return f"{who} gave no answer within {self._timeout:g} s ({tries}); is it overloaded, or timeout too short?"
        if isinstance(error, openai.APIStatusError):
            return f"{who} answered HTTP {error.status_code} ({tries}): {self._advice(error)}"
        cause, proxy = type(error.__cause__ or error).__name__, proxy_for(self._scheme, self.host.partition(":")[0])
        through = f" The request goes through the proxy of the environment variable {proxy}." if proxy else ""
        return (
            f"{who} could not be reached ({tries}, {cause}): is the server up and --reflection_base_url right?{through}"
        )

    def _advice(self, error: openai.APIStatusError) -> str:
        status = error.status_code
        if status in (401, 403):
            if not self._key_env:
                return "it wants a key; name the environment variable that holds it: --reflection_api_key_env NAME."
            return (
                f"the key in {self._key_env} does not open model '{self.model}'; set {self._key_env} to one that does."
            )
        if status == 404:
            return f"no model '{self.model}' there, or --reflection_base_url lacks the API's version (often /v1)."
        if status == 429:
            return "its rate limit or quota is used up; wait, raise the quota, or use another model."
        if status >= 500:
            return "the server failed; try again later or look at its log."
        return f"it refused the request: {one_line(self._words(error))}"

    def _redacted(self, text: str) -> str:
        return text.replace(self._key, "***") if self._key_env else text

    def _words(self, error: openai.APIStatusError) -> str:
        """Return the server's own words. They are redacted before anything is cut, so that no cut leaves half a key
        unrecognised."""
        text = error.response.text
        try:
            found = error_in(json.loads(text))
        except (ValueError, RecursionError):
            found = None
        return self._redacted(found[0] if found is not None else text)


def _checked_host(base_url: str) -> str:
    """Return the host (and port) of `base_url`. Messages show no other part of the URL, which may hold a secret."""
    try:
        parts = urlsplit(base_url or "")
        host, port = parts.hostname, parts.port
    except ValueError:
        parts, host, port = urlsplit(""), None, None
    if parts.scheme not in ("http", "https") or not host:
        raise BadInput(
            "the reflection LM needs a --reflection_base_url that starts with http:// or https:// and names a host, "
            "such as https://api.openai.com/v1 or http://localhost:8000/v1."
        )
    return f"{host}:{port}" if port else host


def _key_from_environment(api_key_env: str, host: str) -> str:
    if not api_key_env:
        return "no-key-needed"  # the openai client insists on a key
    # A key pasted where its variable's name belongs must not be echoed either; keys are hardly ever all upper case.
    name = (
        api_key_env
        if re.fullmatch(r"[A-Z_][A-Z0-9_]*", api_key_env)
        else "named by --reflection_api_key_env (the name, not the key)"
    )
    key = os.environ.get(api_key_env, "").strip()
    if not key:
        raise BadInput(
            f"the reflection LM at {host} needs a key, but the environment variable {name} is "
            f"{'empty' if api_key_env in os.environ else 'not set'}; export it, "
            'or say --reflection_api_key_env "" for a server without keys.'
        )
    if not (key.isascii() and key.isprintable()):
        raise BadInput(
            f"the key in the environment variable {name} holds characters no HTTP header can carry; copy it again."
        )
    return key


def _raise_status(response: Any) -> None:
    """Give an answer that carries an error with a status of its own that status, so that it is retried or explained as
    such."""
    if response.status_code != 200 or "json" not in response.headers.get("content-type", ""):
        return
    try:
        error = error_in(json.loads(response.read()))
    except (ValueError, RecursionError):
        return
    if error is not None and error[1] is not None:
        response.status_code = error[1]


class _Client(openai.OpenAI):
    """Wrap openai's client, which retries a used-up quota like a rate limit: waiting helps against a rate limit
    only."""

    def __init__(self, *, http_client: Any, **settings: Any):
        http_client.event_hooks = {"response": [_raise_status]}
        super().__init__(http_client=http_client, **settings)

    def _should_retry(self, response: Any) -> bool:
        if response.status_code in (402, 429):
            response.read()
            words = response.text.lower()
            if response.status_code == 402 or any(word in words for word in QUOTA_WORDS):
                return False
        return super()._should_retry(response)


def _tries(error: openai.APIError) -> str:
    tries = int(error.request.headers.get("x-stainless-retry-count", "0")) + 1
    return "1 try" if tries == 1 else f"{tries} tries"
