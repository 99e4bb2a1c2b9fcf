"""`fastslow report RUN...`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from ..errors import BadInput
from .eval import Parser


def run(argv: Sequence[str]) -> int:
    """Print what run directories say: accuracies, costs against plain RL, KL at like accuracy, ceilings."""
    parser = Parser(
        prog="fastslow report",
        description="What runs say, side by side, as Markdown. Reads files only, also of runs that are still going.",
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="run directories; runs of one mode are seeds of one arm")
    parser.add_argument("--output", metavar="FILE", help="write to this file instead of the terminal")
    options = parser.parse_args(list(argv))
    from ..report.data import load_run
    from ..report.markdown import markdown

    text = markdown([load_run(path) for path in dict.fromkeys(options.runs)])
    if options.output is None:
        sys.stdout.write(text)
        return 0
    try:
        Path(options.output).write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadInput(f"cannot write '{options.output}': {error.strerror}.") from error
    return 0
