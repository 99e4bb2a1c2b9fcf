"""Run `fastslow resume`."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence

from rich.console import Console

from fastslow.cli.closing import close
from fastslow.cli.flags import Parser
from fastslow.core.errors import BadInput


def run(argv: Sequence[str]) -> int:
    """Continue a run that was stopped or interrupted, under the settings in its config.yaml."""
    parser = Parser(
        prog="fastslow resume",
        description="Continue a run that was stopped or interrupted, from its newest checkpoint. On a CPU the result "
        "equals that of an uninterrupted run bit for bit.",
    )
    parser.add_argument("run", help="a run directory, or the URL of a second place (save_to)")
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
    parser.add_argument(
        "--output_dir", metavar="DIR", help="for a URL: the empty folder to continue in; default runs/NAME of the URL"
    )
    parser.add_argument("--fetch_only", action="store_true", help="for a URL: copy the run here, and do not continue")
    args = parser.parse_args(list(argv))
    if "://" in args.run:
        args.run, args.checkpoint = _fetch(args)
        if args.fetch_only:
            return 0
    elif args.output_dir or args.fetch_only:
        raise BadInput("--output_dir and --fetch_only are for the URL of a second place; a run goes on where it is.")
    Console(stderr=True).print("[dim]loading libraries ...[/dim]")
    from fastslow.cli.train import find_modules_of, leave_processes, quiet_libraries
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


def _fetch(args: Namespace) -> tuple[str, str | None]:
    """Copy the run at a URL to this machine; return its folder, and the checkpoint to continue from."""
    from fastslow.core.machine import processes_here
    from fastslow.run.mirror import fetch

    folder = args.output_dir or f"runs/{args.run.rstrip('/').rpartition('/')[2]}"
    if processes_here() > 1:
        raise BadInput(
            f"several processes would copy the same run. Copy it with one: fastslow resume {args.run} --output_dir "
            f"{folder} --fetch_only; then continue it with all: fastslow resume {folder}"
        )
    if args.checkpoint == "none":
        raise BadInput("--checkpoint none starts over, which needs nothing from a URL; give the recipe to train again.")
    name = fetch(args.run, folder, args.checkpoint)
    Console(stderr=True).print(f"{args.run}: {name} is in {folder} now", markup=False, highlight=False, soft_wrap=True)
    return folder, name
