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
        {"_private": 1},
        {"__class__": "x"},
        {"conversation": "x"},
        {"continue_final_message": True},
        {"enable_thinking ": True},
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


@pytest.mark.parametrize("kind", ["mcp", "web_search", "code_interpreter", "file_search", None, ["function"]])
def test_tools_that_the_server_would_call_are_refused(kind: Any) -> None:
    tools = [{"type": "function", "function": {"name": "f"}}, {"type": "custom"}, "x"]
    assert read(ask(tools=tools)).fields["tools"] == tools
    assert refused(ask(tools=[*tools, {"type": kind, "server_url": "http://host"}])).field == "tools[3].type"


def placed(schema: Any) -> list[dict[str, Any]]:
    """The fields by which servers take a schema, each with this one."""
    return [
        {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}},
        {"response_format": {"type": "json_object", "schema": schema}},
        {"response_format": {"type": "json", "value": schema}},
        {"guided_json": schema},
        {"json_schema": schema},
        {"structured_outputs": {"json": schema}},
        {"guided_decoding": {"json": schema}},
    ]


SAFE = {"$schema": "http://json-schema.org/draft-07/schema#", "$defs": {"x": {}}, "items": {"$ref": "#/$defs/x"}}


@pytest.mark.parametrize("reference", ["file:///etc/passwd", "http://host/x.json", "../x.json", " #/x", ""])
@pytest.mark.parametrize("name", ["$ref", "$dynamicRef", "$recursiveRef", "$schema"])
def test_a_schema_that_leads_out_of_itself_is_refused_wherever_it_stands(name: str, reference: str) -> None:
    schema = {"properties": {"a": [{name: reference}]}}
    tool = {"type": "function", "function": {"name": "f", "parameters": schema}}
    tag = {"structural_tag": json.dumps({"structures": [{"schema": json.dumps(schema)}]})}
    others: list[dict[str, Any]] = [{"tools": [tool]}, tag, {"any": [schema]}]
    for fields in [*placed(schema), *placed(json.dumps(schema)), *others]:
        assert refused(ask(**fields)).field == name
    hidden = json.dumps(schema).replace("$", "\\u0024")
    assert refused(ask(guided_json=hidden)).field == name
    twice = f'{{"{name}": "{reference}", "{name}": "#/x"}}'
    assert "each key once" in str(refused(ask(guided_json=twice)))


def test_a_schema_that_refers_to_its_own_parts_passes_wherever_it_stands() -> None:
    odd = {"properties": {"$ref": {"type": "string"}, "json": {"type": "string"}, "$schema": {}}}
    for schema in (SAFE, json.dumps(SAFE), odd, {"$schema": "https://json-schema.org/draft/2020-12/schema"}):
        for fields in placed(schema):
            assert read(ask(**fields)).fields == fields
    texts = {"stop": ["{", "[x"], "user": '{"a": 1}', "guided_json": None, "metadata": {"a": "$ref"}}
    assert read(ask(**texts)).fields == texts


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "schema.json", "file:///x", "", "[]", "{", "{} /etc/passwd", "[" * 9999]
)
def test_the_name_of_a_schema_is_none(path: str) -> None:
    for fields in placed(path):
        assert refused(ask(**fields)).status == 400


@pytest.mark.parametrize("field", ["guided_grammar", "grammar", "ebnf"])
def test_a_grammar_imports_from_no_file(field: str) -> None:
    for line in ("%import .etc.passwd", "%import other.X", "%import common_.X", "%import\n.x"):
        assert refused(ask(**{field: f"start: X\n{line}"})).field == field
        assert refused(ask(structured_outputs={field: line})).field == field
    assert read(ask(**{field: "start: WORD\n%import common.WORD"}))


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
