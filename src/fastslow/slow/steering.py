"""Keep the weights near the base and near what they learned: KL coefficient, brake, rehearsal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastslow.core.measurement import Measurement
from fastslow.slow.kl_budget import KLBudget
from fastslow.slow.retention import REHEARSED, Forgetting, RetentionWatch, accuracy_by_task
from fastslow.streams.epochs import Stream
from fastslow.streams.rehearsal import RehearsalStream

REHEARSAL = 0.1
"""Share of rehearsal after a first fall, where none was set."""


@dataclass(frozen=True)
class SteeringSettings:
    """The initial values of steering, and its limits.

    Attributes:
        beta: coefficient of the KL term.
        kl_target: budget for the KL per token to the base (nats); None: no budget.
        retention_floor: share of its best accuracy that every task has to keep; None: nothing is watched.
        retention_action: what a fall below the floor does.
        rehearsal_share: share of each batch that is drawn from past steps.
        cycle_steps: slow steps of a cycle.
        looks_ahead: whether clusters or fast phases have looked at the batches up to the end of the cycle.
    """

    beta: float
    kl_target: float | None
    retention_floor: float | None
    retention_action: str
    rehearsal_share: float
    cycle_steps: int
    looks_ahead: bool


class Steering:
    """Move the settings that may move during a run; none moves without `kl_target` and `retention_floor`.

    Args:
        settings: initial values, and what may change them.
        stream: the run's stream; a RehearsalStream where rehearsal was asked for.
    """

    def __init__(self, settings: SteeringSettings, stream: Stream):
        self._settings = settings
        self._stream = stream
        self._budget = KLBudget(settings.kl_target, settings.beta) if settings.kl_target else None
        self._watch = RetentionWatch(settings.retention_floor) if settings.retention_floor else None
        self._kls: list[tuple[float, float]] = []

    @property
    def active(self) -> bool:
        return self._budget is not None or self._watch is not None

    @property
    def beta(self) -> float:
        """Coefficient of the KL term."""
        raised = self._watch is not None and self._settings.retention_action in ("kl", "rollback")
        beta = self._budget.beta if self._budget is not None else self._settings.beta
        return beta * (self._watch.strength if raised and self._watch is not None else 1.0)

    @property
    def advantage_scale(self) -> float:
        return self._budget.brake if self._budget is not None else 1.0

    def measured(self, kl: float, tokens: float = 1.0) -> None:
        """Take note of the KL per token (nats) of one micro-batch of the current step, and of its tokens."""
        if self._budget is not None:
            self._kls.append((kl, tokens))

    def next_step(self, tasks: Iterable[str]) -> None:
        """Apply the measurements of the last step; the coming step trains on examples of `tasks`."""
        if self._budget is not None and self._kls:
            total = sum(tokens for _, tokens in self._kls)
            self._budget.update(sum(kl * (tokens / total) for kl, tokens in self._kls) if total else 0.0)
        self._kls = []
        if self._watch is not None:
            self._watch.saw(tasks)

    def judge(self, step: int, measurements: Sequence[Measurement], context: str) -> list[Forgetting]:
        """Return the tasks that an evaluation under this kind of context shows below their floor."""
        if self._watch is None:
            return []
        falls = self._watch.judge(step, accuracy_by_task(measurements, context))
        self._rehearse(step)
        return falls

    @property
    def good_step(self) -> int | None:
        """The step to roll back to, if the action is a rollback."""
        rolls = self._watch is not None and self._settings.retention_action == "rollback"
        return self._watch.good_step if rolls and self._watch is not None else None

    def metrics(self, step: int) -> dict[str, float]:
        stream = self._stream
        share = {"fst/rehearsal_share": stream.share_at(step)} if isinstance(stream, RehearsalStream) else {}
        return {"fst/kl/beta": self.beta, "fst/kl/advantage_scale": self.advantage_scale, **share}

    def _rehearse(self, step: int) -> None:
        if self._watch is None or not isinstance(self._stream, RehearsalStream):
            return
        usual, strength, cycle = self._settings.rehearsal_share, self._watch.strength, self._settings.cycle_steps
        if self._settings.retention_action == "rehearse":
            raised = min(REHEARSED, max(usual, REHEARSAL) * strength)
            share = max(usual, raised) if strength > 1.0 else usual
            # Clusters and fast phases have looked ahead to the end of the cycle: the batches they saw must come.
            self._stream.change(share, step=-(-step // cycle) * cycle if self._settings.looks_ahead else step)

    def state_dict(self) -> dict[str, Any]:
        return {
            "budget": self._budget.state_dict() if self._budget is not None else None,
            "watch": self._watch.state_dict() if self._watch is not None else None,
            "kls": [list(measured) for measured in self._kls],
            "rehearsal": self._stream.state_dict() if isinstance(self._stream, RehearsalStream) else None,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if self._budget is not None:
            self._budget.load_state_dict(state["budget"])
        if self._watch is not None:
            self._watch.load_state_dict(state["watch"])
        # (older checkpoints hold the KL alone)
        self._kls = [(one, 1.0) if isinstance(one, float) else (one[0], one[1]) for one in state["kls"]]
        if isinstance(self._stream, RehearsalStream) and state.get("rehearsal"):  # older checkpoints lack it
            self._stream.load_state_dict(state["rehearsal"])
