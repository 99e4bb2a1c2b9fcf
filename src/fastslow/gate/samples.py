"""Read answers that another program scored: lm-eval's `--log_samples` files, or `fastslow eval --samples_file`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastslow.core.errors import BadInput, quoted
from fastslow.files import jsonl

KEYS = ("doc_id", "example_id")
"""What names a question: of lm-eval, and of ours."""

CONTENT = ("doc_hash", "target_hash", "prompt_hash")
"""What lm-eval says of a question's content, where it says anything."""

Scores = dict[str, list[float | None]]


def read_pair(candidate: str, baseline: str, metric: str) -> tuple[list[list[float | None]], list[list[float | None]]]:
    """Return the scores of each question of two files, in one order.

    Raises BadInput for a file that is empty, is no such file or lacks the metric, and where the two files do not hold
    answers to the same questions.
    """
    first, second = read_samples(candidate, metric), read_samples(baseline, metric)
    for one, other, path in ((first, second, baseline), (second, first, candidate)):
        missing = next((key for key in one if key not in other), None)
        if missing is not None:
            raise BadInput(
                f"'{candidate}' and '{baseline}' do not answer the same questions: '{path}' lacks question "
                f"{quoted(missing, 100)}."
            )
    return [first[key] for key in first], [second[key] for key in first]


def read_samples(path: str, metric: str) -> Scores:
    """Return question -> scores. A question is named by its id, its content and, in lm-eval's files, its filter."""
    scores: Scores = {}
    try:
        with Path(path).open("rb") as file:
            for number, row in jsonl.objects(file):
                key = next((name for name in KEYS if name in row), None)
                if key is None:
                    raise BadInput(
                        f"'{path}' line {number} names no question ({' or '.join(KEYS)}); give a file of lm-eval's "
                        "--log_samples or of fastslow eval --samples_file."
                    )
                if key == "example_id" and not _released(row):
                    continue
                scores.setdefault(_question(row, key), []).append(_score(row, metric, f"'{path}' line {number}"))
    except OSError as error:
        raise BadInput(f"samples file '{path}' cannot be read: {error.strerror or error}.") from error
    except jsonl.BadLine as error:
        raise BadInput(f"samples file '{path}' line {error.number} {error.problem}.") from error
    if not scores:
        raise BadInput(f"samples file '{path}' holds no answers.")
    return scores


def _released(row: Mapping[str, Any]) -> bool:
    """Whether a line of ours is about the trained weights under the lead context: an evaluation has others as well."""
    return row.get("weights") == "trained" and row.get("context") == "lead"


def _question(row: Mapping[str, Any], key: str) -> str:
    parts = [row.get("task"), row[key], *(row.get(name) for name in (*CONTENT, "filter"))]
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
