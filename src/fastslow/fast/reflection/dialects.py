"""Read what the many servers that call themselves OpenAI-compatible return, and find what they refuse.

Shapes of OpenAI, Azure, vLLM, SGLang, TGI, llama.cpp, Ollama, LM Studio, Mistral, DeepSeek, Gemini, DashScope and
OpenRouter are cases of tests/fast/reflection/test_dialects.py. Everything here is read as untrusted JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from fastslow.fast.reflection.journal import LMReply

CUT = ("length", "max_tokens", "model_length", "max_output_tokens", "model_context_window_exceeded")
FILTERED = (
    "content_filter", "content_filtered", "refusal", "safety", "recitation", "blocklist", "prohibited_content",
    "sensitive", "guardrail_intervened",
)  # fmt: skip
BROKEN_OFF = ("error", "abort", "aborted", "cancelled", "timeout", "insufficient_system_resource")
TOOLS = ("tool_calls", "tool_call", "tool_use", "function_call")

SERVER_WORDS_CHARS = 200
"""Most characters of a server's own explanation in an error message."""

THOUGHTS = "thoughts"
"""Finish reason of ours for a reply that holds thoughts and no answer."""

REFUSED = re.compile(
    r"(un|not |n't |non-)support|unknown|unrecogni[sz]ed|unexpected|extra|not permitted|not allowed|cannot find|invalid"
    r"|only the default|deprecated|must (be|not)|forbidden|out of range",
    re.IGNORECASE,
)
"""Words of a server that will not have a parameter, or not this value of it."""

NO_REPLY = "no_reply"
"""Finish reason of ours for an error that came with status 200."""

STREAM_ONLY = re.compile(r"only|must|enable|requir|need|non-stream", re.IGNORECASE)

OPTIONAL = ("temperature", "seed", "stream_options")
"""Parameters that a request may go without. `max_tokens` is none of them: the ceiling on the cost rests on it."""


def refused_parameters(asked: Mapping[str, Any], param: object, words: str) -> set[str]:
    """Return which parameters of a request the server's 400 or 422 speaks of; 'stream' stands for one that must be
    streamed. `param` is the parameter that the error names in a field of its own, if any."""
    if "max_tokens" in asked and "max_completion_tokens" in words:
        return {"max_tokens"}
    named = {param} if isinstance(param, str) and param else set()
    if not named and REFUSED.search(words):
        named = {name for name in (*OPTIONAL, "max_tokens") if re.search(rf"\b{name}\b", words)}
    if not named and re.search(r"\bstream(ing)?\b", words, re.IGNORECASE) and STREAM_ONLY.search(words):
        named = {"stream"}
    if "max_tokens" in named and not re.search(r"unsupport|not support|unknown|unrecogni[sz]ed|extra", words, re.I):
        named.discard("max_tokens")  # too large, for instance: another name would not help
    if "stream" in asked:
        named.discard("stream")
    return {name for name in named if (name in (*OPTIONAL, "max_tokens") and name in asked) or name == "stream"}


def one_line(words: str) -> str:
    """Return a server's own words in one line, shortened, and without the tags of a web page."""
    words = " ".join(re.sub(r"(?is)<(style|script)\b.*?</\1>|</?[a-z!][^<>]*>", " ", words).split())
    return words if len(words) <= SERVER_WORDS_CHARS else words[:SERVER_WORDS_CHARS] + "..."


def error_in(body: object) -> tuple[str, int | None] | None:
    """Return the words and the status of an error that came as an answer; None for what is no error."""
    body = body[0] if isinstance(body, list) and len(body) == 1 else body  # as Gemini wraps it
    if not isinstance(body, dict) or body.get("choices"):
        return None
    error = body.get("error") or (body if body.get("object") == "error" else None)
    if not error:
        return None
    part: Any = error if isinstance(error, dict) else {"message": error}
    words = part.get("message") if isinstance(part.get("message"), str) else json.dumps(error)[:500]
    codes: list[Any] = [part.get("code"), part.get("status"), body.get("code")]
    status = next((int(c) for c in codes if str(c).isascii() and str(c).isdigit() and 400 <= int(c) < 600), None)
    return words, status


