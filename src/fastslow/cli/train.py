"""Run `fastslow train`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich.console import Console

from fastslow.cli.closing import close


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
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
