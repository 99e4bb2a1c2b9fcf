"""What keeps the weights near the base and near what they learned: KL coefficient, brake, rehearsal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fastslow.config.settings import FastSlowConfig
from fastslow.core.measurement import Measurement
from fastslow.core.modes import MODES
from fastslow.slow.kl_budget import KLBudget
from fastslow.slow.retention import REHEARSED, Forgetting, RetentionWatch, accuracy_by_task
from fastslow.streams.epochs import Stream
from fastslow.streams.rehearsal import RehearsalStream

REHEARSAL = 0.1
"""Share of rehearsal that a first fall calls for where none was set."""


class Steering:
    """Settings that move during a run. Without `kl_target` and `retention_floor` nothing does.

    Args:
        args: the run's settings.
        stream: the run's stream; a RehearsalStream where rehearsal was asked for.
    """

    def __init__(self, args: FastSlowConfig, stream: Stream):
        self._args = args
        self._stream = stream
        self._budget = KLBudget(args.kl_target, args.beta) if args.kl_target else None
        self._watch = RetentionWatch(args.retention_floor) if args.retention_floor else None
        self._kls: list[float] = []

    @property
    def active(self) -> bool:
        return self._budget is not None or self._watch is not None

    @property
    def beta(self) -> float:
        """Coefficient of the KL term."""
        raised = self._watch is not None and self._args.retention_action in ("kl", "rollback")
        beta = self._budget.beta if self._budget is not None else self._args.beta
        return beta * (self._watch.strength if raised and self._watch is not None else 1.0)

    @property
    def advantage_scale(self) -> float:
        return self._budget.brake if self._budget is not None else 1.0

    def measured(self, kl: float) -> None:
        """KL per token (nats) of one micro-batch of the current step."""
        if self._budget is not None:
            self._kls.append(kl)

    def next_step(self, tasks: Iterable[str]) -> None:
        """Take up what the last step measured; the coming one trains on examples of `tasks`."""
        if self._budget is not None and self._kls:
            self._budget.update(sum(self._kls) / len(self._kls))
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
        """Where to roll back to, if that is the action."""
        rolls = self._watch is not None and self._args.retention_action == "rollback"
        return self._watch.good_step if rolls and self._watch is not None else None

    def metrics(self, step: int) -> dict[str, float]:
        stream = self._stream
        share = {"fst/rehearsal_share": stream.share_at(step)} if isinstance(stream, RehearsalStream) else {}
        return {"fst/kl/beta": self.beta, "fst/kl/advantage_scale": self.advantage_scale, **share}

    def _rehearse(self, step: int) -> None:
        if self._watch is None or not isinstance(self._stream, RehearsalStream):
            return
        usual, strength, cycle = self._args.rehearsal_share, self._watch.strength, self._args.slow_steps_per_cycle
        if self._args.retention_action == "rehearse":
            raised = min(REHEARSED, max(usual, REHEARSAL) * strength)
            share = max(usual, raised) if strength > 1.0 else usual
            # Clusters and fast phases have looked ahead to the end of the cycle: what they saw has to come.
            ahead = MODES[self._args.mode].fast or self._args.clusters == "inferred"
            self._stream.change(share, step=-(-step // cycle) * cycle if ahead else step)

    def state_dict(self) -> dict[str, Any]:
        return {
            "budget": self._budget.state_dict() if self._budget is not None else None,
            "watch": self._watch.state_dict() if self._watch is not None else None,
            "kls": list(self._kls),
            "rehearsal": self._stream.state_dict() if isinstance(self._stream, RehearsalStream) else None,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if self._budget is not None:
            self._budget.load_state_dict(state["budget"])
        if self._watch is not None:
            self._watch.load_state_dict(state["watch"])
        self._kls = list(state["kls"])
        if isinstance(self._stream, RehearsalStream) and state.get("rehearsal"):  # runs begun before it was kept go on
            self._stream.load_state_dict(state["rehearsal"])
