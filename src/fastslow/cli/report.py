"""`fastslow report RUN_OR_COMPARISON...`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from fastslow.cli.flags import Parser, check_target
from fastslow.core.errors import BadInput, printable

SUFFIXES = {".html": "html", ".htm": "html", ".md": "md", ".csv": "csv", ".png": "png"}


def run(argv: Sequence[str]) -> int:
    """Show what run directories say: accuracies, costs against plain RL, drift from the base, contexts, routes."""
    parser = Parser(
        prog="fastslow report",
        description="What runs say, side by side: Markdown on the terminal, or a file. Reads files only, also of runs "
        "that are still going.",
    )
    parser.add_argument(
        "runs", nargs="+", metavar="RUN",
        help="run directories, where runs of one mode are seeds of one arm; or directories of comparisons",
    )  # fmt: skip
    parser.add_argument(
        "--output", metavar="FILE", help="write to this file ('-': standard output); its suffix says the format"
    )
    parser.add_argument(
        "--format", choices=["html", "md", "csv", "png"], help="default: by the suffix of the output, else md"
    )
    options = parser.parse_args(list(argv))
    if options.output == "-":
        options.output = None
    chosen = options.format or SUFFIXES.get(Path(options.output or "").suffix.lower(), "md")
    if options.output is not None:
        check_target(Path(options.output))
    if chosen == "png" and options.output is None:
        raise BadInput("a PNG goes to a file: give --output, e.g. --output report.png.")
    made = _made(chosen, options.runs)
    if options.output is None:
        sys.stdout.write(made.decode())
        return 0
    try:
        Path(options.output).write_bytes(made)
    except OSError as error:
        raise BadInput(f"cannot write '{options.output}': {error.strerror}.") from error
    print(f"wrote {printable(options.output)} ({_size(len(made))})", file=sys.stderr)
    return 0


def _size(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.1f} kB"


def _made(chosen: str, runs: Sequence[str]) -> bytes:
    from fastslow.report.reading.sources import load_sources

    sources = load_sources(runs)
    if chosen == "png":
        from fastslow.report.pages.png import picture

        return picture(sources)
    if chosen == "html":
        from fastslow.report.pages.page import page

        return page(sources).encode()
    if chosen == "csv":
        from fastslow.report.pages.csv_rows import rows

        return rows(sources).encode()
    from fastslow.report.pages.markdown import markdown

    return markdown(sources).encode()
