"""A run directory as a report reads it. Nothing here raises for the content of a file: damage becomes a notice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import yaml

from fastslow.core.errors import BadInput
from fastslow.core.measurement import Measurement
from fastslow.core.modes import MODES, Mode
from fastslow.files import jsonl
from fastslow.metrics import Curve
from fastslow.report.reading.rows import (
    Counts,
    MetricsRow,
    ProposalRow,
    RolloutRow,
    Row,
    measurement,
    metrics_rows,
    proposal_row,
    rollout_row,
)
from fastslow.report.reading.values import count, is_partial, mapping, number, read_json, text
from fastslow.tasks.names import titles
from fastslow.tasks.spec import format_spec, parse_spec

AXES = {
    "steps": "optimiser steps",
    "rollouts": "rollouts generated",
    "tokens": "tokens generated",
    "seconds": "wall seconds",
    "reflection": "reflection tokens",
}
CONTEXTS = ("seed", "lead", "mean", "cluster", "nearest", "retrieved")
USUAL = ("seed", "lead", "mean")  # the other kinds exist only where topics have contexts of their own
MEASURED = ("accuracy", "kl", "entropy")
OF_ANSWERS = ("low", "high", "best", "fully_right")  # measured beside the accuracy, and not in the lines of metrics
ROUTES = ("both", "slow", "fast", "skip")
# Far above the lines of any real run; a longer line is damage, and reading it would fill the memory of the reader.
LONGEST_LINE = 16 * 2**20


@dataclass(frozen=True)
class Evaluation:
    """One evaluation of the trained weights: what was spent on each of AXES so far, and what was measured.

    `turn` tells evaluations at one step apart. `values` is keyed by (task, context, quantity); the task '' stands for
    all tasks of the run.
    """

    step: int
    turn: int
    spent: Mapping[str, float | None]
    values: Mapping[tuple[str, str, str], float]


@dataclass
class RunData:
    """What the files of one run say so far.

    `groups` counts routed groups by (topic, true task), `trained` has the true tasks by step, `partial` tells of a
    reward in training that is neither 0 nor 1, `notices` say what is missing or could not be read.
    """

    path: Path
    arm: str = ""
    config: Row = field(default_factory=dict)
    summary: Row = field(default_factory=dict)
    population: Row = field(default_factory=dict)
    metrics: list[MetricsRow] = field(default_factory=list)
    evals: list[Measurement] = field(default_factory=list)
    contexts: list[ProposalRow] = field(default_factory=list)
    rollouts: list[RolloutRow] = field(default_factory=list)
    routes: dict[int, Counter[str]] = field(default_factory=dict)
    routers: Counter[str] = field(default_factory=Counter)
    groups: Counter[tuple[str, str]] = field(default_factory=Counter)
    trained: dict[int, set[str]] = field(default_factory=dict)
    partial: bool = False
    notices: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.path.resolve().name

    @property
    def mode(self) -> str:
        return text(self.config.get("mode"), "unknown")

    @property
    def label(self) -> str:
        """The arm of this run: the arm given by the plan, else the mode."""
        return self.arm or self.mode

    @property
    def seed(self) -> str:
        return text(self.config.get("seed", self.summary.get("seed")), "unknown")

    @cached_property
    def tasks(self) -> list[str]:
        """Names of the tasks in the order of their stages, in canonical spelling.

        A run that has not measured anything yet has only the spelling of its recipe, and belongs with those that have
        measured.
        """
        measured = [one.task for one in self.evals if one.task]
        if measured:
            return list(dict.fromkeys(measured))
        named = self.config.get("tasks")
        if isinstance(named, list) and named:
            return [_canonical(text(name, "unknown")) for name in named]
        return [_canonical(text(self.summary.get("task") or self.config.get("task"), "unknown"))]

    @cached_property
    def graded(self) -> bool:
        """Whether a reward of the run is neither 0 nor 1."""
        return self.partial or any(one.graded for one in self.evals) or is_partial(row.reward for row in self.rollouts)

    @property
    def task(self) -> str:
        return " → ".join(self.tasks)

    @property
    def title(self) -> str:
        """What a heading calls the tasks."""
        return " → ".join(titles(self.tasks).values())

    @property
    def model(self) -> str:
        return text(self.config.get("model"), "unknown")

    @property
    def status(self) -> str:
        return text(self.summary.get("status"), "unfinished")

    @cached_property
    def channels(self) -> Mode:
        """The channels that learned, from the summary.

        Without a summary (a run that is not finished, or an older one) they are those of the mode in config.yaml; of an
        unknown mode, both.
        """
        mode = MODES.get(self.mode) or Mode(self.mode, fast=True, slow=True)
        said = mapping(self.summary.get("channels"))
        fast, slow = (said.get(name) for name in ("fast", "slow"))
        return replace(mode, fast=fast, slow=slow) if isinstance(fast, bool) and isinstance(slow, bool) else mode

    @property
    def shipped_context(self) -> str:
        """The kind of context that the arm is judged under: the shipped one, from the summary, else from mode and
        clusters."""
        said = self.summary.get("ships")
        if said in CONTEXTS:
            return said
        return self.channels.ships(chosen=self.config.get("clusters", "none") != "none")

    def shipped(self, quantity: str) -> str:
        """Return the context under which a quantity is read; KL and entropy are not measured under chosen contexts."""
        chosen = self.shipped_context == "cluster" and quantity in ("kl", "entropy")
        return "lead" if chosen else self.shipped_context

    @property
    def steps(self) -> int:
        """Optimiser steps done, as far as the files say."""
        known = [row.step or 0 for row in self.metrics]
        return count(self.summary.get("steps")) or max(known, default=0)

    @cached_property
    def evaluations(self) -> list[Evaluation]:
        """The evaluations in the order they were made; the base under the seed context stands for step 0, where nothing
        was spent."""
        by_task: dict[tuple[int, int], dict[tuple[str, str, str], float]] = {}
        seen: Counter[tuple[Any, ...]] = Counter()
        start: dict[tuple[str, str, str], float] = {}
        measured = [c for c in CONTEXTS if c in USUAL or any(one.context == c for one in self.evals)]
        for one in self.evals:
            step, task, context = one.step, one.task, one.context
            if step is None or context not in CONTEXTS:
                continue
            values = {(task, context, name): getattr(one, name) for name in (*MEASURED, *OF_ANSWERS)}
            known = {key: value for key, value in values.items() if value is not None}
            if one.weights == "base":
                if context == "seed":
                    at_start = {name: v for (_, _, name), v in known.items() if name != "kl"}
                    start |= {(task, c, name): v for name, v in at_start.items() for c in measured}
                continue
            turn = seen[(step, task, context)]
            seen[(step, task, context)] += 1
            by_task.setdefault((step, turn), {}).update(known)
        points = self._measured(by_task)
        if start and not self.config.get("from_bundle") and not any(point.step == 0 for point in points):
            if any(name == "kl" for point in points for _, _, name in point.values):
                start |= {(task, c, "kl"): 0.0 for task, c, _ in list(start)}
            points.insert(0, Evaluation(0, 0, dict.fromkeys(AXES, 0.0), _with_means(start)))
        return points

    def _measured(self, by_task: Mapping[tuple[int, int], dict[tuple[str, str, str], float]]) -> list[Evaluation]:
        """Return one evaluation for each line of metrics that reports one: these lines hold what was spent."""
        points, turns = [], Counter[int]()
        for row in self.metrics:
            step = row.step
            if row.phase != "eval" or step is None:
                continue
            values = _with_means(by_task.get((step, turns[step]), {}))
            for context in CONTEXTS:
                for quantity in MEASURED:
                    value = row.numbers.get(f"eval_{context}_{quantity}")
                    if value is not None:
                        values["", context, quantity] = value
            points.append(Evaluation(step, turns[step], row.spent, values))
            turns[step] += 1
        return points

    def curve(
        self, axis: str = "steps", quantity: str = "accuracy", context: str | None = None, task: str = ""
    ) -> Curve:
        """Return one of MEASURED of the trained weights along one of AXES."""
        key = (task, context or self.shipped(quantity), quantity)
        return Curve.of((point.step, point.spent[axis], point.values.get(key)) for point in self.evaluations)

    def kl_curve(self) -> Curve:
        """Return accuracy over KL to the base, under the context that is shipped."""
        kl, accuracy = (("", self.shipped(quantity), quantity) for quantity in ("kl", "accuracy"))
        return Curve.of((point.step, point.values.get(kl), point.values.get(accuracy)) for point in self.evaluations)

    def final(self, name: str, task: str = "") -> float | None:
        """Return an accuracy of summary.json: base_seed, base_lead, seed, lead, mean."""
        of = mapping(mapping(self.summary.get("tasks")).get(task)) if task else mapping(self.summary.get("accuracy"))
        return number(of.get(name))

    def final_kl(self, context: str) -> float | None:
        return number(mapping(self.summary.get("kl_to_base")).get(context))

    def counts(self, name: Literal["rollouts", "tokens"]) -> Counts:
        """Return `rollouts` or `tokens` by channel, from the summary, else from the latest line of metrics."""
        if self.summary.get(name):
            return Counts.of(self.summary[name])
        return getattr(self.metrics[-1], name) if self.metrics else Counts()


def load_run(path: str | Path, arm: str = "") -> RunData:
    """Read the files of a run. Raises BadInput only where the directory does not hold a run."""
    run = RunData(Path(path), arm)
    if not run.path.is_dir() or not (run.path / "config.yaml").is_file():
        raise BadInput(f"'{path}' holds no run (no config.yaml); give a directory written by 'fastslow train'.")
    try:
        run.config = mapping(yaml.safe_load((run.path / "config.yaml").read_text(encoding="utf-8")))
    except Exception as error:  # PyYAML's constructors raise whatever the text leads them to: AttributeError for a date
        run.notices.append(f"config.yaml cannot be read ({type(error).__name__})")
    if not (run.path / "summary.json").exists():
        run.notices.append("not finished: no summary.json, the numbers are those of the latest evaluation")
    else:
        run.summary = _json(run, "summary.json")
    if run.summary and run.status != "done":
        run.notices.append(run.status)
    run.population = _json(run, "bundle/population.json") if (run.path / "bundle/population.json").exists() else {}
    run.metrics = list(metrics_rows(_lines(run, "metrics.jsonl")))
    run.evals = [measurement(row) for row in _lines(run, "evals.jsonl")]
    run.contexts = [proposal_row(row) for row in _lines(run, "contexts.jsonl", optional=True)]
    run.rollouts = [rollout_row(row) for row in _lines(run, "rollouts.jsonl", optional=True)]
    for row in _lines(run, "routes.jsonl", optional=True):
        step, route = count(row.get("step")), row.get("route")
        if step is not None and isinstance(route, str):
            run.routes.setdefault(step, Counter())[route if route in ROUTES else "other"] += 1
            run.routers[text(row.get("router"), "unknown")] += 1
            task = text(row.get("task"), "unknown")
            run.groups[text(row.get("topic"), "unknown"), task] += 1
            run.trained.setdefault(step, set()).add(task)
        run.partial = run.partial or is_partial(row.get("rewards"))
    if not any(row.phase == "eval" for row in run.metrics):
        run.notices.append("no evaluation yet")
    return run


def _with_means(values: Mapping[tuple[str, str, str], float]) -> dict[tuple[str, str, str], float]:
    """Return the values by task, and under the task '' their means; a mean is left out where one task lacks the
    number."""
    tasks = dict.fromkeys(task for task, _, _ in values)  # in order: the last bits of a sum depend on the order
    whole = {}
    for context, quantity in {(context, quantity) for _, context, quantity in values}:
        numbers = [values[task, context, quantity] for task in tasks if (task, context, quantity) in values]
        if len(numbers) == len(tasks) and (len(tasks) == 1 or quantity not in ("low", "high")):
            whole["", context, quantity] = sum(numbers) / len(numbers)
    return {**values, **whole}


def _json(run: RunData, name: str) -> Row:
    try:
        return read_json(run.path / name)
    except (OSError, ValueError) as error:
        run.notices.append(f"{name} cannot be read ({type(error).__name__})")
        return {}


def _lines(run: RunData, name: str, *, optional: bool = False) -> Iterator[Row]:
    """Return the objects of a file, line by line; damaged lines are left out and noted."""
    damaged: list[jsonl.BadLine] = []
    try:
        with (run.path / name).open("rb") as file:
            lines = iter(lambda: file.readline(LONGEST_LINE), b"")
            yield from (row for _, row in jsonl.objects(lines, on_damage=damaged.append))
    except FileNotFoundError:
        if not optional:
            run.notices.append(f"{name} is missing")
    except OSError as error:
        run.notices.append(f"{name} cannot be read ({error.strerror})")
    if damaged:
        run.notices.append(f"{name}: {len(damaged)} damaged lines left out, line {damaged[0].number} first")


def _canonical(task: str) -> str:
    try:
        spec = parse_spec(task)
    except BadInput:  # of a damaged file
        return task
    return format_spec(spec.head, spec.params)
