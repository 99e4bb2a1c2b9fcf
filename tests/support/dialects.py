"""Answers in the dialects of servers that call themselves OpenAI-compatible, as their users report them."""

from __future__ import annotations

import json
from typing import Any

from tests.support.openai_server import Reply

USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}


def completion(
    message: Any, *, finish_reason: Any = "stop", usage: Any = USAGE, choice: Any = None, **extra: Any
) -> Reply:
    """A chat completion with this message, and with whatever else a server adds to it."""
    one = {"index": 0, "message": message, "finish_reason": finish_reason, **(choice or {})}
    return answer({"id": "x", "object": "chat.completion", "created": 0, "model": "m", "choices": [one],
                   "usage": usage, **extra})  # fmt: skip


def answer(body: Any, **how: Any) -> Reply:
    return Reply(body=json.dumps(body), **how)


def said(text: Any, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": text, **more}


def events(*chunks: Any, done: bool = True, ends: str = "\n\n", type: str = "text/event-stream") -> Reply:
    """A stream of server-sent events."""
    lines = [chunk if isinstance(chunk, str) else f"data: {json.dumps(chunk)}" for chunk in chunks]
    return Reply(body=ends.join([*lines, *(["data: [DONE]"] if done else []), ""]), content_type=type)


def chunk(text: str | None = None, *, finish_reason: Any = None, usage: Any = None, **delta: Any) -> dict[str, Any]:
    content = {} if text is None else {"content": text}
    choice = {"index": 0, "delta": {**content, **delta}, "finish_reason": finish_reason}
    return {"object": "chat.completion.chunk", "choices": [choice], "usage": usage}


def refusal(body: Any, status: int = 400) -> Reply:
    return answer(body, status=status)


def openai_error(message: str, param: str | None, code: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": code}}


THINKING = {"type": "thinking", "thinking": [{"type": "text", "text": "hm, <<<EDIT"}]}

REPLIES: dict[str, tuple[Reply, tuple[int, int, int]]] = {
    # dialect: the answer, and what is counted: prompt tokens, completion tokens, replies without a full report
    "OpenAI": (completion(said("ok", refusal=None, annotations=[]), service_tier="default"), (7, 3, 0)),
    "Azure OpenAI, with its filter's report": (
        completion(said("ok"), choice={"content_filter_results": {"hate": {"filtered": False}}},
                   prompt_filter_results=[{"prompt_index": 0}]),
        (7, 3, 0),
    ),
    "vLLM, with the thoughts apart": (
        completion(said("ok", reasoning="hm", tool_calls=[]), choice={"stop_reason": None, "logprobs": None}),
        (7, 3, 0),
    ),
    "vLLM before, SGLang, DeepSeek: reasoning_content": (
        completion(said("ok", reasoning_content="hm"), usage={**USAGE, "prompt_tokens_details": None}), (7, 3, 0),
    ),
    "vLLM without a reasoning parser": (completion(said("<think>\nhm</think>\n\nok")), (7, 3, 0)),
    "llama.cpp": (completion(said("ok"), timings={"prompt_n": 7, "predicted_n": 3}), (7, 3, 0)),
    "Ollama": (completion(said("ok"), system_fingerprint="fp_ollama"), (7, 3, 0)),
    "LM Studio, with statistics": (completion(said("ok"), stats={}, usage=USAGE), (7, 3, 0)),
    "TGI": (completion(said("ok"), finish_reason="eos_token"), (7, 3, 0)),
    "Mistral, content in parts": (
        completion(said([THINKING, {"type": "text", "text": "o"}, {"type": "text", "text": "k"}])), (7, 3, 0),
    ),
    "content in parts without a type": (completion(said([{"text": "ok"}])), (7, 3, 0)),
    "Gemini, whose total alone counts the thoughts": (
        completion(said("ok"), usage={"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 110}), (7, 103, 0),
    ),
    "a finish reason in capitals": (completion(said("ok"), finish_reason="STOP"), (7, 3, 0)),
    "no finish reason": (completion(said("ok"), finish_reason=None), (7, 3, 0)),
    "an empty finish reason": (completion(said("ok"), finish_reason=""), (7, 3, 0)),
    "usage missing": (answer({"choices": [{"message": said("ok")}]}), (0, 0, 1)),
    "usage null": (completion(said("ok"), usage=None), (0, 0, 1)),
    "usage in part": (completion(said("ok"), usage={"prompt_tokens": 7}), (7, 0, 1)),
    "usage without the completion, but a total": (
        completion(said("ok"), usage={"prompt_tokens": 7, "total_tokens": 10}), (7, 3, 0),
    ),
    "usage in other words": (completion(said("ok"), usage={"input_tokens": 7, "output_tokens": 3}), (7, 3, 0)),
    "usage as floats": (completion(said("ok"), usage={"prompt_tokens": 7.0, "completion_tokens": 3.0}), (7, 3, 0)),
    "usage that is nonsense": (
        completion(said("ok"), usage={"prompt_tokens": -1, "completion_tokens": "3"}), (0, 0, 1),
    ),
    "tool calls beside a text": (
        completion(said("ok", tool_calls=[{"id": "1", "type": "function"}]), finish_reason="tool_calls"), (7, 3, 0),
    ),
    "an empty choice before the real one": (
        answer({"choices": [{"message": said("")}, {"index": 1, "message": said("ok")}], "usage": USAGE}), (7, 3, 0),
    ),
    "the older completions' shape": (answer({"choices": [{"text": "ok"}], "usage": USAGE}), (7, 3, 0)),
    "fields of an error that is none": (completion(said("ok"), error=None, object="chat.completion"), (7, 3, 0)),
    "a stream that nobody asked for": (
        events(": PROCESSING", chunk("", role="assistant"), chunk("o", usage=None), chunk("k"),
               chunk(finish_reason="stop"), {"choices": [], "usage": USAGE}),
        (7, 3, 0),
    ),
    "a stream called JSON, with CRLF": (
        events(chunk("o"), chunk("k", finish_reason="stop", usage=USAGE), ends="\r\n\r\n", type="application/json"),
        (7, 3, 0),
    ),
    "a stream without usage or [DONE]": (events(chunk("ok"), chunk(finish_reason="stop"), done=False), (0, 0, 1)),
    "a stream with thoughts apart": (
        events(chunk(None, reasoning_content="hm"), chunk("ok", finish_reason="stop"), {"usage": USAGE}), (7, 3, 0),
    ),
    "lines of JSON": (
        Reply(body="\n".join(json.dumps(c) for c in (chunk("o"), chunk("k", finish_reason="stop", usage=USAGE)))),
        (7, 3, 0),
    ),
}  # fmt: skip

CUT = "was cut at reflection_max_tokens"

UNUSABLE: dict[str, tuple[Reply, str]] = {
    # what comes instead of a reply: the answer, and words of the message
    "tool calls alone": (
        completion(said(None, tool_calls=[{"id": "1", "type": "function"}]), finish_reason="tool_calls"),
        "called a tool",
    ),
    "a function call alone": (completion(said(None, function_call={"name": "f"})), "called a tool"),
    "a refusal": (completion(said(None, refusal="I cannot help with that.")), "refused by the model"),
    "a refusal as a part": (completion(said([{"type": "refusal", "refusal": "No."}])), "refused by the model"),
    "a filter, with half a text": (completion(said("Well"), finish_reason="content_filter"), "refused by the model"),
    "Gemini's filter": (completion(said(None), finish_reason="SAFETY"), "refused by the model"),
    "cut at the limit": (completion(said("Well, I"), finish_reason="length"), CUT),
    "cut, as Mistral says it": (completion(said("Well, I"), finish_reason="model_length"), CUT),
    "cut, as Gemini says it": (completion({"role": "assistant"}, finish_reason="MAX_TOKENS"), CUT),
    "cut in the middle of the thoughts": (completion(said("<think>hm"), finish_reason="length"), "was cut"),
    "full, and no word of it": (
        completion(said("Well, I"), finish_reason=None, usage={"prompt_tokens": 7, "completion_tokens": 1024}),
        "was cut",
    ),
    "broken off, as OpenRouter says it": (completion(said("Well, I"), finish_reason="error"), "broken off"),
    "broken off, as SGLang says it": (completion(said("Well, I"), finish_reason="abort"), "broken off"),
    "broken off, as DeepSeek says it": (
        completion(said("Well"), finish_reason="insufficient_system_resource"), "broken off"
    ),
    "a stream that breaks off": (events(chunk("Well, I"), done=False), "broken off"),
    "thoughts in a field and no answer": (completion(said(None, reasoning_content="hm")), "thoughts and no answer"),
    "thoughts in a tag and no answer": (completion(said("<think>hm</think>\n")), "thoughts and no answer"),
    "thoughts without an end": (completion(said("<think>hm")), "thoughts and no answer"),
    "no choices": (answer({"choices": [], "usage": USAGE}), "held no text"),
    "choices null": (answer({"choices": None}), "held no text"),
    "an error without a status": (
        answer({"error": {"message": "model\nis loading"}}), "was an error: model is loading"
    ),
    "an error that is a text": (answer({"error": "model is loading"}), "was an error: model is loading"),
    "an error inside a stream": (
        events(chunk("Well"), {"error": {"message": "engine died", "code": "internal"}}), "was an error: engine died"
    ),
}  # fmt: skip

REFUSALS: dict[str, tuple[str, Reply]] = {
    # dialect: the parameter that it refuses, and how
    "OpenAI, a value": (
        "temperature",
        refusal(openai_error("Unsupported value: 'temperature' does not support 0.3 with this model. Only the default "
                             "(1) value is supported.", "temperature", "unsupported_value")),
    ),
    "OpenAI, a parameter": (
        "temperature",
        refusal(openai_error("Unsupported parameter: 'temperature' is not supported with this model.", "temperature",
                             "unsupported_parameter")),
    ),
    "no field that names it": (
        "temperature", refusal(openai_error("`temperature` is deprecated for this model.", None, "bad_request")),
    ),
    "Mistral": (
        "seed",
        refusal({"object": "error", "message": {"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"],
                 "msg": "Extra inputs are not permitted", "input": 3}]}, "type": "invalid_request_error"}, 422),
    ),
    "Mistral on Azure": (
        "seed",
        refusal({"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"],
                             "msg": "Extra inputs are not permitted", "input": 3}]}, 422),
    ),
    "Gemini": (
        "seed",
        refusal([{"error": {"code": 400, "message": 'Invalid JSON payload received. Unknown name "seed": Cannot find '
                            "field.", "status": "INVALID_ARGUMENT"}}]),
    ),
    "LiteLLM": (
        "seed",
        refusal({"error": {"message": "litellm.UnsupportedParamsError: it does not support parameters: {'seed': 3}, "
                           "for model=x.", "type": "None", "param": None, "code": "400"}}),
    ),
}  # fmt: skip

STREAM_ONLY: dict[str, Reply] = {
    "DashScope": refusal(openai_error("This model only support stream mode, please enable the stream parameter to "
                                      "access the model. ", None, "invalid_parameter_error")),
    "DashScope, thinking": refusal(
        openai_error("parameter.enable_thinking must be set to false for non-streaming calls", None, "invalid")
    ),
    "a proxy": refusal({"detail": "Stream must be set to true"}),
}  # fmt: skip
