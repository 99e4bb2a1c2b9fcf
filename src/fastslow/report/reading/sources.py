"""What a report covers: runs given one by one, or the cells of a directory with a comparison.json."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastslow.core.errors import BadInput, quoted
from fastslow.report.reading.data import RunData, load_run
from fastslow.report.reading.values import mapping, number, read_json, text

KINDS = ("compare", "plasticity", "continual")
PLAN = "comparison.json"
MOST_NAMED = 3  # runs that a notice names for each type

MOST_SETTINGS = 3
"""Settings that tell runs of one mode apart in the name of their arm; what more differs is counted."""

ALIKE = (
    "seed", "data_seed", "task", "tasks", "model", "output_dir", "run_name", "save_", "push_to_hub", "hub_", "logging_",
    "report_to", "trackio", "project", "eval_strategy", "eval_steps", "eval_on_start", "keep_", "max_minutes",
    "engine_", "dataloader_", "bf16", "fp16", "use_cpu", "ddp_", "disable_tqdm", "include_", "restore_", "resume_",
)  # fmt: skip
"""Beginnings of the names of settings in which the runs of one arm may differ: what tells seeds, tasks and models
apart, and what decides where a run is written and how it is watched. Another type to compute in has a notice."""


@dataclass(frozen=True)
class PlannedRun:
    """One run that a comparison planned, whether or not it was run."""

    path: str
    arm: str
    seed: str
    status: str
    error: str = ""
    seconds: float | None = None


@dataclass
class Source:
    """Runs that belong together. `cells` are those of a plan; runs given one by one have none.

    `reference` is the arm that the other arms are compared with; '' leaves the choice to the modes.
    """

    kind: str = "runs"
    name: str = ""
    recipe: str = ""
    reference: str = ""
    runs: list[RunData] = field(default_factory=list)
    cells: list[PlannedRun] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)


def load_sources(paths: Sequence[str | Path]) -> list[Source]:
    """Return one source for all plain run directories, and one for each comparison.

    Raises BadInput where a path holds neither.
    """
    plain, sources = Source(), []
    for path in dict.fromkeys(map(Path, paths)):
        if (path / PLAN).is_file():
            sources.append(_comparison(path))
        else:
            plain.runs.append(load_run(path))
    _tell_apart(plain)
    read = [*([plain] if plain.runs else []), *sources]
    for source in read:
        _note_types(source)
    return read


def _tell_apart(source: Source) -> None:
    """Give runs of one mode, task and model whose settings differ arms of their own, named as those of a sweep: they
    are no seeds of one another. A setting that some run does not know, as an older one, tells none apart."""
    kinds: dict[tuple[str, str, str], list[RunData]] = {}
    for run in source.runs:
        kinds.setdefault((run.mode, run.task, run.model), []).append(run)
    for (mode, _, _), of_kind in kinds.items():
        shared = set.intersection(*(set(run.config) for run in of_kind))
        names = sorted(name for name in shared if not name.startswith(ALIKE))
        differing = [name for name in names if len({repr(run.config[name]) for run in of_kind}) > 1]
        if not differing:
            continue
        settings = [[f"{name}={run.config[name]}" for name in differing] for run in of_kind]
        for run, own in zip(of_kind, settings, strict=True):
            more = [] if len(own) <= MOST_SETTINGS else [f"(setting {settings.index(own) + 1})"]
            run.arm = quoted(" ".join([mode, *own[:MOST_SETTINGS], *more]))
        shown = ", ".join([*differing[:MOST_SETTINGS], *(["..."] if len(differing) > MOST_SETTINGS else [])])
        source.notices.append(
            f"runs of mode {quoted(mode, 40)} differ in more than the seed ({shown}): each setting is an arm of its own"
        )


def _note_types(source: Source) -> None:
    """Note where runs computed in different types: rounding alone makes other answers then."""
    by_type: dict[str, list[str]] = {}
    for run in source.runs:
        if isinstance(run.config.get("bf16"), bool):
            kind = "bfloat16" if run.config["bf16"] else "float16" if run.config.get("fp16") is True else "float32"
            by_type.setdefault(kind, []).append(run.path.name)
    if len(by_type) > 1:
        shown = "; ".join(f"{kind}: {', '.join(names[:MOST_NAMED])}" for kind, names in sorted(by_type.items()))
        source.notices.append(f"not all runs computed in one type ({shown}); some of any difference is rounding")


def _comparison(folder: Path) -> Source:
    try:
        plan = read_json(folder / PLAN)
    except (OSError, ValueError) as error:
        raise BadInput(
            f"'{folder / PLAN}' cannot be read ({type(error).__name__}); give its run directories."
        ) from error
    kind = plan.get("kind")
    source = Source(
        kind if kind in KINDS else "compare",
        folder.resolve().name,
        text(plan.get("recipe"), ""),
        text(plan.get("reference"), "base" if kind == "plasticity" else ""),
    )
    if kind not in KINDS:
        source.notices.append(f"{PLAN} is of an unknown kind; read as a comparison")
    rows = plan.get("cells")
    for row in rows if isinstance(rows, list) else []:
        _add_cell(source, folder, mapping(row))
    missing = [cell for cell in source.cells if cell.status == "missing"]
    if missing:
        source.notices.append(f"{len(missing)} of {len(source.cells)} planned cells have not been run yet")
    if not source.cells:
        source.notices.append(f"{PLAN} names no cells")
    return source


def _add_cell(source: Source, folder: Path, row: Any) -> None:
    relative, arm = row.get("path"), text(row.get("arm"), "") or text(row.get("mode"), "unknown")
    cell = PlannedRun(
        text(relative, ""), arm, text(row.get("seed"), "unknown"), text(row.get("status"), "unknown"),
        text(row.get("error"), ""), number(row.get("seconds")),
    )  # fmt: skip
    source.cells.append(cell)
    name = f"{arm}, seed {cell.seed}"
    if cell.status == "failed":  # a broken run says nothing of the arm, and would cut the mean of the arm short
        source.notices.append(f"{name} failed and is left out" + (f": {cell.error}" if cell.error else ""))
        return
    if cell.status == "missing":
        return
    try:
        path = (folder / str(relative)).resolve()
        inside = isinstance(relative, str) and path.is_relative_to(folder.resolve())
    except (OSError, ValueError, RuntimeError):
        inside = False
    if not inside:
        source.notices.append(f"{name}: its path is not inside the comparison and was not read")
        return
    try:
        source.runs.append(load_run(folder / str(relative), arm))
    except BadInput:
        source.notices.append(f"{name}: nothing was written yet ({cell.status})")
