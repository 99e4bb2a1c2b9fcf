"""Arms side by side: runs of one task in several modes and seeds, against plain RL or another reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import mean

from fastslow.core.modes import MODES, REFERENCE, Mode
from fastslow.metrics import Asymptote, Curve, Efficiency, MatchedKL, efficiency, fit_asymptote, kl_at_matched_accuracy
from fastslow.metrics.curves import mean_curve
from fastslow.report.reading.data import AXES, RunData
from fastslow.report.reading.sources import PlannedRun, Source

# RL asks no language model, so the reflection axis has no ratio, only the tokens of the other arm.
RATIO_AXES = tuple(axis for axis in AXES if axis != "reflection")


@dataclass
class Arm:
    """All runs with one label: those of one mode, or of one cell of a sweep."""

    label: str
    runs: list[RunData]
    efficiency: dict[str, Efficiency | None] = field(default_factory=dict)
    asymptote: Asymptote | None = None
    drift: MatchedKL | None = None

    @property
    def mode(self) -> str:
        return self.runs[0].mode

    @property
    def channels(self) -> Mode:
        """Which channels learned."""
        return self.runs[0].channels

    def curves(self, axis: str = "steps", quantity: str = "accuracy") -> list[Curve]:
        """Return one curve for each seed, under the context that the arm ships."""
        return [run.curve(axis, quantity) for run in self.runs]

    def final(self, name: str, task: str = "") -> float | None:
        """Return the mean over seeds, or None unless every seed has the number."""
        return mean_or_none([run.final(name, task) for run in self.runs])

    def best(self) -> float | None:
        """The highest point of the mean curve."""
        return max(mean_curve(self.curves()).y, default=None)


@dataclass
class Comparison:
    """The arms of one task and model; the reference first where there is one.

    `unfinished` are runs that are in no arm: other seeds of theirs are done, and means over both would be of less.
    """

    task: str
    model: str
    arms: list[Arm]
    kind: str = "runs"
    reference_label: str = REFERENCE.name
    recipe: str = ""
    cells: list[PlannedRun] = field(default_factory=list)
    unfinished: list[RunData] = field(default_factory=list)

    @property
    def reference(self) -> Arm | None:
        return next((arm for arm in self.arms if arm.label == self.reference_label), None)

    @property
    def others(self) -> list[Arm]:
        return [arm for arm in self.arms if arm is not self.reference]

    @property
    def runs(self) -> list[RunData]:
        return [run for arm in self.arms for run in arm.runs]

    @property
    def all_runs(self) -> list[RunData]:
        """The runs of all arms, and then the unfinished ones."""
        return [*self.runs, *self.unfinished]

    @property
    def tasks(self) -> list[str]:
        return list(dict.fromkeys(task for run in self.runs for task in run.tasks))

    @property
    def title(self) -> str:
        """The task as a heading has it: of a file the name alone."""
        return next((run.title for run in self.all_runs), self.task)

    @property
    def graded(self) -> bool:
        """Whether a reward of any run is neither 0 nor 1, so that their mean is not a share of answers."""
        return any(run.graded for run in self.runs)

    @property
    def measure(self) -> str:
        """What the evaluations of these runs measure, by its name."""
        return "mean reward" if self.graded else "accuracy"

    @property
    def along(self) -> str:
        """The mean of the measure over evaluations, by its name."""
        return "mean reward" if self.graded else "mean accuracy"

    @property
    def reference_name(self) -> str:
        mode = MODES.get(self.reference_label)
        return mode.title if mode is not None and mode.title else self.reference_label


def compare(source: Source) -> list[Comparison]:
    """Return one comparison for each task and model, in the order of the runs given.

    A plasticity probe compares the models themselves, so it has one comparison for each task.
    """
    return [_compare(source, runs) for runs in _alike(source)]


def headings(comparisons: Sequence[Comparison]) -> list[str]:
    """Return what a report calls the task of each comparison: its title, or the whole name where two tasks of the
    report have one title."""
    tasks = {title: {c.task for c in comparisons if c.title == title} for title in (c.title for c in comparisons)}
    return [c.title if len(tasks[c.title]) == 1 else c.task for c in comparisons]


def left_out(source: Source) -> list[RunData]:
    """Return the runs that no arm has: those that are not finished, where other seeds of their arm are."""
    return [run for runs in _alike(source) for run in runs if run not in _counted(runs, run.label)]


def _alike(source: Source) -> list[list[RunData]]:
    """Return the runs of each comparison."""

    def kind(run: RunData) -> tuple[str, str]:
        return run.task, "" if source.kind == "plasticity" else run.model

    kinds = list(dict.fromkeys(map(kind, source.runs)))
    return [[run for run in source.runs if kind(run) == each] for each in kinds]


def _counted(runs: Sequence[RunData], label: str) -> list[RunData]:
    """Return the seeds of an arm that its means are over: those that are done; while none is, those that have measured
    anything. One that has just begun would cut the curves of all others to their start."""
    seeds = [run for run in runs if run.label == label]
    done = [run for run in seeds if run.status == "done"]
    return done or [run for run in seeds if run.evaluations] or seeds


def mean_or_none(values: Sequence[float | None]) -> float | None:
    """Return the mean, or None where a value is missing, because a mean over fewer values would be of something
    else."""
    known = [value for value in values if value is not None]
    return mean(known) if values and len(known) == len(values) else None


def _compare(source: Source, runs: Sequence[RunData]) -> Comparison:
    planned = list(dict.fromkeys(cell.arm for cell in source.cells))  # a sweep's values in the given order

    # The arm that the plan names, else one of the reference mode, preferably without swept settings.
    by_mode = sorted(
        {run.label for run in runs if run.channels.role == "reference"}, key=lambda name: (len(name), name)
    )
    reference_label = source.reference or next(iter(by_mode), REFERENCE.name)

    def place(label: str) -> tuple[bool, int, str]:
        return label != reference_label, planned.index(label) if label in planned else len(planned), label

    arms = [
        Arm(label, sorted(_counted(runs, label), key=lambda r: (len(r.seed), r.seed)))
        for label in sorted({run.label for run in runs}, key=place)
    ]
    models = list(dict.fromkeys(run.model for run in runs))
    model = models[0] if len(models) == 1 else "from several checkpoints"
    comparison = Comparison(runs[0].task, model, arms, source.kind, reference_label, source.recipe, source.cells)
    comparison.unfinished = [run for run in runs if run not in comparison.runs]
    reference = comparison.reference
    for arm in arms:
        arm.asymptote = fit_asymptote(mean_curve(arm.curves()))
        if reference is not None and arm is not reference:
            arm.drift = kl_at_matched_accuracy(*([run.kl_curve() for run in side.runs] for side in (reference, arm)))
            for axis in RATIO_AXES:
                arm.efficiency[axis] = efficiency(reference.curves(axis), arm.curves(axis))
    return comparison
