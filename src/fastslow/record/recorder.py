"""Write what happens into the run directory, keep the tallies for summary.json, and feed the display."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any

from transformers import TrainerCallback

from fastslow.contexts.evidence import Standing
from fastslow.core import processes
from fastslow.core.measurement import Measurement, first_questions
from fastslow.core.thoughts import spoken
from fastslow.core.types import Example, GroupEvidence, Rollout
from fastslow.fast.phase import FastPhase
from fastslow.fast.proposers.base import USAGE
from fastslow.files.run_directory import RunDirectory
from fastslow.files.tail import Tail
from fastslow.record.display import Display, SilentDisplay
from fastslow.record.live_file import LiveFile
from fastslow.record.progress import Plan
from fastslow.report.reading.values import count
from fastslow.routers import Decision
from fastslow.slow.retention import Forgetting
from fastslow.topics.clusters import Observation

BARREN_PHASES = 3
"""Fast phases in a row without a usable reply of the language model before the terminal says so."""

HISTORY = 256
"""Lines of metrics that transformers keeps in memory."""

SHOWN_ANSWERS = 3
"""Held-out questions whose answers are written whole."""

LONGEST_GIVEN = 100
"""Characters that are kept of an answer, which may be a label."""

TALLIES = ("rollouts", "tokens", "trained", "wall", "reflection")


class Recorder(TrainerCallback):
    """Write the lines of metrics, routes, contexts, rollouts and evals; nothing else does (rank 0 only)."""

    def __init__(self, run: RunDirectory | None = None, display: Display | None = None):
        self.run = run
        self.display = display or SilentDisplay()
        self.rollouts = {"slow": 0, "fast": 0, "reused": 0}
        self.tokens = {"slow": 0, "fast": 0}
        self.trained = {"rows": 0, "tokens": 0}
        """Rows that had a gradient, and their completion tokens."""
        self.wall: dict[str, float] = defaultdict(float)
        self.measurements: list[Measurement] = []
        """Every measurement so far, with its step, but without its answers, whose number would grow with the run."""
        self.given: dict[str, list[tuple[str, str]]] = {}
        """The id of the question and the text of each answer of the trained weights, by context, at the latest
        evaluation; long ones are cut."""
        self.reflection: dict[str, Any] = {
            **dict.fromkeys((*USAGE, "barren"), 0),
            "last_error": None,
        }  # fmt: skip
        self._started = time.perf_counter()
        self._starving: set[str] = set()
        self._live: LiveFile | None = None
        self._phase = ""

    def begin(self, plan: Plan, title: str, done: int = 0) -> None:
        """Show that a run begins, or the rest of one of which so many steps are done: what those took is known."""
        self._live = LiveFile(self.run.path) if self.run is not None else None
        self.display.start(plan, title, done)
        for row in Tail(self.run.path / "metrics.jsonl").news()[0] if self.run is not None and done else []:
            step = count(row.get("step"))  # the rows of what a kill undid are still there
            if step is not None and (step < done or (step == done and row.get("phase") == "slow")):
                self.display.row(row)
        self.doing("start", done)

    def end(self) -> None:
        """Show that the process does nothing more for the run."""
        self.display.stop()
        if self._live is not None:
            self._live.remove()

    def state_dict(self) -> dict[str, Any]:
        """Return the tallies so far, the latest answers and the length of each log; the measurements themselves are in
        evals.jsonl."""
        tallies = {name: dict(getattr(self, name)) for name in TALLIES}
        positions = self.run.positions() if self.run is not None else {}
        return {**tallies, "given": dict(self.given), "elapsed": self.elapsed(), "positions": positions}

    def elapsed(self) -> float:
        """Return the seconds that the run has taken, over all its resumes, without what a kill undid."""
        return time.perf_counter() - self._started

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for name in TALLIES:
            getattr(self, name).update(state.get(name, {}))  # checkpoints of older versions do not count all of them
        self.given = {name: [(id_, said) for id_, said in pairs] for name, pairs in state.get("given", {}).items()}
        self._started -= state["elapsed"]
        rows = self.run.read("evals.jsonl") if self.run is not None else []
        self.measurements = [Measurement.from_row(row) for row in processes.from_main(lambda: rows)]

    @property
    def measured_steps(self) -> set[int]:
        """Steps whose weights were evaluated."""
        return {one.step for one in self.measurements if one.step is not None}

    @contextmanager
    def phase(self, name: str, step: int) -> Iterator[None]:
        """Charge the time spent inside to `name` and show it."""
        started = time.perf_counter()
        self.doing(name, step)
        try:
            yield
        finally:
            self.wall[name] += time.perf_counter() - started
            self.doing("slow", step)

    def doing(self, name: str, step: int) -> None:
        """Show what the run does now; its time is charged to no phase."""
        self._phase = name
        self.display.phase(name, step)
        if self._live is not None:
            self._live.write(name)

    def stopping(self, why: str) -> None:
        """Show, until the process ends, that the run is told to stop."""
        self.display.note(why)
        self.display.stopping()
        if self._live is not None:
            self._live.stopping()

    def rollouts_made(self, made: int, budget: int) -> None:
        """Show how many rollouts the phase that goes on has made, of the most that it may."""
        self.display.rollouts(made, budget)
        if self._live is not None:
            self._live.count(made, budget)

    def fast_phase(self, step: int, phase: FastPhase) -> None:
        self.rollouts["fast"] += int(phase.metrics["fst/fast/metric_calls"])
        self.tokens["fast"] += int(phase.metrics["fst/fast/generated_tokens"])
        for name in USAGE:
            self.reflection[name] += int(phase.metrics[f"fst/fast/lm_{name}"])
        self.reflection["last_error"] = phase.endpoint_error or self.reflection["last_error"]
        self.display.fast(step, phase.metrics)
        self.reflection["barren"] = self.reflection["barren"] + 1 if phase.endpoint_error else 0
        if self.reflection["barren"] and self.reflection["barren"] % BARREN_PHASES == 0:
            self.display.note(
                f"step {step}: THE CONTEXTS DO NOT EVOLVE. For {self.reflection['barren']} fast phases in a row the "
                f"reflection LM gave nothing; training goes on with the population as it is. {phase.endpoint_error}"
            )
        self._append("contexts.jsonl", [{"step": step, **line} for line in phase.proposals])
        self._append_metrics([{**self._head(step, "fast"), **phase.metrics}])

    def births(self, step: int, lines: Sequence[Mapping[str, Any]]) -> None:
        """Write the soft contexts that were born after a fast phase, beside what was proposed in it."""
        self._append("contexts.jsonl", [{"step": step, **line} for line in lines])

    def rests(self, step: int) -> None:
        """Write and show that a fast phase rests."""
        self.display.note(f"fast phase at step {step}: rests, the last ones brought no new member (fast_effort)")
        self._append_metrics([{**self._head(step, "fast"), "fst/fast/metric_calls": 0}])

    def standings(self, step: int, standings: Sequence[Standing], lead: str) -> None:
        """Write and show what all rollouts together say of the contexts in use, the best first, and which of them
        leads."""
        self.display.standings(standings, lead)
        self._append("standings.jsonl", [{"step": step, "lead": lead, "standings": [asdict(one) for one in standings]}])

    def step_rollouts(self, *, fresh: int, reused: int, fresh_tokens: int) -> None:
        self.rollouts["slow"] += fresh
        self.rollouts["reused"] += reused
        self.tokens["slow"] += fresh_tokens

    def trains_on(self, rows: int, tokens: int) -> None:
        self.trained["rows"] += rows
        self.trained["tokens"] += tokens

    def examples_of_rollouts(self, step: int, examples: Mapping[str, Example], rollouts: Sequence[Rollout]) -> None:
        """Write whole rollouts for people to read: question, answer and feedback."""
        self._append(
            "rollouts.jsonl",
            [
                {
                    "step": step,
                    "task": examples[r.example_id].task,
                    "example_id": r.example_id,
                    "question": examples[r.example_id].question,
                    "context_id": r.context_id,
                    "completion": r.text,
                    "reward": r.verdict.reward,
                    "feedback": r.verdict.feedback,
                    "reused": r.policy_version < step,
                }
                for r in rollouts
            ],
        )

    def routes(
        self,
        examples: Sequence[Example],
        evidence: Sequence[GroupEvidence],
        decisions: Sequence[Decision],
        router: str,
    ) -> None:
        """Write one line for each group; `task` is the true task, `topic` what the router was given."""
        self._append(
            "routes.jsonl",
            [
                {
                    "step": e.step,
                    "example_id": e.example_id,
                    "task": example.task,
                    "topic": e.task,
                    "route": decision.route.value,
                    "rule": decision.rule.value,
                    "router": router,
                    "why": dict(decision.why),
                    "rewards": list(e.rewards_G),
                    "context_ids": list(e.context_ids_G),
                    "completion_tokens": list(e.completion_tokens_G),
                    "surprisals": [round(s, 5) for s in e.surprisals_G],
                }
                for example, e, decision in zip(examples, evidence, decisions, strict=True)
            ],
        )

    def clusters(self, step: int, observations: Sequence[Observation]) -> None:
        """Write the batches by cluster, and the change points; `batch` may lie ahead of `step`, as a fast phase looks
        ahead."""
        for one in observations:
            if one.change is not None and one.batch:
                self.display.note(f"batch {one.batch}: the stream has changed, from batch {one.change} on")
        self._append_metrics([{**self._head(step, "clusters"), **asdict(one)} for one in observations])

    def starving(self, step: int, channels: Sequence[str]) -> None:
        """Note once that the router leaves a channel nothing but its smallest share."""
        for channel in set(channels) - self._starving:
            self.display.note(
                f"step {step}: the router leaves the {channel} channel no more than its smallest share of the groups "
                f"(min_{channel}_share); is that what you want?"
            )
        self._starving |= set(channels)

    def falls(self, step: int, falls: Sequence[Forgetting], action: str, back: int | None) -> None:
        """Write the tasks that fell below their floor, and what is done about each fall."""
        for fall in falls:
            done = {
                "kl": "the KL coefficient is doubled",
                "rehearse": "more of it will be rehearsed",
                "rollback": "nothing to go back to yet" if back is None else f"the weights go back to step {back}",
            }.get(action, "nothing is done about it (retention_action)")
            self.display.note(
                f"step {step}: '{fall.task}' has fallen to a mean reward of {fall.accuracy:.3f} from {fall.peak:.3f}, "
                f"below its floor of {fall.floor:.3f}; {done}."
            )
        row = {"phase": "retention", "action": action, "back_to": back if action == "rollback" else None}
        self._append_metrics([{**self._head(step, "retention"), **row, **asdict(fall)} for fall in falls])

    def evals(self, step: int, measurements: Sequence[Measurement]) -> None:
        """Write, remember and show what was measured after `step` steps, and write a few of the answers for people to
        read: to the first questions, so that nobody chose them, and the same ones each time."""
        shown = [
            replace(one, step=step).shown(question)
            for question in first_questions(measurements, SHOWN_ANSWERS)
            for one in measurements
            if one.context != "mean"  # the answers of every context, one after the other
        ]
        self._append("answers.jsonl", [line for line in shown if line is not None])
        for one in measurements:
            if one.weights == "trained" and one.answers:
                self.given[one.context] = [(a.example_id, spoken(a.text).strip()[:LONGEST_GIVEN]) for a in one.answers]
        measured = [replace(one, step=step, answers=()) for one in measurements]
        self.measurements += measured
        self._append("evals.jsonl", [one.row() for one in measured])
        self.display.evals(step, measured)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        if not state.is_world_process_zero or not logs:
            return
        phase = "eval" if any(key.startswith("eval_") for key in logs) else "slow"
        if "train_runtime" in logs:
            phase = "end"
        step = state.global_step // args.num_iterations  # transformers counts updates
        self._append_metrics([{**self._head(step, phase), **logs}])
        if phase == "slow":
            self.display.step(step, logs)
            if self._phase == "start":  # where the data's answers are learned, nothing else begins before a step
                self.doing("slow", step)
        del state.log_history[:-HISTORY]  # metrics.jsonl has it all; in memory it would grow with the run

    def wall_by_phase(self) -> dict[str, float]:
        """Return the seconds by phase; `update` is the rest: forward, backward, optimiser and the trainer around
        them."""
        total = time.perf_counter() - self._started
        named = dict(self.wall)
        return {**named, "update": max(0.0, total - sum(named.values())), "total": total}

    def _head(self, step: int, phase: str) -> dict[str, Any]:
        return {
            "step": step,
            "phase": phase,
            "wall_s": time.perf_counter() - self._started,
            "rollouts": dict(self.rollouts),
            "tokens": dict(self.tokens),
        }

    def _append_metrics(self, rows: list[dict[str, Any]]) -> None:
        self._append("metrics.jsonl", rows)
        for row in rows:
            self.display.row(row)

    def _append(self, name: str, rows: list[dict[str, Any]]) -> None:
        if self.run is not None and rows:
            self.run.append(name, rows)
