"""`fastslow compare RECIPE` and, with several tasks in the recipe, `fastslow continual RECIPE`."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from fastslow.cli.flags import Parser
from fastslow.core.errors import BadInput


def run(argv: Sequence[str]) -> int:
    """Run every mode and seed of a recipe, then write the report."""
    parser = make_parser("compare", "Run a recipe in several modes and seeds, then write tables and report.html.")
    parser.add_argument("--modes", help="default fst,rl,prompt; 'sequential' is rl_prompt and prompt_rl")
    parser.add_argument(
        "--sweep", action="append", metavar="SETTING=V1,V2", help="every mode with each of these values; repeatable"
    )
    return compare(parser, argv, kind="compare", modes="fst,rl,prompt")


def make_parser(name: str, description: str) -> Parser:
    parser = Parser(
        prog=f"fastslow {name}",
        allow_abbrev=False,
        description=description,
        epilog="Every other flag goes to 'fastslow train', for all cells: --max_steps 60. Cells that are done are "
        "picked up and not run again; one that was broken off goes on from its last checkpoint. A recipe's 'compare:' "
        "section may hold modes, seeds, sweep and minutes (a cell's, for the first estimate; flags change it only by "
        "the steps they ask for), or arms: a name for "
        "each, with its settings. Exit code 1: some cells failed.",
    )
    parser.add_argument("recipe", help="a recipe as for 'fastslow train'; flags come after it")
    parser.add_argument(
        "--arms",
        help="ways to adapt a model, in the place of modes: names of docs/alternatives.md such as fst,rl,sft,joint, or "
        "of the recipe's own arms",
    )
    parser.add_argument("--seeds", help="a number (3: seeds 1 to 3) or a list (7,11); default 3")
    parser.add_argument("--output_dir", help=f"the experiment's directory; default runs/RECIPE-{name}")
    parser.add_argument("--dry_run", action="store_true", help="show cells, costs and data, and run nothing")
    return parser


def compare(parser: Parser, argv: Sequence[str], *, kind: Any, modes: str) -> int:
    options, flags = parser.parse_known_args(list(argv))
    console = Console(stderr=True)
    console.print("[dim]loading libraries ...[/dim]")
    from fastslow.config.reading import number
    from fastslow.experiments.experiment import read_section
    from fastslow.experiments.plan import checked_sweep, parse_modes, parse_seeds, parse_sweep, plan_arms, plan_modes

    check_flags(flags)
    section = read_section(options.recipe)
    unknown = set(section) - {"modes", "seeds", "sweep", "arms", "minutes"}
    if unknown:
        raise BadInput(f"recipe '{options.recipe}': 'compare' has no '{sorted(unknown)[0]}'.")
    sweep = parse_sweep(options.sweep) if getattr(options, "sweep", None) else checked_sweep(section.get("sweep") or {})
    common: dict[str, Any] = {
        "kind": kind,
        "title": options.recipe,
        "flags": ["--config", options.recipe, *flags],
        "seeds": parse_seeds(options.seeds or _listed(section.get("seeds")) or "3"),
    }
    # Not runs/RECIPE, where a run of the recipe may be: 'make quickstart' trains into runs/quickstart.
    path = options.output_dir or Path("runs") / f"{Path(options.recipe).stem}-{kind}"
    arms = arms_of(options, section, common["flags"], swept=bool(sweep))
    if arms is not None:
        experiment = plan_arms(path, arms=arms, **common)
    else:
        listed = parse_modes(options.modes or _listed(section.get("modes")) or modes)
        experiment = plan_modes(path, modes=listed, sweep=sweep, **common)
    if kind == "continual":
        check_stages([cell.settings for cell in experiment.cells])
    minutes = number(str(section.get("minutes")))
    if minutes is not None:
        minutes *= longer(options.recipe, flags)
    return carry_out(experiment, console, dry_run=options.dry_run, minutes=minutes)


def longer(recipe: str, flags: Sequence[str]) -> float:
    """Return how many times the recipe's own steps the flags ask for: what the recipe says that a cell takes is for its
    own."""
    from fastslow.config.parsing import parse_config

    try:
        own, asked = (
            parse_config(["--config", recipe, *more, "--output_dir", "x"]).max_steps for more in ([], list(flags))
        )
    except BadInput:  # only with the settings of an arm is it whole
        return 1.0
    return asked / own


def arms_of(
    options: Any, section: dict[str, Any], flags: Sequence[str], *, swept: bool
) -> dict[str, dict[str, Any]] | None:
    """Return arm -> settings: those asked for by name, or all of the recipe's own; None where modes are asked for."""
    from fastslow.config.parsing import parse_config
    from fastslow.experiments.arms import parse_arms

    own = section.get("arms")
    if own is not None and (not isinstance(own, dict) or not own or "modes" in section):
        raise BadInput(f"recipe '{options.recipe}': 'arms' holds a name for each arm, in the place of 'modes'.")
    if options.arms is not None and (options.modes or swept):
        raise BadInput("arms are named one by one: give --arms, or --modes and --sweep.")
    if options.arms is None and (own is None or options.modes or swept):
        return None
    rate = parse_config([*flags, "--output_dir", "x"]).learning_rate
    return parse_arms(list(own or {}) if options.arms is None else options.arms.split(","), own, learning_rate=rate)


