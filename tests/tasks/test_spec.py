"""Task names are taken apart, put together and converted to types."""

from __future__ import annotations

import enum
from typing import Any, Literal

import pytest

from fastslow.core.errors import BadInput
from fastslow.tasks.spec import coerce, format_spec, parse_spec


class Colour(enum.Enum):
    RED = "red"


def test_a_name_falls_into_its_parts() -> None:
    spec = parse_spec("jsonl:data/my.jsonl?question=prompt&operators=+,-&text=a%26b")
    assert (spec.family, spec.rest) == ("jsonl", "data/my.jsonl")
    assert spec.params == {"question": "prompt", "operators": "+,-", "text": "a&b"}


@pytest.mark.parametrize("text", ["", "?a=1", "x?a", "x?=1", "x?=", "x?a=1&a=2"])
def test_a_malformed_name_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="task '"):
        parse_spec(text)


@pytest.mark.parametrize("params", [{}, {"b": "2", "a": "1"}, {"x": "a&b=c?", "y": "+ ,-", "z": "\u2713"}])
def test_a_name_that_was_put_together_comes_apart_again(params: dict[str, str]) -> None:
    assert dict(parse_spec(format_spec("family:rest", params)).params) == params


def test_the_order_of_parameters_does_not_count() -> None:
    assert format_spec("x", {"b": "2", "a": "1"}) == format_spec("x", {"a": "1", "b": "2"}) == "x?a=1&b=2"


@pytest.mark.parametrize(
    ("text", "hint", "value"),
    [
        ("3", int, 3),
        ("0.5", float, 0.5),
        ("yes", bool, True),
        ("FALSE", bool, False),
        ("1,2", list[int], [1, 2]),
        ("", list[int], []),
        ("1,2", tuple[int, ...], (1, 2)),
        ("none", int | None, None),
        ("3", int | None, 3),
        ("b", Literal["a", "b"], "b"),
        ("red", Colour, "red"),
    ],
)
def test_a_text_becomes_a_value_of_its_type(text: str, hint: Any, value: Any) -> None:
    converted = coerce(text, hint)
    assert getattr(converted, "value", converted) == value


@pytest.mark.parametrize(
    ("text", "hint"), [("x", int), ("inf", float), ("maybe", bool), ("c", Literal["a", "b"]), ("blue", Colour)]
)
def test_a_text_of_another_type_is_refused(text: str, hint: Any) -> None:
    with pytest.raises(ValueError, match=r"number|finite|true or false|one of"):
        coerce(text, hint)


def test_a_type_that_a_name_cannot_express_is_a_type_error() -> None:
    with pytest.raises(TypeError):
        coerce("x", dict[str, int])


@pytest.mark.parametrize(
    ("text", "head"),
    [
        ("x.jsonl", "jsonl:x.jsonl"),
        ("./data/x.JSON?question=q", "hf:./data/x.JSON"),
        ("/data/x.csv?scorer=number", "hf:/data/x.csv"),
        ("csv:x.csv", "hf:x.csv"),
        ("jsonl:x.csv", "hf:x.csv"),
        ("parquet:a/x.parquet", "hf:a/x.parquet"),
        ("json:x.jsonl", "jsonl:x.jsonl"),
        ("jsonl:x.json", "jsonl:x.json"),
        ("hf:x.csv", "hf:x.csv"),
        ("hf:x.jsonl", "hf:x.jsonl"),
        ("package.module:csv", "package.module:csv"),
        ("star_graph", "star_graph"),
    ],
)
def test_the_name_of_a_file_alone_stands_for_the_family_that_reads_it(text: str, head: str) -> None:
    assert parse_spec(text).head == head
