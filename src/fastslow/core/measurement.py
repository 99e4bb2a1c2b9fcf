"""The result of an evaluation, and every answer that it is the mean of.

A row of evals.jsonl is a `Measurement` without its answers, of which answers.jsonl shows a few; a line of `fastslow
eval --samples_file` is one `Answer`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import zip_longest
from typing import Any, Literal

from fastslow.core.types import Split

Weights = Literal["trained", "base"]
Quantity = Literal["accuracy", "fully_right", "kl", "entropy"]

CONTEXT_TITLES = {
    "seed": "plain prompt (seed)",
    "lead": "best prompt (lead)",
    "mean": "population mean",
    "cluster": "best of the cluster",
    "nearest": "best of the nearest",
    "retrieved": "retrieved answers",
}
"""Context of a measurement -> what it is called where people read it first. A seed is also a number, and who leads is
not said by the word; files and wide tables have the short names."""

OFTEN = 0.25
"""Share of the answers from which on the commonest one is shown; a rarer one says nothing."""


def is_clear_of_base(accuracy: Mapping[str, Any], ships: float | None, low: float | None, *, slow: bool) -> bool:
    """Return whether what ships lies above the best of the base, by its whole interval (from `low`) where one is known.

    `accuracy` is that of summary.json. What was not measured is not doubted. Without `slow` weights that were trained,
    the base under the best prompt is what ships.
    """
    base = [accuracy.get(name) for name in (("base_seed", "base_lead") if slow else ("base_seed",))]
    known = [value for value in base if value is not None]
    return not known or ships is None or (ships if low is None else low) > max(known)


def others_are_better(accuracy: Mapping[str, Any], ships: float | None) -> bool:
    """Return whether the mean over a run's prompts is above what ships, so that another of them is."""
    mean = accuracy.get("mean")
    return mean is not None and ships is not None and mean > ships + 1e-9


@dataclass(frozen=True)
class Answer:
    """One completion of one example, scored.

    `sample` numbers the completions of one example under one context, from 0. `reward` lies in [0, 1], or is None for
    *unscored*, which is not a reward of 0. `tokens` are those of the completion; a question that did not fit the
    model's window counts one. `text` is the completion and `question` what was asked, which no samples file holds.
    """

    example_id: str
    sample: int
    context_id: str
    reward: float | None
    tokens: int
    text: str = ""
    question: str = ""


@dataclass(frozen=True)
class Choice:
    """How contexts that are chosen by the question fared.

    `chosen` counts the examples that each context was chosen for, by its id. `right_topic` is the share of examples
    whose topic consists mostly of their own task, None where no topic holds an example of the task. `gain` is the
    accuracy over that of the lead context on the same examples, with its 95% interval; None with fewer than two
    examples that were scored under both.
    """

    chosen: Mapping[str, int]
    right_topic: float | None = None
    gain: float | None = None
    gain_low: float | None = None
    gain_high: float | None = None


@dataclass(frozen=True)
class Measurement:
    """One task's held-out accuracy under one kind of context, and how far the weights have moved from the base.

    `accuracy` is the mean reward over the scored answers (mean@n) with its 95% interval `low` to `high`; `best` is the
    mean over examples of their best sample (best@n); `fully_right` is the share of the scored answers with a reward of
    1, None in rows of older runs. Unscored answers are counted in `unscored` and never averaged in:
    without a scored one, the numbers are None. `n` counts examples, `samples` the completions of each. `kl` is KL(model
    || base) and `entropy` the model's own, both in nats per token; None where they were not measured. `context_id` is
    None for a mean over contexts and where they are chosen by the question. `step` counts the optimiser steps done;
    None outside a run. `answers` may have been left out.
    """

    accuracy: float | None
    low: float | None
    high: float | None
    best: float | None
    n: int
    samples: int
    unscored: int
    context: str
    context_id: str | None
    task: str
    split: Split
    weights: Weights
    kl: float | None = None
    entropy: float | None = None
    choice: Choice | None = None
    step: int | None = None
    answers: tuple[Answer, ...] = ()
    fully_right: float | None = None

    @property
    def graded(self) -> bool:
        """Whether an answer earned a reward between 0 and 1, so that the mean reward is not a share of answers."""
        return self.accuracy is not None and self.fully_right is not None and self.fully_right < self.accuracy

    def row(self) -> dict[str, Any]:
        """Return what evals.jsonl holds: all but the answers. `step` and the choice stand there only where known."""
        names = ("accuracy", "fully_right", "low", "high", "best", "n", "samples", "unscored", "context", "context_id")
        return {
            **({} if self.step is None else {"step": self.step}),
            **{name: getattr(self, name) for name in names},
            **({} if self.choice is None else asdict(self.choice)),
            **{name: getattr(self, name) for name in ("task", "split", "weights", "kl", "entropy")},
        }

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Measurement:
        """Read a row of evals.jsonl, which holds no answers. Rows of older runs lack some keys; keys that are not
        known are passed over. Raises KeyError for a row without context, task or weights."""
        values: dict[str, Any] = {name: row.get(name) for name in _MEASURED}
        values |= {name: row.get(name) or 0 for name in ("n", "samples", "unscored")}
        values |= {name: row[name] for name in ("context", "task", "weights")}
        given = {name: row[name] for name in _OF_A_CHOICE if name in row}
        choice: dict[str, Any] = {"chosen": {}, **given}
        return cls(
            **values,
            split=row.get("split", "validation"),
            choice=Choice(**choice) if given else None,
        )

    def shown(self, example_id: str) -> dict[str, Any] | None:
        """Return the first answer to one question as a line of answers.jsonl, or None without one."""
        answer = next((one for one in self.answers if one.example_id == example_id and one.sample == 0), None)
        if answer is None:
            return None
        about = {name: getattr(self, name) for name in ("step", "weights", "context", "task")}
        return {**about, **{name: getattr(answer, name) for name in _OF_A_SHOWN}}

    def answer_rows(self) -> Iterator[dict[str, Any]]:
        """Yield what a samples file holds: one line for each answer, with what it was an answer to."""
        about = {name: getattr(self, name) for name in ("task", "split", "weights", "context")}
        for answer in self.answers:
            yield {
                **about,
                "context_id": answer.context_id,
                "example_id": answer.example_id,
                "sample": answer.sample,
                "reward": answer.reward,
                "tokens": answer.tokens,
            }


_MEASURED = ("step", "accuracy", "fully_right", "low", "high", "best", "context_id", "kl", "entropy")
_OF_A_SHOWN = ("context_id", "example_id", "question", "text", "tokens", "reward")
_OF_A_CHOICE = tuple(field.name for field in fields(Choice))


def means(measurements: Sequence[Measurement], what: Quantity) -> dict[str, float]:
    """Average one quantity over tasks, by kind of context; kinds that lack it for some task are left out."""
    by_context: dict[str, list[float | None]] = {}
    for one in measurements:
        by_context.setdefault(one.context, []).append(getattr(one, what))
    known = {context: [v for v in values if v is not None] for context, values in by_context.items()}
    return {c: sum(known[c]) / len(known[c]) for c, values in by_context.items() if len(known[c]) == len(values)}


def first_questions(measurements: Sequence[Measurement], count: int) -> list[str]:
    """Return the ids of the first questions that were answered, one of each task in turn."""
    by_task: dict[str, dict[str, None]] = {}
    for one in measurements:
        by_task.setdefault(one.task, {}).update(dict.fromkeys(answer.example_id for answer in one.answers))
    in_turn = [id_ for at in zip_longest(*by_task.values()) for id_ in at if id_ is not None]
    return in_turn[:count]
