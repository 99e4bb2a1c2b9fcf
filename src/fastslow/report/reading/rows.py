"""Rows of a run's files with typed fields: a value of another type in a file is read as missing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fastslow.core.measurement import Choice, Measurement
from fastslow.report.reading.values import count, mapping, mean_score, names, number, text

Row = Mapping[str, Any]
"""One line as the file has it."""

NOT_TEXT = "(not text)"


@dataclass(frozen=True)
class Counts:
    """Rollouts or tokens so far, by channel; None where a file does not say."""

    slow: float | None = None
    fast: float | None = None
    reused: float | None = None

    @classmethod
    def of(cls, value: Any) -> Counts:
        return cls(*(number(mapping(value).get(channel)) for channel in ("slow", "fast", "reused")))

    @property
    def generated(self) -> int | None:
        """Rollouts or tokens of both channels; reused rollouts were generated before and do not count again."""
        return None if self.slow is None or self.fast is None else int(self.slow + self.fast)


@dataclass(frozen=True)
class MetricsRow:
    """A line of metrics.jsonl: its finite `numbers` by name, and what was `spent` on each axis when it was written."""

    step: int | None
    phase: str
    numbers: Mapping[str, float]
    rollouts: Counts
    tokens: Counts
    spent: Mapping[str, float | None]


@dataclass(frozen=True)
class ContextRow:
    """A context of an archive. `proposer` is empty where the file does not name one."""

    id: str
    components: Mapping[str, Any]
    parents: list[str]
    proposer: str


@dataclass(frozen=True)
class ProposalRow(ContextRow):
    """A line of contexts.jsonl. `before` and `after` are the mean scores of the parent and of the proposal on the
    minibatch it was made from, `anchor` that on the anchor set; None where there was no rollout."""

    step: int | None
    component: str
    accepted: bool
    before: float | None
    after: float | None
    anchor: float | None


@dataclass(frozen=True)
class RolloutRow:
    """A line of rollouts.jsonl; `reward` is None where it was unscored."""

    step: int | None
    context_id: str
    task: str
    question: str
    completion: str
    feedback: str
    reward: float | None
    reused: bool


def metrics_rows(rows: Iterable[Row]) -> Iterator[MetricsRow]:
    """Read the lines of metrics.jsonl in their order: the tokens of the reflection LM add up along them."""
    reflection = 0.0
    for row in rows:
        numbers = {name: value for name, raw in row.items() if (value := number(raw)) is not None}
        if row.get("phase") == "fast":
            reflection += sum(numbers.get(f"fst/fast/lm_{kind}_tokens", 0.0) for kind in ("prompt", "completion"))
        rollouts, tokens = Counts.of(row.get("rollouts")), Counts.of(row.get("tokens"))
        spent = {
            "steps": numbers.get("step"), "rollouts": rollouts.generated, "tokens": tokens.generated,
            "seconds": numbers.get("wall_s"), "reflection": reflection,
        }  # fmt: skip
        yield MetricsRow(count(row.get("step")), text(row.get("phase"), ""), numbers, rollouts, tokens, spent)


def measurement(row: Row) -> Measurement:
    """Read a line of evals.jsonl, which may be damaged or of an older run; without a name the context is ''."""
    chosen = "right_topic" in row or "gain" in row
    choice = Choice({}, *(number(row.get(name)) for name in ("right_topic", "gain", "gain_low", "gain_high")))
    values: dict[str, Any] = {
        **{name: number(row.get(name)) for name in ("accuracy", "fully_right", "low", "high", "best", "kl", "entropy")},
        **{name: count(row.get(name)) or 0 for name in ("n", "samples", "unscored")},
    }
    return Measurement(
        **values,
        step=count(row.get("step")),
        context=text(row.get("context"), ""),
        context_id=text(row.get("context_id"), "") or None,
        task=text(row.get("task"), ""),
        split="test" if row.get("split") == "test" else "validation",
        weights="base" if row.get("weights") == "base" else "trained",
        choice=choice if chosen else None,
    )


def context_row(row: Row) -> ContextRow:
    """Read a context of an archive, or the lead of a summary."""
    return ContextRow(**_of_context(row))


def proposal_row(row: Row) -> ProposalRow:
    """Read a line of contexts.jsonl."""
    return ProposalRow(
        **_of_context(row),
        step=count(row.get("step")),
        component=text(row.get("component"), ""),
        accepted=row.get("accepted") is True,
        before=mean_score(row.get("parent_minibatch_scores")),
        after=mean_score(row.get("minibatch_scores")),
        anchor=mean_score(row.get("anchor_scores")),
    )


def rollout_row(row: Row) -> RolloutRow:
    """Read a line of rollouts.jsonl."""
    question, completion, feedback = (
        value if isinstance(value, str) else text(value, NOT_TEXT)
        for value in (row.get("question"), row.get("completion"), row.get("feedback") or "")
    )
    return RolloutRow(
        count(row.get("step")), text(row.get("context_id"), "unknown"), text(row.get("task"), ""), question,
        completion, feedback, number(row.get("reward")), row.get("reused") is True,
    )  # fmt: skip


def _of_context(row: Row) -> dict[str, Any]:
    name = row.get("id")
    return {
        "id": name[:500] if isinstance(name, str) else "",
        "components": mapping(row.get("components")),
        "parents": names(row.get("parents")),
        "proposer": text(row.get("proposer"), ""),
    }
