"""Run `fastslow continual RECIPE`."""

from __future__ import annotations

from collections.abc import Sequence

from fastslow.cli.compare import compare, make_parser


def run(argv: Sequence[str]) -> int:
    """Run each mode and seed once through all tasks of the recipe, then write the report."""
    parser = make_parser(
        "continual",
        "Learn the recipe's tasks one after another in one run, measuring all of them all along; then the report with "
        "accuracy matrix, transfer and forgetting.",
    )
    parser.add_argument("--modes", help="default fst,rl")
    return compare(parser, argv, kind="continual", modes="fst,rl")
