"""Run `fastslow probe-routes RUN`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fastslow.cli.flags import Parser, check_target, positive
from fastslow.core.errors import BadInput
from fastslow.record.tables import print_table

if TYPE_CHECKING:
    from fastslow.experiments.probe.results import Probe


def run(argv: Sequence[str]) -> int:
    """Measure what each channel alone would gain from a sample of examples, and compare the routing rules with that."""
    parser = Parser(
        prog="fastslow probe-routes",
        description="Measure, from the end of a run, what the contexts alone, the weights alone and "
        "both would gain from single examples at equal cost, and compare every routing rule with that.",
    )
    parser.add_argument("run", help="a finished run directory with a bundle")
    parser.add_argument("--examples", type=positive, default=16, help="training examples probed (default 16)")
    parser.add_argument("--steps", type=positive, default=4, help="slow steps of one probe (default 4)")
    parser.add_argument("--held_out", type=positive, default=16, help="validation examples of one probe (default 16)")
    parser.add_argument("--samples", type=positive, default=2, help="rollouts of each validation example (default 2)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the examples and of every draw (default 0)")
    parser.add_argument("--output", metavar="FILE", help="default RUN/probes.jsonl; continues an interrupted probe")
    parser.add_argument("--json", metavar="FILE", help="write the verdicts as JSON as well")
    parser.add_argument("--trust_task", action="store_true", help="allow the foreign code that the run names")
    args = parser.parse_args(list(argv))
    output = Path(args.output or Path(args.run) / "probes.jsonl")
    for target in (output, *([Path(args.json)] if args.json else [])):
        check_target(target)
    if args.json and Path(args.json).resolve() == output.resolve():
        raise BadInput(f"--json would overwrite the probes in '{output}'; give it a file of its own.")
    console = Console(stderr=True)
    console.print("[dim]loading libraries ...[/dim]")
    from fastslow.cli.train import find_modules_of, quiet_libraries
    from fastslow.experiments.probe.prober import probe_routes
    from fastslow.experiments.probe.results import ProbePlan
    from fastslow.files.run_directory import RunDirectory

    quiet_libraries()
    find_modules_of(args.run)
    directory = RunDirectory.open(args.run)
    plan = ProbePlan(args.examples, args.steps, args.held_out, args.samples, args.seed)
    with console.status("probing ..."):
        probes = probe_routes(
            directory,
            plan,
            output=output,
            trusted=args.trust_task,
            note=lambda text: console.print(text, highlight=False, markup=False),
        )
    verdicts = judge_all(probes)
    _show(verdicts)
    if args.json:
        Path(args.json).write_text(json.dumps(verdicts, indent=2) + "\n", encoding="utf-8")
    return 0


def judge_all(probes: Sequence[Probe]) -> dict:
    """Return JSON-able verdicts on every rule, and the calibration of the gains that `learned` expected."""
    from fastslow.core.types import Route
    from fastslow.metrics.routing import ROUTES, calibration, judge_rule
    from fastslow.routers.learned import COST

    gains = [probe.gains for probe in probes]
    rules = {name: asdict(judge_rule([p.routes[name] for p in probes], gains)) for name in probes[0].routes}
    # The rule expects gain per cost; SKIP is left out, whose gain is 0 by definition.
    pairs = [
        (expected, p.gain(r) / COST[Route(r)])
        for p in probes
        for r, expected in p.expected_gains.items()
        if r != "skip"
    ]
    bins = calibration([expected for expected, _ in pairs], [gain for _, gain in pairs]) if pairs else []
    best = [probe.best() for probe in probes]
    return {
        "examples": len(probes),
        "best": {route: best.count(route) for route in ROUTES},
        "rollouts": {arm: sum(p.rollouts[arm] for p in probes) / len(probes) for arm in probes[0].rollouts},
        "rules": rules,
        "calibration_of_learned": [{"expected": e, "measured": m, "decisions": n} for e, m, n in bins],
    }


def _show(verdicts: dict) -> None:
    table = Table(title=f"Measured gain of success by rule, {verdicts['examples']} examples (95% intervals)")
    for heading in ("rule", "gain", "regret to the best constant", "regret to the oracle", "agreement"):
        table.add_column(heading, justify="left" if heading == "rule" else "right")
    for name, rule in sorted(verdicts["rules"].items(), key=lambda item: -item[1]["gain"]["value"]):
        columns = ("gain", "regret_constant", "regret_oracle", "agreement")
        table.add_row(escape(name), *(_estimate(rule[column]) for column in columns))
    console = Console()
    print_table(console, table)
    best, rollouts = ({k: f"{n:.0f}" for k, n in verdicts[name].items()} for name in ("best", "rollouts"))
    console.print("best route measured: " + _listed(best), highlight=False)
    console.print("rollouts an example took: " + _listed(rollouts), highlight=False)


def _listed(numbers: dict[str, str]) -> str:
    return ", ".join(f"{name} {number}" for name, number in numbers.items())


def _estimate(estimate: dict) -> str:
    interval = "" if estimate["low"] is None else f" ({estimate['low']:+.3f} to {estimate['high']:+.3f})"
    return f"{estimate['value']:+.3f}{interval}"
