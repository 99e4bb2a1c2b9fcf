"""Every dialect of the servers that call themselves OpenAI-compatible leads to the text that the model said, or to one
line that says why there is none."""

from __future__ import annotations

import logging

import pytest

from fastslow.core.errors import EndpointError
from fastslow.core.thoughts import without_thoughts
from fastslow.fast.reflection.costs import Ceiling
from fastslow.fast.reflection.endpoint import OpenAIReflectionLM
from fastslow.fast.reflection.journal import JOURNAL, Journal
from tests.support.dialects import (
    REFUSALS,
    REPLIES,
    STREAM_ONLY,
    UNUSABLE,
    USAGE,
    answer,
    chunk,
    completion,
    events,
    openai_error,
    refusal,
    said,
)
from tests.support.openai_server import NO_WAIT, OpenAIServer, Reply, Request


def lm_on(server: OpenAIServer, **settings) -> OpenAIReflectionLM:
    return OpenAIReflectionLM(server.base_url, "m", api_key_env="", **settings)


@pytest.mark.parametrize("dialect", REPLIES)
def test_the_text_and_the_tokens_of_a_reply_are_read_at_the_first_try(dialect: str) -> None:
    reply, counted = REPLIES[dialect]
    with OpenAIServer([reply]) as server:
        lm = lm_on(server)
        assert lm.complete("hi", seed=3).strip() == "ok"
    assert len(server.requests) == 1
    assert (lm.usage.prompt_tokens, lm.usage.completion_tokens, lm.usage.unmetered) == counted
    assert (lm.usage.calls, lm.usage.failures) == (1, 0)


@pytest.mark.parametrize("shape", UNUSABLE)
def test_what_is_no_reply_is_drawn_once_more_and_then_explained_in_one_line(shape: str) -> None:
    reply, words = UNUSABLE[shape]
    with OpenAIServer([reply, "ok"]) as server:
        assert lm_on(server).complete("hi", seed=3) == "ok"
    with OpenAIServer([reply]) as server, pytest.raises(EndpointError) as caught:
        lm_on(server).complete("hi", seed=3)
    assert [request.json["seed"] for request in server.requests] == [3, 4]
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dialect", REFUSALS)
def test_a_refused_parameter_is_left_out_from_then_on_and_logged_once(dialect: str, caplog) -> None:
    name, refused = REFUSALS[dialect]
    with OpenAIServer(lambda request: refused if name in request.json else "ok") as server:
        lm = lm_on(server, temperature=0.3)
        with caplog.at_level(logging.WARNING, "fastslow"):
            assert [lm.complete("hi", seed=seed) for seed in (3, 4)] == ["ok", "ok"]
    assert [name in request.json for request in server.requests] == [True, False, False]
    assert set(server.requests[1].json) == set(server.requests[0].json) - {name}
    assert [name in record.getMessage() for record in caplog.records] == [True]
    assert (lm.usage.calls, lm.usage.prompt_tokens, lm.usage.failures) == (2, 14, 0), "a refusal costs nothing"


def test_parameters_that_are_refused_one_after_another_are_all_left_out() -> None:
    def reasoning_model(request: Request) -> Reply | str:
        for name in ("max_tokens", "temperature", "seed"):
            if name in request.json:
                other = " Use 'max_completion_tokens' instead." if name == "max_tokens" else ""
                return refusal(openai_error(f"Unsupported parameter: '{name}'.{other}", name, "unsupported_parameter"))
        return "ok"

    with OpenAIServer(reasoning_model) as server:
        assert lm_on(server, max_tokens=77).complete("hi", seed=3) == "ok"
    assert set(server.requests[-1].json) == {"model", "messages", "max_completion_tokens"}
    assert server.requests[-1].json["max_completion_tokens"] == 77


@pytest.mark.parametrize(
    "words",
    [
        "max_tokens is too large: 1024. This model supports at most 512 completion tokens.",
        "This model's maximum context length is 4096 tokens; your prompt has 5000. Invalid request.",
        "The seed of this conversation is blocked.",
    ],
)
def test_a_refusal_of_something_else_is_not_tried_again(words: str) -> None:
    with OpenAIServer([refusal(openai_error(words, None, "bad"))]) as server, pytest.raises(EndpointError) as caught:
        lm_on(server).complete("hi", seed=3)
    assert len(server.requests) == 1
    assert words[:40] in str(caught.value)


def test_the_limit_on_tokens_is_never_left_out_because_the_ceiling_rests_on_it() -> None:
    refused = refusal(openai_error("Unknown parameter: max_tokens, max_completion_tokens", None, "unknown_parameter"))
    with OpenAIServer([refused]) as server, pytest.raises(EndpointError):
        lm_on(server).complete("hi", seed=3)
    assert all({"max_tokens", "max_completion_tokens"} & set(request.json) for request in server.requests)


