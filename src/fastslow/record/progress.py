"""Follow how far a run has come from the lines that it writes, and estimate what is left.

The estimate goes by kind of work, because kinds differ by orders of magnitude: slow steps, fast phases and evaluations
still ahead, each times what that kind took of late. A kind that is ahead and was not timed yet is named beside the
estimate instead of being guessed; one that goes on for the first time, and says how far it has come, counts at that
pace.
"""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastslow.core.modes import MODES, Mode
from fastslow.report.reading.values import count, mapping, number, text

RECENT = 8
"""Slow steps that an estimate rests on: lengths of answers, and with them seconds, drift within tens of steps."""

FEW = 3
"""Fast phases and evaluations that an estimate rests on: there are fewer of them."""

KINDS = {"slow": "steps", "fast": "fast phases", "eval": "evaluations"}

BEGUN = 5.0
"""Seconds after which the pace of a piece of work that goes on says something."""


@dataclass(frozen=True)
class Plan:
    """What a run is going to do, as far as its remaining time depends on it.

    Attributes:
        steps: optimiser steps of the whole run; 0: unknown.
        mode: None where nothing is known but the steps.
        cycle_steps: slow steps of a cycle.
        eval_steps: steps between evaluations; 0: there is one at the end only.
        contexts: contexts of a whole evaluation. `contexts_between`: of those before the end.
        minutes: the most that the run may take.
    """

    steps: int
    mode: Mode | None = None
    cycle_steps: int = 1
    eval_steps: int = 0
    contexts: int = 1
    contexts_between: int = 1
    minutes: float | None = None

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Plan:
        """Read the plan of a run from its settings, or from what config.yaml holds of them."""
        mode = MODES.get(text(settings.get("mode"), ""))
        every = count(settings.get("eval_steps")) if settings.get("eval_strategy") == "steps" else None
        members = 1 + (count(settings.get("population_size")) or 1) if mode is not None and mode.fast else 1
        return cls(
            steps=count(settings.get("max_steps")) or 0,
            mode=mode,
            cycle_steps=count(settings.get("slow_steps_per_cycle")) or 1,
            eval_steps=every or 0,
            contexts=members,
            contexts_between=1 if settings.get("eval_contexts") == "shipped" else members,
            minutes=number(settings.get("max_minutes")),
        )

    def contexts_at(self, step: int) -> int:
        """Return how many contexts an evaluation after `step` steps answers under."""
        return self.contexts if step >= self.steps else self.contexts_between

    def fast_phases_from(self, step: int) -> int:
        """Return how many fast phases are due before slow step `step` and later ones."""
        return self.mode.cycles_left(step, steps=self.steps, cycle_steps=self.cycle_steps) if self.mode else 0

    def contexts_to_evaluate(self, step: int, *, closing: int) -> int:
        """Return how many contexts are still evaluated under after `step` steps, those of the base weights at the end
        included.

        `closing` counts the evaluations that were made after the last step.
        """
        if self.mode is None:
            return 0
        last = self.steps - 1
        between = last // self.eval_steps - min(step, last) // self.eval_steps if self.eval_steps else 0
        at_end = 2 if self.mode.fast and self.mode.when == "after" else 1
        base = 2 if self.mode.fast else 1
        return between * self.contexts_between + max(0, at_end - closing) * self.contexts + base


@dataclass(frozen=True)
class Left:
    """The seconds that are left after the latest line, and the kinds of work that these do not hold: nobody knows yet
    how long those take. `limited`: the run's own limit ends it before its last step."""

    seconds: float
    without: tuple[str, ...] = ()
    limited: bool = False