def parsed(text: str) -> object:
    """Return the JSON of an answer; one that was streamed, asked or not, as the completion that its events add up to.

    Raises ValueError for a text that is neither.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except ValueError:
        events = list(_events(text))
        if not events:
            raise
        return _joined(events, finished=re.search(r"^data: ?\[DONE\]", text, re.MULTILINE) is not None)


def read_reply(body: object) -> LMReply:
    """Read a chat completion; any other JSON becomes an empty reply."""
    body = body if isinstance(body, dict) else {}
    prompt_tokens, completion_tokens = _tokens(body.get("usage"))
    choices = body.get("choices")
    choices = [c for c in choices if isinstance(c, dict)] if isinstance(choices, list) else []
    read = [_of_choice(choice) for choice in choices]
    text, reason = next((pair for pair in read if pair[0].strip()), read[0] if read else ("", None))
    return LMReply(text, reason, prompt_tokens, completion_tokens)


def _of_choice(choice: Mapping[str, Any]) -> tuple[str, str | None]:
    message = choice.get("message")
    message = message if isinstance(message, dict) else {}
    text, refused = _text(message.get("content", choice.get("text")))
    reason = _reason(choice.get("finish_reason"))
    if text.strip() or reason in CUT:
        return text, reason
    if refused or (isinstance(message.get("refusal"), str) and message["refusal"]):
        return text, "refusal"
    if message.get("tool_calls") or message.get("function_call"):
        return text, TOOLS[0]
    if any(isinstance(message.get(f), str) and message[f].strip() for f in ("reasoning_content", "reasoning")):
        return text, reason if reason in BROKEN_OFF else THOUGHTS
    return text, reason


def _text(content: object) -> tuple[str, bool]:
    """Return the text of a message's content, which may be a list of parts, and whether a part is a refusal."""
    if isinstance(content, str):
        return content, False
    parts = [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []
    texts = [part["text"] for part in parts if part.get("type") in ("text", "output_text", None) and "text" in part]
    texts = [text.get("value") if isinstance(text, dict) else text for text in texts]
    return "".join(text for text in texts if isinstance(text, str)), any(p.get("type") == "refusal" for p in parts)


def _reason(reason: object) -> str | None:
    """Return a finish reason in lower case if it is a word; 'unknown' for whatever else a server sends."""
    if not isinstance(reason, str) or not reason:
        return None
    return reason.lower() if re.fullmatch(r"[A-Za-z_]{1,32}", reason) else "unknown"


def _tokens(usage: object) -> tuple[int | None, int | None]:
    """Return the tokens of prompt and completion. A total above both counts thoughts, which are paid for as well."""
    usage = usage if isinstance(usage, dict) else {}

    def count(*names: str) -> int | None:
        return next((int(usage[n]) for n in names if type(usage.get(n)) in (int, float) and 0 <= usage[n] < 1e15), None)

    prompt, completion = count("prompt_tokens", "input_tokens"), count("completion_tokens", "output_tokens")
    total = count("total_tokens")
    if total is not None and prompt is not None:
        completion = max(completion or 0, total - prompt)
    return prompt, completion


def _events(text: str) -> Iterator[dict[str, Any]]:
    """Yield the JSON objects of server-sent events, or of lines of JSON."""
    for line in text.splitlines():
        try:
            event = json.loads(line.removeprefix("data:"))
        except (ValueError, RecursionError):
            continue
        if isinstance(event, dict):
            yield event


def _joined(events: list[dict[str, Any]], *, finished: bool) -> dict[str, Any]:
    """Return the completion that streamed events add up to. One without an end was broken off."""
    error = next((event for event in events if error_in(event) is not None), None)
    if error is not None:
        return error
    content: list[str] = []
    message: dict[str, Any] = {}
    reason = usage = None
    for event in events:
        usage = event.get("usage") or usage
        choices = event.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
        if choice.get("index", 0) != 0:
            continue
        delta = choice.get("delta") or choice.get("message") or {}
        if isinstance(delta, dict):
            content.append(_text(delta.get("content"))[0])
            for name in ("reasoning_content", "reasoning", "refusal", "tool_calls"):
                message[name] = message.get(name) or delta.get(name)
        reason = choice.get("finish_reason") or reason
    message["content"] = "".join(content)
    ended = reason or (None if finished else "error")
    return {"choices": [{"message": message, "finish_reason": ended}], "usage": usage}
