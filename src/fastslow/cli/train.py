"""Run `fastslow train`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import Any

from rich.console import Console

from fastslow.core.errors import printable

OUT_OF_TIME = "max_minutes"
"""The end of the status of a run whose time was up, as `run.train` writes it: that module loads the libraries."""


def run(argv: Sequence[str]) -> int:
    """Train; the closing table goes to standard output, progress to standard error."""
    if {"-h", "--help", "--help-all"} & set(argv):
        from fastslow.config.parsing import train_help

        print(train_help("--help-all" in argv))
        return 0
    Console(stderr=True).print("[dim]loading libraries ...[/dim]")
    from fastslow.config.parsing import parse_config
    from fastslow.record.display import TerminalDisplay
    from fastslow.run.signals import exit_code
    from fastslow.run.train import train

    quiet_libraries()
    config = parse_config(argv)
    summary = train(config, display=TerminalDisplay())
    if summary:
        close(summary, str(config.output_dir))
    leave_processes()
    return exit_code(summary)


def close(summary: Mapping[str, Any], run: str) -> None:
    """Print the closing table, where to read on, and how a stopped run goes on; only files that this run has are
    named."""
    from fastslow.record.display import closing_table
    from fastslow.record.tables import print_table

    there = [name for name in ("summary.json", "metrics.jsonl", "bundle/") if (Path(run) / name).exists()]
    print_table(Console(), closing_table(summary))
    Console().print(f"run directory: {run} ({', '.join(there)})", markup=False, highlight=False, soft_wrap=True)
    if (status := str(summary["status"])) != "done":
        more = " --max_minutes MINUTES" if status.endswith(OUT_OF_TIME) else ""
        said = printable(f"The run was {status}. To go on: fastslow resume {quote(run)}{more}")
        Console().print(said, markup=False, highlight=False, soft_wrap=True)


def find_modules_of(run: str) -> None:
    """Have Python find the modules that a run names where `train` found them: in the folder it was started in."""
    from fastslow.files.run_directory import RunDirectory

    made_in = RunDirectory(run).made_in()
    if made_in is not None and made_in not in sys.path:
        sys.path.append(made_in)


def leave_processes() -> None:
    """Leave the process group. A process that exits inside the group may be aborted by the threads that it leaves
    behind."""
    from torch import distributed

    if distributed.is_initialized():
        distributed.destroy_process_group()


def quiet_libraries() -> None:
    """Silence progress bars and advice of the libraries; warnings and errors still show."""
    import transformers

    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
