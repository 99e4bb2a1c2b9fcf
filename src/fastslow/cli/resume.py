"""Run `fastslow resume`."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from fastslow.cli.eval import Parser


def run(argv: Sequence[str]) -> int:
    """Continue a run that was stopped or interrupted, under the settings in its config.yaml."""
    parser = Parser(
        prog="fastslow resume",
        description="Continue a run that was stopped or interrupted, from its newest checkpoint. On a CPU the result "
        "equals that of an uninterrupted run bit for bit.",
    )
    parser.add_argument("run", help="a run directory")
    parser.add_argument(
        "--checkpoint",
        metavar="NAME",
        help="a checkpoint other than the newest, e.g. checkpoint-12 (later ones are deleted); 'none' starts over",
    )
    parser.add_argument(
        "--max_minutes",
        type=float,
        metavar="MINUTES",
        help="another limit of wall time, counting all that the run has taken so far",
    )
    parser.add_argument(
        "--engine_urls", nargs="+", metavar="URL", help="where the vLLM servers are now, if not where they were"
    )
    args = parser.parse_args(list(argv))
    Console(stderr=True).print("[dim]loading libraries ...[/dim]")
    from fastslow.cli.train import close, find_modules_of, leave_processes, quiet_libraries
    from fastslow.record.display import TerminalDisplay
    from fastslow.run.signals import exit_code
    from fastslow.run.train import resume

    quiet_libraries()
    find_modules_of(args.run)
    summary = resume(
        args.run,
        checkpoint=args.checkpoint,
        max_minutes=args.max_minutes,
        engine_urls=args.engine_urls,
        display=TerminalDisplay(),
    )
    if summary:
        close(summary, args.run)
    leave_processes()
    return exit_code(summary)
