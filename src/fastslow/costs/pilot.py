"""Read what nobody knows beforehand from a run that was made: lengths of answers, and shares of rows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastslow.core.errors import BadInput
from fastslow.costs.work import Range
from fastslow.files import jsonl

LONGEST = 10**7
"""Tokens of an answer: a file that says more is no run's."""
MOST_TOKENS = 1e15


@dataclass(frozen=True)
class Pilot:
    """Hold what a run measured, each as the lowest step, the mean, and the highest step.

    Args:
        prompt: tokens of context and question. `answer`: mean tokens of an answer. `reused`, `live`: shares. All but
            `answer` are None where no step has them.
        steps: slow steps that were read.
    """

    prompt: Range | None
    answer: Range
    reused: Range | None
    live: Range | None
    steps: int


def read_pilot(folder: str) -> Pilot:
    """Read a run directory, line by line. Raises BadInput where no step was made or a file is damaged."""
    place = Path(folder)
    if not (place / "routes.jsonl").is_file():
        raise BadInput(f"--pilot: '{folder}' holds no run with routes.jsonl; give a directory of 'fastslow train'.")
    tokens: dict[int, list[int]] = {}
    for row in _rows(place / "routes.jsonl"):
        lengths, step = row.get("completion_tokens"), row.get("step")
        if not isinstance(lengths, list) or not all(type(n) is int and 0 <= n <= LONGEST for n in lengths):
            raise BadInput(f"--pilot: '{place / 'routes.jsonl'}' has a line without completion_tokens.")
        if type(step) is not int:
            raise BadInput(f"--pilot: '{place / 'routes.jsonl'}' has a line without step.")
        tokens.setdefault(step, []).extend(lengths)
    tokens = {step: lengths for step, lengths in tokens.items() if lengths}
    if not tokens:
        raise BadInput(f"--pilot: '{folder}' has not made a step yet; let it make one, better a whole cycle.")
    means = [sum(lengths) / len(lengths) for lengths in tokens.values()]
    slow = [
        row for row in _rows(place / "metrics.jsonl") if row.get("phase") == "slow" and type(row.get("step")) is int
    ]
    rollouts = len(next(iter(tokens.values())))
    reused = [row["fst/reused_rollouts"] / rollouts for row in slow if _within(row, "fst/reused_rollouts", rollouts)]
    live = [row["fst/live_rows"] for row in slow if _within(row, "fst/live_rows", 1)]
    prompts = _spread(list(_prompts(slow, tokens)))
    return Pilot(prompts, _spread(means) or Range.exactly(0), _spread(reused), _spread(live), len(tokens))


def _prompts(slow: list[dict[str, Any]], tokens: dict[int, list[int]]) -> Iterable[float]:
    """Yield the mean prompt of each step: TRL counts the tokens of all rows so far, prompts and answers."""
    before, last = 0.0, 0
    for row in slow:
        if not _within(row, "num_tokens", MOST_TOKENS):
            continue
        lengths = tokens.get(row["step"] - 1)
        prompts = row["num_tokens"] - before - sum(lengths or ())
        if lengths and row["step"] == last + 1 and prompts > 0:
            yield prompts / len(lengths)
        before, last = row["num_tokens"], row["step"]


def _rows(path: Path) -> Iterable[dict[str, Any]]:
    try:
        yield from jsonl.rows(path)
    except (OSError, jsonl.BadLine) as problem:
        raise BadInput(f"--pilot: '{path}' cannot be read: {problem}.") from problem


def _within(row: dict[str, Any], name: str, most: float) -> bool:
    """Return whether a row has a number from 0 to `most`; one that is none (NaN) is not."""
    return type(row.get(name)) in (int, float) and 0 <= row[name] <= most


def _spread(values: list[float]) -> Range | None:
    return Range(min(values), sum(values) / len(values), max(values)) if values else None