class Progress:
    """Add up what the lines of a run say so far.

    Args:
        plan: what the run is going to do.
        step: optimiser steps done before the first line.

    Attributes:
        plan, step: as given; `step` counts on.
        numbers: the finite numbers of the latest line of a slow step, by name.
        lead: expected reward of the lead context and the ends of its 95% interval; None: unknown.
        drift: KL to the base under what ships or leads, at the latest evaluation, and its step; None: not measured.
        phase: what the run does now, as the recorder calls it; empty: unknown.
        since: when that began, in seconds since the epoch; None: unknown.
        made: rollouts of the fast phase that goes on, and the most that it makes; None: none goes on, or unknown.
        stopping: the run is told to stop.
        written: when the latest line was written, likewise.
    """

    def __init__(self, plan: Plan, step: int = 0):
        self.plan = plan
        self.step = step
        self.numbers: Mapping[str, float] = {}
        self.lead: tuple[float, float, float] | None = None
        self.drift: tuple[float, int] | None = None
        self.phase = ""
        self.since: float | None = None
        self.made: tuple[int, int] | None = None
        self.stopping = False
        self.written: float | None = None
        self._last: _Mark | None = None
        self._slow_seconds = 0.0  # of slow steps since the latest line of one
        self._phases_at = (-1, 0)  # a step, and the fast phases that were made before it
        self._closing = 0  # evaluations after the last step
        self._spans: deque[tuple[float, float]] = deque(maxlen=RECENT)
        self._each: dict[str, deque[float]] = {
            "slow": deque(maxlen=RECENT),  # seconds of a step
            "fast": deque(maxlen=FEW),  # seconds of a fast phase
            "eval": deque(maxlen=FEW),  # seconds of an evaluation under one context
        }

    def row(self, row: Mapping[str, Any], written: float) -> None:
        """Take in a line of metrics.jsonl, which was written at that time (seconds since the epoch)."""
        step, phase = count(row.get("step")), text(row.get("phase"), "")
        if step is None or phase not in self._each:
            return
        numbers = {name: value for name, raw in row.items() if (value := number(raw)) is not None}
        tokens = mapping(row.get("tokens"))
        made = sum(number(tokens.get(channel)) or 0.0 for channel in ("slow", "fast"))
        mark = _Mark(step, numbers.get("wall_s", 0.0), made)
        took = max(0.0, mark.wall - self._last.wall) if self._last is not None else None
        if phase != "eval" and took and self._last is not None and made >= self._last.tokens:
            self._spans.append((took, made - self._last.tokens))
        if phase == "slow":
            self._after_step(step, numbers, took)
        elif phase == "fast":
            self._after_fast_phase(step, numbers.get("fst/fast/seconds", 0.0), took)
        else:
            self._after_evaluation(step, numbers, took)
        self._last, self.written = mark, written

    def standings(self, row: Mapping[str, Any]) -> None:
        """Take in a line of standings.jsonl."""
        known = row.get("standings")
        self.lead = None
        for one in map(mapping, known if isinstance(known, list) else []):
            ends = [value for name in ("level", "low", "high") if (value := number(one.get(name))) is not None]
            if one.get("context_id") == row.get("lead") and len(ends) == 3:
                self.lead = (ends[0], ends[1], ends[2])

    @property
    def tokens_per_second(self) -> float | None:
        """Completion tokens generated in a second of the latest steps and fast phases, evaluations left out; None
        where none were, as where the data's answers are learned."""
        seconds, tokens = (sum(one[i] for one in self._spans) for i in (0, 1))
        return tokens / seconds if tokens > 0 and seconds > 0 else None

    def left(self, now: float) -> Left | None:
        """Return what is left of the run at a time; None as long as neither a step nor the present piece of work was
        timed, or the steps are not known.

        While the present piece of work goes on the estimate falls with the clock, but not by more than such a piece
        takes.
        """
        ahead = {
            "slow": max(0, self.plan.steps - self.step),
            "fast": self._phases_ahead(),
            "eval": self.plan.contexts_to_evaluate(self.step, closing=self._closing),
        }
        each = {kind: statistics.median(known) if known else None for kind, known in self._each.items()}
        begun = self._pace(now) if each.get(self.phase) is None else None
        if begun is not None:
            each[self.phase] = begun
        if not self.plan.steps or (ahead["slow"] and each["slow"] is None and begun is None):
            return None
        since = self.since if begun is not None else self.written
        gone = max(0.0, now - since) if since is not None else 0.0
        seconds = sum(ahead[kind] * (each[kind] or 0.0) for kind in ahead) - min(gone, self._piece(each))
        without = tuple(name for kind, name in KINDS.items() if ahead[kind] and each[kind] is None)
        if self.plan.minutes is not None and self._last is not None:
            limit = max(0.0, 60 * self.plan.minutes - self._last.wall - gone)
            if seconds > limit:
                return Left(limit, limited=True)
        return Left(max(0.0, seconds), without)

    def _piece(self, each: Mapping[str, float | None]) -> float:
        """Return the seconds that what the run does now takes as a whole; 0 where the estimate does not hold it."""
        if self.phase == "save":
            return 0.0
        if self.phase == "eval":
            return (each["eval"] or 0.0) * self.plan.contexts_at(self.step)
        return each["fast" if self.phase == "fast" else "slow"] or 0.0

    def _pace(self, now: float) -> float | None:
        """Return the seconds that the fast phase which goes on, or its evaluation under one context, takes at its pace
        so far; None: unknown."""
        if self.made is None or self.since is None or self.phase not in ("fast", "eval"):
            return None
        (made, most), gone = self.made, now - self.since
        if made <= 0 or most <= 0 or gone < BEGUN:
            return None
        return gone * most / made / (self.plan.contexts_at(self.step) if self.phase == "eval" else 1)

    def _phases_ahead(self) -> int:
        at, made = self._phases_at
        return max(0, self.plan.fast_phases_from(self.step) - (made if at == self.step else 0))

    def _after_step(self, step: int, numbers: Mapping[str, float], took: float | None) -> None:
        steps = max(1, step - self.step)
        # The time before the first line holds loading; TRL's own time of a step holds the checkpoint's not.
        seconds = numbers.get("step_time", 0.0) * steps if took is None else self._slow_seconds + took
        if seconds > 0:
            self._each["slow"].append(seconds / steps)
        self._slow_seconds = 0.0
        if self.plan.mode is not None and not self.plan.mode.samples:
            numbers = {name: value for name, value in numbers.items() if name != "reward"}  # that of the data's answers
        self.step, self.numbers = step, numbers

    def _after_fast_phase(self, step: int, seconds: float, took: float | None) -> None:
        at, made = self._phases_at
        self._phases_at = (step, made + 1 if at == step else 1)
        self._each["fast"].append(seconds)  # one that rested has none
        self._slow_seconds += max(0.0, (took or 0.0) - seconds)  # where not every step has a line

    def _after_evaluation(self, step: int, numbers: Mapping[str, float], took: float | None) -> None:
        known = [numbers[name] for name in ("eval_lead_kl", "eval_seed_kl") if name in numbers]
        self.drift = (known[0], step) if known else self.drift
        self._closing += step >= self.plan.steps
        if took is None or self._last is None:
            return
        slow = self._each["slow"]
        before = (step - self._last.step) * statistics.median(slow) if slow else 0.0  # steps without a line
        if took > before:
            self._each["eval"].append((took - before) / self.plan.contexts_at(step))
            self._slow_seconds += before


@dataclass(frozen=True)
class _Mark:
    """Where a line stands: its step, seconds since the run's start, and completion tokens generated by then."""

    step: int
    wall: float
    tokens: float
