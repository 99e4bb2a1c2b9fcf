"""Run `fastslow plasticity --from RUN --task TASK`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from fastslow.cli.compare import carry_out, check_flags
from fastslow.cli.flags import Parser, positive
from fastslow.core.errors import BadInput


def run(argv: Sequence[str]) -> int:
    """Train plain RL on one task from the weights of each run and from the base, then write the report."""
    parser = Parser(
        prog="fastslow plasticity",
        allow_abbrev=False,
        description="Measure whether weights still learn: plain RL on another task from each run's weights and from "
        "the base model, under the seed context; then the report.",
        epilog="Every other flag goes to 'fastslow train', for all cells.",
    )
    parser.add_argument("--from", dest="starts", action="append", required=True, metavar="RUN", help="repeatable")
    parser.add_argument("--task", required=True, help="the task to learn")
    parser.add_argument("--steps", type=positive, default=30, help="optimiser steps (default 30)")
    parser.add_argument("--config", metavar="RECIPE", help="its settings; default: those of the first run")
    parser.add_argument("--seeds", default="3", help="a number (3: seeds 1 to 3) or a list (7,11); default 3")
    parser.add_argument("--output_dir", default="runs/plasticity", help="default runs/plasticity")
    parser.add_argument("--dry_run", action="store_true", help="show cells, costs and data, and run nothing")
    options, flags = parser.parse_known_args(list(argv))
    console = Console(stderr=True)
    console.print("[dim]loading libraries ...[/dim]")
    from fastslow.experiments.plan import parse_seeds, plan_plasticity

    check_flags(flags)
    starts = [Path(path) for path in dict.fromkeys(options.starts)]
    for path in starts:
        check_start(path)
    base = base_of(starts)
    experiment = plan_plasticity(
        options.output_dir,
        title=options.config or str(starts[0]),
        flags=[
            *("--config", options.config or str(starts[0] / "config.yaml")),
            # each cell starts from weights of its own, whatever the run before began with
            *("--from_bundle", "", "--task", options.task, "--max_steps", str(options.steps)),
            *("--save_bundle", "false", *flags),
        ],
        starts={"base": base, **{f"from {path}": str(weights(path, Path(options.output_dir))) for path in starts}},
        seeds=parse_seeds(options.seeds),
    )
    return carry_out(experiment, console, dry_run=options.dry_run)


def check_start(path: Path) -> None:
    if not (path / "bundle" / "bundle.json").is_file():
        raise BadInput(f"'{path}' holds no finished bundle; give a run directory that 'fastslow train' has finished.")


def base_of(starts: Sequence[Path]) -> str:
    """Return the model that all runs started from. Raises BadInput where the runs differ, because they could not be
    compared."""
    models = {}
    for path in starts:
        try:
            models[path] = json.loads((path / "bundle" / "bundle.json").read_text(encoding="utf-8"))["settings"][
                "model"
            ]
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise BadInput(f"'{path / 'bundle' / 'bundle.json'}' is damaged ({type(error).__name__}).") from error
    if len(set(models.values())) > 1:
        raise BadInput(f"the runs started from different models ({', '.join(sorted(map(str, models.values())))}).")
    return str(next(iter(models.values())))


def weights(start: Path, folder: Path) -> Path:
    """Return a folder with the whole model of a run; adapters are merged into their base once, inside the
    experiment."""
    bundle = start / "bundle"
    if not (bundle / "adapter_config.json").is_file():
        return bundle
    merged = folder / "starts" / "".join(c if c.isalnum() or c in "-_." else "-" for c in str(start))
    if not (merged / "config.json").is_file():
        from fastslow.bundles.bundle import open_bundle

        opened = open_bundle(start)
        model: Any = opened.model
        model.merge_and_unload().save_pretrained(merged)
        opened.tokenizer.save_pretrained(merged)
    return merged