def check_flags(flags: Sequence[str]) -> None:
    """Refuse flags that an experiment sets for each cell: they would be overruled in silence. Raises BadInput."""
    instead = {"mode": "--modes", "seed": "--seeds", "config": "the recipe before all flags"}
    for flag in flags:
        name = flag.partition("=")[0].lstrip("-").replace("-", "_") if flag.startswith("--") else ""
        if name in instead:
            raise BadInput(f"an experiment sets '--{name}' for each cell; give {instead[name]}.")


def carry_out(experiment: Any, console: Console, *, dry_run: bool, minutes: float | None = None) -> int:
    """Show what an experiment takes, run it, and write its report."""
    for line in estimate(experiment, minutes):
        console.print(escape(line), highlight=False, soft_wrap=True)
    if dry_run:
        for line in data_of(experiment):
            console.print(escape(line), highlight=False, soft_wrap=True)
        return 0
    code = experiment.run(console)
    experiment.write()
    write_reports(experiment.path, console)
    return code


def write_reports(folder: Path, console: Console) -> None:
    from fastslow.cli.report import run as report

    for name in ("report.md", "report.html"):
        report([str(folder), "--output", str(folder / name)])
    console.print(escape(f"report: {folder / 'report.html'}"), highlight=False, soft_wrap=True)


def estimate(experiment: Any, minutes: float | None) -> list[str]:
    """Return the cells, and the time and disk that the remaining ones will take."""
    from fastslow.policy.loading import weight_bytes

    left = [cell for cell in experiment.cells if cell.status != "done"]
    lines = [
        f"{cell.folder}{'' if cell.arm.split()[0] == cell.mode else f' (mode {cell.mode})'}: {cell.status}"
        for cell in experiment.cells
    ]
    done = [cell.seconds for cell in experiment.cells if cell.status == "done" and cell.seconds]
    known = sum(done) / len(done) / 60 if done else minutes
    based = (
        f"as {len(done)} that are done took"
        if done
        else "by the recipe's minutes a cell, in proportion to steps; loading and evaluations of short runs come on top"
    )
    time = f"about {known * len(left):.0f} minutes ({based})" if known is not None else "time unknown until one ends"
    bundles = [cell.settings["model"] for cell in left if cell.settings.get("save_bundle", True)]
    needed = sum(weight_bytes(model) for model in bundles)  # all other files of a run are small
    lines.append(f"{len(left)} of {len(experiment.cells)} cells to run: {time}, {needed / 1e9:.1f} GB of bundles")
    existing = next(p for p in (experiment.path, *experiment.path.absolute().parents) if p.exists())
    free = shutil.disk_usage(existing).free
    if needed > free:
        lines.append(f"warning: only {free / 1e9:.1f} GB are free; save_bundle: false keeps the numbers alone")
    return lines


def data_of(experiment: Any) -> Iterator[str]:
    """Read the data of the remaining cells, each but once, and yield a line on each. Raises BadInput for what no cell
    could begin with."""
    from fastslow.config.parsing import parse_config
    from fastslow.run.assemble import refuse_empty, task_from
    from fastslow.tasks.families.streamed import StreamedTask
    from fastslow.tasks.names import titles

    seen = set()
    for cell in experiment.cells:
        config = parse_config([*cell.flags, "--output_dir", str(experiment.path / cell.folder)])
        cut = (config.train_size, config.validation_size, config.test_size, config.data_seed)
        key = (config.task, *(config.tasks or ()), *cut)
        if cell.status == "done" or key in seen:
            continue
        seen.add(key)
        task = task_from(config)
        refuse_empty(task)
        sizes = (f"{len(task.split(name))} {name}" for name in ("validation", "test"))
        train = "streamed" if isinstance(task, StreamedTask) else len(task.split("train"))
        name = task.name if config.tasks else titles([task.name])[task.name]
        yield f"data of {name}: {train} training, {', '.join(sizes)} examples"


def check_stages(of_cells: Sequence[dict[str, Any]]) -> None:
    """Refuse stages that do not end with an evaluation: the matrix of stages and tasks would have holes. An arm may
    have all tasks at once, where another has stages."""
    from fastslow.streams import has_stages

    settings = next((one for one in of_cells if has_stages(one.get("stream") or "")), of_cells[0])
    steps, every = settings.get("stage_steps"), settings.get("eval_steps")
    if len(settings.get("tasks") or ()) < 2:
        raise BadInput("a continual run needs several tasks: give 'tasks' and 'stage_steps' in the recipe.")
    if not has_stages(settings.get("stream") or ""):
        raise BadInput(
            f"a continual run has one stage for each task, and stream '{settings['stream']}' has not; "
            "'fastslow compare' runs it."
        )
    if not every or not steps or steps % every:
        raise BadInput(
            f"stage_steps ({steps}) must be a multiple of eval_steps ({every}), so that every stage ends with an "
            "evaluation."
        )


def _listed(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value)) + ("," if len(value) == 1 else "")
    return "" if value is None else str(value)
