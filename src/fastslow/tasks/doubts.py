"""Collect what in a task's questions and answers was hardly meant, for a warning of `train` and for `tasks check`.

What certainly cannot be used is refused where the rows are read (`families/reader`). This is the rest: usable, but
perhaps not what the user has in mind.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from fastslow.core.texts import folded
from fastslow.tasks.damage import ESCAPES, NOT_A_NUMBER, NOTHING, STAND_INS, possible_command, strange_character

LINE_FEED = ESCAPES["\n"][1]
ALIKE = "questions differ in case, spaces or the form of characters alone"
KEPT_TOGETHER = f"{ALIKE}; they are kept in one split"
DIFFERING = f"{ALIKE}, and have different answers"


class Question(NamedTuple):
    """A question with where it stands ("line 3"), its text, and its right answer where one is stated."""

    place: str
    text: str
    answer: str | None


@dataclass
class Doubts:
    """Hold kinds of doubt, each with the places where it occurs. With `problems` a task is not fit to train on, with
    `remarks` it may be."""

    problems: dict[str, list[str]] = field(default_factory=dict)
    remarks: dict[str, list[str]] = field(default_factory=dict)

    def problem(self, kind: str, place: str) -> None:
        self.problems.setdefault(kind, []).append(place)

    def remark(self, kind: str, place: str) -> None:
        self.remarks.setdefault(kind, []).append(place)


def summaries(kinds: Mapping[str, Sequence[str]], unit: str = "examples") -> list[str]:
    """Return one line for each kind: how many, and the first place."""
    lines = []
    for kind, places in kinds.items():
        count = f" ({len(places)} {unit})" if len(places) > 1 else ""
        lines.append(f"{kind}{count}{f': {places[0]}' if places[0] else ''}")
    return lines


def doubts_about(questions: Iterable[Question]) -> Doubts:
    """Look at every text by itself."""
    doubts, questions = Doubts(), list(questions)
    for question in questions:
        _doubt_text(question, doubts)
        if question.answer is not None:
            _doubt_answer(question.place, question.answer, doubts)
    _doubt_words(questions, doubts)
    return doubts


def excerpt(text: str, most: int = 60) -> str:
    """Return text as a line of a terminal may show it."""
    return repr(text if len(text) <= most else text[:most] + "...")


def _doubt_text(question: Question, doubts: Doubts) -> None:
    if strange := strange_character(question.text):
        doubts.remark("a question holds a control character or U+FFFD", f"{question.place} ({strange})")
    if eaten := possible_command(question.text):
        doubts.remark("a question may have lost a command", f"{question.place}, perhaps {eaten}")


def _doubt_answer(place: str, answer: str, doubts: Doubts) -> None:
    if strange := strange_character(answer):
        doubts.problem("the right answer holds a control character or U+FFFD", f"{place} ({strange})")
    if eaten := possible_command(answer, gold=True):
        note = doubts.remark if eaten.character == LINE_FEED else doubts.problem
        note("the right answer may have lost a command", f"{place}, perhaps {eaten}")
    if answer.strip() in NOT_A_NUMBER:
        doubts.problem("the right answer is a word that programs write for no value", f"{place}, {excerpt(answer)}")


def _doubt_words(questions: Sequence[Question], doubts: Doubts) -> None:
    """Doubt words that can be an answer, which they hardly are in most rows."""
    answers = [(q, q.answer.strip()) for q in questions if q.answer is not None]
    kinds = {
        "the right answer is a word that programs write where there is none; is it meant?": [
            q for q, answer in answers if answer in NOTHING
        ],
        "the right answer is what people write where they have none; is it meant?": [
            q for q, answer in answers if answer.casefold() in STAND_INS and answer not in NOTHING
        ],
    }
    for kind, found in kinds.items():
        note = doubts.problem if 2 * len(found) > len(answers) else doubts.remark
        for question in found:
            note(kind, f"{question.place}, {excerpt(question.answer or '')}")


def doubt_wordings(questions: Iterable[Question], doubts: Doubts) -> None:
    """Add the questions of one source that differ in case, spaces or the form of characters alone."""
    alike: dict[str, list[Question]] = defaultdict(list)
    for question in questions:
        alike[folded(question.text)].append(question)
    for first, *others in alike.values():
        for other in others:
            place = f"{first.place} and {other.place}"
            if same_answer(first.answer, other.answer):
                doubts.remark(KEPT_TOGETHER, place)
            else:
                doubts.remark(DIFFERING, f"{place}: {excerpt(first.answer or '')} and {excerpt(other.answer or '')}")


def same_answer(one: str | None, other: str | None) -> bool:
    """Return whether two stated answers may be one; where either is missing, they may."""
    return one is None or other is None or one.strip() == other.strip()
