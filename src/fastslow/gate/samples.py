"""Read answers that another program scored: lm-eval's `--log_samples` files, or `fastslow eval --samples_file`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from fastslow.core.errors import BadInput, quoted
from fastslow.files import jsonl

KEYS = ("doc_id", "example_id")
"""What names a question: of lm-eval, and of ours."""

DOCUMENT = ("doc_hash", "target_hash")
"""What lm-eval says of a document's content, where it says anything."""

WAYS = ("filter", "prompt_hash")
"""In which ways one document may be scored more than once. Pairs of one document are not independent, and two of them
would count as two questions."""

FEW = 20
"""Filters that a message lists: a file may hold anything."""

Scores = dict[str, list[float | None]]


def read_pair(
    candidate: str, baseline: str, metric: str, filter: str = ""
) -> tuple[list[list[float | None]], list[list[float | None]]]:
    """Return the scores of each question of two files, in one order; of lm-eval's filters only `filter`, if given.

    Raises BadInput for a file that is empty, is no such file, lacks the metric or the filter, or has one document under
    several filters or prompts, and where the two files do not hold answers to the same questions.
    """
    first, second = read_samples(candidate, metric, filter), read_samples(baseline, metric, filter)
    for one, other, path in ((first, second, baseline), (second, first, candidate)):
        missing = next((key for key in one if key not in other), None)
        if missing is not None:
            raise BadInput(
                f"'{candidate}' and '{baseline}' do not answer the same questions: '{path}' lacks question "
                f"{quoted(missing, 100)}."
            )
    return [first[key] for key in first], [second[key] for key in first]


def read_samples(path: str, metric: str, filter: str = "") -> Scores:
    """Return question -> scores. A question is named by its id, its content and, in lm-eval's files, its filter."""
    scores: Scores = {}
    filters: dict[str, None] = {}
    ways: dict[str, set[tuple[str, ...]]] = {}
    for where, row in _rows(path):
        filters[str(row.get("filter", "none"))] = None
        if filter and row.get("filter") != filter:
            continue
        ways.setdefault(_named(row, DOCUMENT), set()).add(tuple(str(row.get(way)) for way in WAYS))
        scores.setdefault(_named(row, (*DOCUMENT, *WAYS)), []).append(_score(row, metric, where))
    if filters and not scores:
        raise BadInput(f"samples file '{path}' holds no answers of filter '{filter}'; it has {_listed(filters)}.")
    if not scores:
        raise BadInput(f"samples file '{path}' holds no answers.")
    twice = next((document for document, found in ways.items() if len(found) > 1), None)
    if twice is not None:
        several = len({found[0] for found in ways[twice]}) > 1
        what = f"filters: {_listed(filters)}; name one with 'filter'" if several else "prompts; give a file with one"
        raise BadInput(f"'{path}' has question {quoted(twice, 100)} under several {what}: a question counts once.")
    return scores


def _rows(path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield every line that is about the model as released, with its place in words."""
    try:
        with Path(path).open("rb") as file:
            for number, row in jsonl.objects(file):
                if not any(name in row for name in KEYS):
                    raise BadInput(
                        f"'{path}' line {number} names no question ({' or '.join(KEYS)}); give a file of lm-eval's "
                        "--log_samples or of fastslow eval --samples_file."
                    )
                if KEYS[0] in row or _released(row):
                    yield f"'{path}' line {number}", row
    except OSError as error:
        raise BadInput(f"samples file '{path}' cannot be read: {error.strerror or error}.") from error
    except jsonl.BadLine as error:
        raise BadInput(f"samples file '{path}' line {error.number} {error.problem}.") from error


def _listed(names: Iterable[str]) -> str:
    return ", ".join(quoted(name, 60) for name in islice(names, FEW))


def _released(row: Mapping[str, Any]) -> bool:
    """Whether a line of ours is about the trained weights under the lead context: an evaluation has others as well."""
    return row.get("weights") == "trained" and row.get("context") == "lead"


def _named(row: Mapping[str, Any], about: Sequence[str]) -> str:
    """Return the name of a line's question, by its id and what the line says `about` it."""
    key = next(name for name in KEYS if name in row)
    parts = [row.get("task"), row[key], *(row.get(name) for name in about)]
    return "/".join(str(part) for part in parts if part is not None)


def _score(row: Mapping[str, Any], metric: str, where: str) -> float | None:
    name = "reward" if "example_id" in row else metric
    if name not in row:
        raise BadInput(f"{where} has no '{name}'; name the column with 'metric' in the policy.")
    value = row[name]
    if value is None:
        return None
    # The comparison is false for NaN as well, and needs no float: a whole number may be larger than any.
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise BadInput(f"{where}: '{name}' must be a number from 0 to 1, got {value!r:.60}.")
    return float(value)
