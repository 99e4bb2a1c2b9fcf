"""Compare the form of wrong answers with that of right ones: a number alone, one word, a box, the case of its letters.

The set is small, and each form is one that stock scorers hold an answer to. A form counts only where the right answers
have it, whatever the feedback says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from fastslow.core.types import Trace
from fastslow.fast.proposers.kinds import SHARED, Kind, count

LEAST_RIGHT = 3
"""Right answers from which on their form says something."""

NUMBER = re.compile(r"[-+−]?(?:\d[\d,]*)?\.?\d+%?")

MAX_CHARS = 2_000
"""Characters of a right answer that are looked at; a wrong one is only asked for its length beyond that."""


@dataclass(frozen=True)
class Form:
    """Hold a rule about the form of answers, and whether an answer keeps to it."""

    rule: str
    kept: Callable[[str], bool]


def _is_number(answer: str) -> bool:
    return NUMBER.fullmatch(answer) is not None


def _is_word(answer: str) -> bool:
    return answer.replace("-", "").isalpha()


FORMS = (
    Form("Always give an answer.", bool),
    Form("Answer with the number alone.", _is_number),
    Form("Answer with one word alone.", _is_word),
    Form(r"Put the final answer in \boxed{}.", lambda answer: r"\boxed{" in answer),
    Form("Answer in capital letters.", str.isupper),
    Form("Answer in lower case.", str.islower),
)
CASES = FORMS[-2:]
SHORT = "Keep the answer short."
LONGER = 2
"""A wrong answer is long if it has more than this many times the characters of the longest right one."""


def forms_of(right: Sequence[str]) -> list[Form]:
    """Return the forms that nearly all of these right answers have; none of fewer than three answers."""
    right = [answer.strip()[:MAX_CHARS] for answer in right]
    if len(right) < LEAST_RIGHT:
        return []
    longest = max(map(len, right))
    short = Form(SHORT, lambda answer: len(answer) <= LONGER * longest)
    in_words = all(answer.replace(" ", "").isalpha() for answer in right)  # of a formula or of JSON, case says nothing
    return [
        form
        for form in (*FORMS, short)
        if sum(form.kept(answer) for answer in right) >= SHARED * len(right) and (form not in CASES or in_words)
    ]


def form_kinds(traces: Sequence[Trace], right: Sequence[str], answers: Mapping[str, str]) -> list[Kind]:
    """Return each form that right answers have and the answers of these traces lack often enough; its rule is `said`.

    Args:
        traces: scored traces. right: answers known to be right. answers: the answers of the traces' examples, by id.
    """
    found = []
    for form in forms_of(right):
        kind = Kind(form.rule)
        for trace in traces:
            answer = trace.completion.strip()
            # An empty answer has one fault, whatever else it lacks.
            if not form.kept(answer) and (answer or form is FORMS[0]):
                count(kind, trace, answers)
        if kind.seen_often:
            found.append(kind)
    return found
