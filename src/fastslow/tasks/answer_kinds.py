"""Find out what the answers of a file are: JSON, numbers, letters of options, labels, or any texts.

One bad cell among many does not change what the others are: it is named, and left to the user.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from fastslow.core.texts import folded
from fastslow.tasks.scoring import scorer_named, values

MOST_LABELS = 20
LABEL_CHARS = 40
OPTION_CHARS = 4
"""Characters of an option's letter with what may stand around it: '(B)', 'b.'."""
FEW = 10
"""Where one answer in so many, or fewer, is unlike all others, it is a fault and not one of another kind."""


class AnswerKind(NamedTuple):
    """What most answers are: json, number, choice (letters of options), labels (any of a few texts) or exact (any
    text). `labels` are all labels, the most frequent first, and `odd` the places of the answers that are not so."""

    name: str
    labels: tuple[str, ...] = ()
    odd: tuple[int, ...] = ()


def kind_of(answers: Sequence[str]) -> AnswerKind:
    """Return what the answers are; of those that are unlike the rest there are few, or none."""
    if not answers:
        return AnswerKind("exact")
    labels = labels_of(answers)
    counts = Counter(answer.strip() for answer in answers)
    for name in ("json", "number", "choice"):
        odd = [place for place, answer in enumerate(answers) if not _is(name, answer)]
        # An odd text that comes again, such as "unknown" among numbers, is one of the labels where these are few.
        again = labels.name == "labels" and any(counts[answers[place].strip()] > 1 for place in odd)
        if FEW * len(odd) <= len(answers) and not again:
            return AnswerKind(name, odd=tuple(odd))
    return labels


def labels_of(answers: Sequence[str]) -> AnswerKind:
    """Return the kind labels where different answers are few, short and come again, else the kind exact."""
    odd = tuple(place for place, answer in enumerate(answers) if not _short(answer.strip()))
    counts = Counter(answer.strip() for place, answer in enumerate(answers) if place not in set(odd))
    few = 0 < len(counts) <= MOST_LABELS and 2 * len(counts) <= counts.total() and FEW * len(odd) <= len(answers)
    return AnswerKind("labels", tuple(label for label, _ in counts.most_common()), odd) if few else AnswerKind("exact")


def twins_of(labels: Sequence[str], answers: Sequence[str]) -> list[str]:
    """Return a line for each group of labels that differ in case, spaces or the form of characters alone."""
    counts, alike = Counter(answer.strip() for answer in answers), defaultdict(list)
    for label in labels:
        alike[folded(label)].append(label)
    return [
        " and ".join(f"'{label}' ({counts[label]})" for label in group) for group in alike.values() if len(group) > 1
    ]


def _is(name: str, answer: str) -> bool:
    if name == "json":
        return _structured(answer)
    short = name == "number" or len(answer.strip()) <= OPTION_CHARS
    return short and scorer_named(name, "").objection(answer) is None


def _short(label: str) -> bool:
    return len(label) <= LABEL_CHARS and label.isprintable()


def _structured(answer: str) -> bool:
    if answer.lstrip()[:1] not in ("{", "["):
        return False
    try:
        return isinstance(values.load(answer), dict | list)
    except values.NotJson:
        return False
