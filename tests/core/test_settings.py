"""Fields that say what they allow: help made from bounds, and refusals that say how to mend a value."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, fields

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import HfArgumentParser

from fastslow.core.errors import BadInput
from fastslow.core.settings import SettingsGroup, Spec, check_settings, inherited, setting, specs_of


@dataclass
class Example(SettingsGroup):
    """Settings of every kind."""

    title = "Example"

    count: int = setting(4, "Things.", unit="things", at_least=1)
    size: int | None = setting(None, "Most of them.", at_least=0, at_most=1_000_000)
    rate: float = setting(1.0, "How fast.", above=0)
    part: float = setting(0.1, "What is drawn.", unit="share", at_least=0, at_most=0.9)
    floor: float | None = setting(None, "What is kept.", unit="share", above=0, at_most=1)
    top: float = inherited(1.0, "What is sampled from.", unit="probability", above=0, at_most=1)
    colour: str = setting("red", "'red' or 'green'.", choices=("red", "green"))
    shape: str = setting("disc", "The form.", choices=("disc", "ring", "cross", "star"), channel="slow")
    names: list[str] | None = setting(None, "Names.", in_bundle=True)  # noqa: RUF009 - the default is None
    loud: bool = setting(False, "Whether it is heard.", incidental=True)


def check(**values: object) -> None:
    check_settings(Example(**values), specs_of(Example))  # type: ignore[arg-type] - wrong types are the point


def test_the_defaults_of_a_group_are_allowed() -> None:
    check()


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"count": 0}, "count must be at least 1, got 0."),
        ({"count": "4"}, "count must be a whole number, got '4'."),
        ({"count": True}, "count must be a whole number, got True."),
        ({"count": None}, "count must be a whole number, got None."),
        ({"count": 2.0}, "count must be a whole number, got 2.0."),
        ({"size": -1}, "size must not be negative, got -1."),
        ({"size": 2_000_000}, "size must be at most 1,000,000, got 2,000,000."),
        ({"size": "x"}, "size must be a whole number or none, got 'x'."),
        ({"rate": 0}, "rate must be above 0, got 0."),
        ({"rate": float("inf")}, "rate must be a finite number, got inf."),
        ({"rate": float("nan")}, "rate must be a finite number, got nan."),
        ({"part": 0.95}, "part is a share from 0 to 0.9, got 0.95."),
        ({"part": -0.1}, "part is a share from 0 to 0.9, got -0.1."),
        ({"floor": 0}, "floor is a share above 0 and at most 1, got 0."),
        ({"top": 1.5}, "top is a probability, got 1.5."),
        ({"top": 0.0}, "top must be above 0, got 0.0."),
        ({"colour": "gren"}, "colour is 'red' or 'green', got 'gren'. Did you mean 'green'?"),
        ({"shape": "rign"}, "unknown shape 'rign'. Did you mean 'ring'?"),
        ({"shape": "x"}, "unknown shape 'x'. Known: cross, disc, ring, star."),
        ({"names": "a"}, "names must be a list or none, got 'a'."),
        ({"names": ["a", 1]}, "names must be a list of texts, got ['a', 1]."),
        ({"loud": 1}, "loud must be true or false, got 1."),
    ],
)
def test_what_a_field_does_not_allow_is_refused_in_one_line(values: dict, says: str) -> None:
    with pytest.raises(BadInput) as refused:
        check(**values)
    assert str(refused.value) == says


WORDS = st.sampled_from(["", "red", "4", "é"])
ANYTHING = st.none() | st.booleans() | st.integers() | st.floats() | WORDS | st.lists(WORDS | st.integers(), max_size=2)


@given(st.dictionaries(st.sampled_from([f.name for f in fields(Example)]), ANYTHING))
def test_whatever_a_recipe_holds_is_taken_or_refused_in_our_words(values: dict) -> None:
    with contextlib.suppress(BadInput):
        check(**values)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("count", "Things. [things, >= 1]"),
        ("size", "Most of them. [0 to 1,000,000]"),
        ("rate", "How fast. [> 0]"),
        ("part", "What is drawn. [share, 0 to 0.9]"),
        ("floor", "What is kept. [share, above 0, at most 1]"),
        ("colour", "'red' or 'green'."),
    ],
)
def test_the_help_is_made_with_unit_and_bounds(name: str, text: str) -> None:
    assert {f.name: f.metadata["help"] for f in fields(Example)}[name] == text


def test_what_a_field_says_is_read_back_in_order() -> None:
    specs = specs_of(Example)
    assert list(specs) == [f.name for f in fields(Example)]
    assert specs["shape"] == Spec(choices=("disc", "ring", "cross", "star"), channel="slow")
    assert [name for name, spec in specs.items() if spec.inherited] == ["top"]
    assert [name for name, spec in specs.items() if spec.in_bundle] == ["names"]
    assert [name for name, spec in specs.items() if spec.incidental] == ["loud"]


def test_a_word_that_a_spec_does_not_know_is_an_error_where_the_field_is_written() -> None:
    with pytest.raises(TypeError, match="at_lest"):
        setting(1, "Misspelt.", at_lest=1)


def test_the_parser_of_transformers_takes_the_fields_as_they_are() -> None:
    (made,) = HfArgumentParser(Example).parse_args_into_dataclasses(["--count", "7", "--names", "a", "b", "--loud"])  # type: ignore[arg-type]
    assert (made.count, made.names, made.loud, made.part) == (7, ["a", "b"], True, 0.1)
