"""JSON that somebody edited is read as the dataclass that was written, or refused with the place that is wrong."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pytest

from fastslow.files.typed import read_as


@dataclass(frozen=True)
class Part:
    name: str
    share: float | None = None


@dataclass(frozen=True)
class Whole:
    state: Literal["on", "off"]
    n: int
    parts: tuple[Part, ...]
    margins: Mapping[str, float]
    about: Mapping[str, Any]


GOOD = {"state": "on", "n": 3, "parts": [{"name": "a", "share": 1}], "margins": {"t": 0.5}, "about": {"x": [1]}}


def test_what_was_written_comes_back_with_every_number_as_it_was() -> None:
    whole = read_as(Whole, GOOD)
    assert whole == Whole("on", 3, (Part("a", 1),), {"t": 0.5}, {"x": [1]})
    assert type(whole.parts[0].share) is int


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"state": "maybe"}, "state must be one of on, off, got 'maybe'"),
        ({"state": ["on"]}, "state must be one of on, off, got a list"),
        ({"n": True}, "n must be a whole number, got True"),
        ({"n": 1.0}, "n must be a whole number, got 1.0"),
        ({"n": 10**4000}, "n must be a whole number, got 1000"),
        ({"parts": {}}, "parts must be a list, got a mapping"),
        ({"parts": [[]]}, "parts.0 must be a mapping, got a list"),
        ({"parts": [{}]}, "parts.0.name is missing"),
        ({"parts": [{"name": "a", "\x1b[2J": 1}]}, "there is no parts.0.\N{REPLACEMENT CHARACTER}[2J"),
        ({"parts": [{"name": None}]}, "parts.0.name must be text, got None"),
        ({"margins": []}, "margins must be a mapping, got a list"),
        ({"margins": {"t": float("nan")}}, "margins.t must be a number, got nan"),
        ({"margins": {"t": float("inf")}}, "margins.t must be a number, got inf"),
        ({"margins": {"t": 10**400}}, "margins.t must be a number, got 1000"),
        ({"margins": {"t": "0.5"}}, "margins.t must be a number, got '0.5'"),
    ],
)
def test_any_other_value_is_refused_by_its_place(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)) as refused:
        read_as(Whole, {**GOOD, **changes})
    assert str(refused.value).startswith(words)
    assert len(str(refused.value)) < 200