@pytest.mark.parametrize("dialect", STREAM_ONLY)
def test_a_server_that_only_streams_is_asked_for_a_stream(dialect: str) -> None:
    streamed = events(chunk("o"), chunk("k", finish_reason="stop"), {"choices": [], "usage": USAGE})
    with OpenAIServer(lambda r: streamed if r.json.get("stream") else STREAM_ONLY[dialect]) as server:
        lm = lm_on(server)
        assert [lm.complete("hi", seed=seed) for seed in (3, 4)] == ["ok", "ok"]
    assert [request.json.get("stream") for request in server.requests] == [None, True, True]
    assert (lm.usage.prompt_tokens, lm.usage.completion_tokens, lm.usage.unmetered) == (14, 6, 0)


def test_a_stream_without_a_report_of_tokens_is_taken_where_the_server_refuses_to_report() -> None:
    def server_script(request: Request) -> Reply:
        if not request.json.get("stream"):
            return STREAM_ONLY["a proxy"]
        if "stream_options" in request.json:
            return refusal(openai_error("Unrecognized request argument supplied: stream_options", None, "bad"))
        return events(chunk("ok", finish_reason="stop"))

    with OpenAIServer(server_script) as server:
        lm = lm_on(server)
        assert lm.complete("hi", seed=3) == "ok"
    assert lm.usage.unmetered == 1


@pytest.mark.parametrize("code", [429, "503"])
def test_an_error_with_a_status_inside_an_answer_is_retried_as_one(code: int | str) -> None:
    trouble = answer({"choices": None, "error": {"message": "Provider returned error", "code": code}}, headers=NO_WAIT)
    with OpenAIServer([trouble, "ok"]) as server:
        lm = lm_on(server)
        assert lm.complete("hi", seed=3) == "ok"
    assert [request.json["seed"] for request in server.requests] == [3, 3]
    assert (lm.usage.calls, lm.usage.prompt_tokens) == (1, 7)


def test_an_error_inside_an_answer_that_no_retry_mends_says_so_at_once() -> None:
    server = OpenAIServer([answer({"error": {"message": "no such key", "code": 401}})])
    with server, pytest.raises(EndpointError, match=r"HTTP 401 \(1 try\)"):
        lm_on(server).complete("hi", seed=3)
    assert len(server.requests) == 1


def test_a_web_page_instead_of_an_answer_is_named_at_once() -> None:
    server = OpenAIServer([Reply(body="<!DOCTYPE html><html><h1>Sign in</h1></html>", content_type="text/html")])
    with server, pytest.raises(EndpointError, match="answered with a web page; is it an OpenAI-compatible server"):
        lm_on(server).complete("hi", seed=3)
    assert len(server.requests) == 1


def test_an_error_that_is_a_web_page_is_told_without_its_tags() -> None:
    page = "<html><style>p {color: red}</style><h1>Bad Request</h1><p>Header too long</p></html>"
    server = OpenAIServer([Reply(body=page, status=400, content_type="text/html")])
    with server, pytest.raises(EndpointError, match="refused the request: Bad Request Header too long"):
        lm_on(server).complete("hi", seed=3)


def test_an_error_inside_an_answer_costs_nothing_and_is_not_asked_for_again_after_a_resume(tmp_path) -> None:
    with OpenAIServer([answer({"error": "busy"}), completion(said("ok"))]) as server:
        for _ in range(2):
            journal = Journal(tmp_path / JOURNAL)
            lm = lm_on(server, max_tokens=30, ceiling=Ceiling(tokens=32), journal=journal)
            assert lm.complete("hi", seed=3) == "ok"
            assert (lm.usage.calls, lm.usage.prompt_tokens, lm.usage.unmetered) == (2, 7, 0)
    assert len(server.requests) == 2


def test_the_reply_of_a_resumed_run_is_the_same_without_its_thoughts(tmp_path) -> None:
    with OpenAIServer([completion(said("<think>hm</think>ok"))]) as server:
        replies = [lm_on(server, journal=Journal(tmp_path / JOURNAL)).complete("hi", seed=3) for _ in range(2)]
    assert replies == ["ok", "ok"]
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("reply", "spoken"),
    [
        ("<think>a</think>b", "b"),
        (" <THINKING>a\n</THINKING> b", " b"),
        ("[THINK]a[/THINK]b", "b"),
        ("◁think▷a◁/think▷b", "b"),
        ("<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>b", "b"),
        ("<think>a", ""),
        ("Put your thoughts into <think> and </think>.", "Put your thoughts into <think> and </think>."),
        ("b", "b"),
        ("", ""),
    ],
)
def test_thoughts_are_taken_off_the_beginning_only(reply: str, spoken: str) -> None:
    assert without_thoughts(reply) == spoken
