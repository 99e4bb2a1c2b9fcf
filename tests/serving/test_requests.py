"""What a stranger sends is read, or refused with the name of the field, before any server behind sees it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fastslow.serving.errors import Refused
from fastslow.serving.requests import LONGEST_ARGUMENT, MOST_MESSAGES, REFUSED, ChatRequest, read_request
from tests.support.proxy import ask


def read(body: dict[str, Any] | bytes) -> ChatRequest:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_request(raw, models=("ours",), arguments=("enable_thinking",))


def refused(body: dict[str, Any] | bytes) -> Refused:
    with pytest.raises(Refused) as raised:
        read(body)
    assert raised.value.body()["error"]["message"]
    return raised.value


def test_what_is_not_about_messages_is_kept_as_it_is() -> None:
    fields = {
        "temperature": 0.1,
        "seed": 2**60,
        "stop": ["\n"],
        "tools": [{"type": "function"}],
        "x_unknown": {"a": [1]},
    }
    assert read(ask(**fields)).fields == fields


def test_parts_of_text_become_one_text() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert read({"messages": [{"role": "user", "content": parts}]}).turns == [{"role": "user", "content": "a\nb"}]


def test_a_tool_call_without_text_passes() -> None:
    call = {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}
    chat = read({"messages": [{"role": "user", "content": "q"}, call, {"role": "tool", "content": "r"}]})
    assert chat.turns[1] == call


@pytest.mark.parametrize("name", REFUSED)
def test_fields_that_name_files_code_or_machines_are_refused(name: str) -> None:
    assert refused(ask(**{name: "file:///etc/passwd"})).field == name


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "file:///etc/passwd"}},
        {"type": "image_url", "image_url": {"url": "http://169.254.169.254/latest/meta-data"}},
        {"type": "input_audio", "input_audio": {"data": "", "format": "wav"}},
        {"type": "video_url", "video_url": {"url": "file:///dev/zero"}},
        {"type": "file", "file": {"file_id": "x"}},
        {"type": "text", "text": {"a": 1}},
        {"type": "text"},
        "text",
        None,
    ],
)
def test_parts_that_are_no_text_are_refused(part: Any) -> None:
    assert "messages[0].content" in str(refused({"messages": [{"role": "user", "content": [part]}]}))


@pytest.mark.parametrize(
    "arguments",
    [
        {"chat_template": "{{ cycler.__init__.__globals__ }}"},
        {"tokenize": False},
        {"return_tensors": "pt"},
        {"documents": []},
        {"enable_thinking": {"a": 1}},
        {"enable_thinking": "x" * (LONGEST_ARGUMENT + 1)},
        {"fastslow_context": ["a"]},
        [],
        "x",
    ],
)
def test_arguments_that_the_template_does_not_read_are_refused(arguments: Any) -> None:
    assert "chat_template_kwargs" in str(refused(ask(chat_template_kwargs=arguments)))


def test_arguments_that_the_template_reads_pass() -> None:
    chat = read(ask(chat_template_kwargs={"enable_thinking": False, "fastslow_context": "lead"}))
    assert (chat.arguments, chat.context) == ({"enable_thinking": False}, "lead")


@pytest.mark.parametrize("model", ["../../etc", "gpt-4", "hf://evil/model", 7, ["ours"], ""])
def test_another_model_is_not_found(model: Any) -> None:
    assert refused({**ask(), "model": model}).status == 404


@pytest.mark.parametrize("reference", ["file:///etc/passwd", "http://host/x.json", "../x.json"])
def test_a_schema_that_refers_to_a_file_is_refused(reference: str) -> None:
    schema = {"type": "json_schema", "json_schema": {"schema": {"properties": {"a": [{"$ref": reference}]}}}}
    assert refused(ask(response_format=schema)).field == "$ref"
    assert read(ask(response_format={"a": {"$ref": "#/$defs/x"}}))


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"null", b"1", b"\xff\xfe{}", b'{"messages": [NaN]}', b"[" * 100_000, b'{"a":' * 100_000,
        b'{"messages": [{"role": "user", "content": "\\ud83d"}]}', b'{"temperature": 1e999, "messages": []}',
        b'{"seed": ' + b"9" * 5000 + b"}", b"\xef\xbb\xbf{}", '{"messages": "\ud800"}'.encode("utf-8", "surrogatepass"),
    ],
    ids=range(14),
)  # fmt: skip
def test_a_body_that_is_no_json_in_utf8_is_refused(body: bytes) -> None:
    assert refused(body).status == 400


@pytest.mark.parametrize(
    "messages",
    [
        None, [], {}, "x", [None], ["x"], [{}], [{"role": "user"}], [{"role": "root", "content": "x"}],
        [{"role": ["user"], "content": "x"}], [{"role": "user", "content": 7}], [{"role": "user", "content": []}],
        [{"role": "assistant", "content": None}], [{"role": "user", "content": "x"}] * (MOST_MESSAGES + 1),
    ],
)  # fmt: skip
def test_messages_that_are_none_are_refused(messages: Any) -> None:
    assert refused({"messages": messages}).status == 400
