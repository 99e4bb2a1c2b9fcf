"""`fastslow gate CANDIDATE --baseline BUNDLE|REGISTRY@champion --policy gate.yaml`."""

from __future__ import annotations

import argparse
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from fastslow.cli.flags import Parser, between, check_target, write
from fastslow.core import foreign
from fastslow.core.errors import BadInput, printable

SEEDS = 2**31
"""Seeds that a gate draws its own from."""

FORMS = ("json", "junit", "html")
"""Forms of a verdict, and the flags that name their files."""

if TYPE_CHECKING:
    from fastslow.gate.floor import Floor
    from fastslow.gate.policy import Policy
    from fastslow.gate.verdict import Verdict
    from fastslow.registry.registry import ModelRegistry


def run(argv: Sequence[str]) -> int:
    """Gate a candidate and return 0 for pass, 1 for fail and undecided, 2 for invalid."""
    from fastslow.gate.policy import read_policy

    options = _options(argv)
    if not options.plan:
        _make_way(options)
    policy = read_policy(options.policy)
    registry = _registry_of(options.baseline)
    if options.plan:
        _plan(policy, registry, options)
        return 0
    with foreign.output_aside():  # scorers may print, and the verdict goes to standard output
        verdict = _gate(options, policy, registry)
    if registry is not None:
        _record(registry, verdict)
    _show(options, verdict)
    return verdict.exit_code


def _plan(policy: Policy, registry: ModelRegistry | None, options: argparse.Namespace) -> None:
    """Print the plan of what the gate would do, with what the policy takes over from the champion's."""
    from fastslow.gate.floor import completed
    from fastslow.gate.plan import plan

    policy = completed(policy, _floor(policy, registry))
    for line in plan(policy, known=_available(policy, options), levels=_levels(registry)):
        print(printable(line))


def _available(policy: Policy, options: argparse.Namespace) -> dict[str, int]:
    """Return the most questions of every task that has fewer than the policy asks for, without those of the bundles
    that are given. Of a task that cannot be made here a note says so: it may be elsewhere."""
    from fastslow.bundles.bundle import settings_of
    from fastslow.gate.met import Met, Settings, lineage
    from fastslow.gate.questions import choose_questions
    from fastslow.registry.registry import resolve
    from fastslow.tasks.task_set import spelled_once

    given = (name for name in (options.candidate, options.baseline) if name not in (None, "", "base"))
    runs: list[Settings] = []
    for name in given:
        try:
            runs += lineage(*settings_of(resolve(name)))
        except BadInput as error:
            _note(f"which questions '{name}' was trained on is not known: {error}")
    named = {spelled_once(one.task) for one in (*policy.gain, *policy.retain)}

    met = Met(runs, trusted=lambda task: options.trust_task or spelled_once(task) in named)
    found: dict[str, int] = {}
    for one in (*policy.gain, *policy.retain):
        most = policy.questions_of(one)
        try:
            number = len(choose_questions(one.task, most, 0, met).examples)
        except BadInput as error:
            _note(f"how many questions '{one.task}' has is not known here: {error}")
            continue
        if number < most:
            found[spelled_once(one.task)] = number
    for note in met.notes:
        _note(note)
    return found


def _levels(registry: ModelRegistry | None) -> dict[str, float]:
    """Return the mean reward of a registry's champion on the tasks of the verdict by which it was promoted."""
    from fastslow.cli.released import verdict_of
    from fastslow.gate.verdict import read_verdict
    from fastslow.tasks.task_set import spelled_once

    try:
        file = None if registry is None else verdict_of(f"{registry.folder}@champion")
        checks = () if file is None else read_verdict(file).checks
    except BadInput:  # no champion yet
        return {}
    return {spelled_once(c.name): c.candidate for c in checks if c.kind != "prose" and c.candidate is not None}


def _note(text: str) -> None:
    Console(stderr=True).print(f"note: {printable(text)}", markup=False, highlight=False, soft_wrap=True)


def _floor(policy: Policy, registry: ModelRegistry | None) -> Floor | None:
    """Return what the champion's policy asks for. Raises BadInput for a policy that relies on one without any."""
    floor = None if registry is None else registry.floor()
    if registry is not None and floor is None and not (policy.gain or policy.retain or policy.samples):
        raise BadInput(
            f"the policy asks for nothing, and '{registry.folder}' has no champion whose policy it could go on with "
            "(the champion was promoted by force): name tasks in 'gain' or 'retain'."
        )
    return floor


def _make_way(options: argparse.Namespace) -> None:
    """Remove the files of an earlier gate: whatever ends this one, no older verdict stands in the place of its own."""
    for target in _targets(options):
        try:
            if target.is_file():  # a pipe or a device holds nothing
                target.resolve().unlink()
        except OSError as error:
            raise BadInput(f"cannot replace '{target}': {error.strerror or error}.") from error


def _record(registry: ModelRegistry, verdict: Verdict) -> None:
    """Write the verdict into the registry. It was measured and holds, also where the registry cannot take it."""
    try:
        registry.record(verdict)
    except BadInput as error:
        _note(f"the registry does not have this gate in its log: {error}")


def _gate(options: argparse.Namespace, policy: Policy, registry: ModelRegistry | None) -> Verdict:
    from fastslow.bundles.digest import folder_of
    from fastslow.cli.released import gated_contexts
    from fastslow.registry.registry import resolve

    floor = _floor(policy, registry)
    candidate = resolve(options.candidate)
    baseline = None if options.baseline == "base" else resolve(options.baseline)
    if options.trust_task:
        from fastslow.cli.train import find_modules_of

        for folder in (options.candidate, str(Path(options.candidate).resolve().parent)):
            find_modules_of(folder)
    import torch

    from fastslow.cli.train import quiet_libraries
    from fastslow.gate.gate import Order, run_gate

    known = registry or _registry_of(options.candidate)
    quiet_libraries()
    console = Console(stderr=True)
    order = Order(
        candidate=(options.candidate, folder_of(candidate)),
        baseline=(options.baseline, baseline),
        policy=policy,
        floor=floor,
        released_with=None if baseline is None else gated_contexts(options.baseline),
        seed=options.seed if options.seed is not None else secrets.randbelow(SEEDS),
        dtype=getattr(torch, options.dtype) if options.dtype else None,
        trusted=options.trust_task,
        uses=(lambda digest: 0) if registry is None else registry.uses_of,
        gated=(lambda digest: ()) if known is None else known.gates_of,
        tell=lambda line: console.print(printable(line), style="dim", markup=False, highlight=False, soft_wrap=True),
    )
    return run_gate(order)


def _registry_of(name: str) -> ModelRegistry | None:
    """Return the registry that a candidate or a baseline is a version of; None for a bundle."""
    from fastslow.registry.registry import ModelRegistry

    folder, at, _ = name.rpartition("@")
    return ModelRegistry.open(folder) if at and not Path(name).is_dir() else None


def _show(options: argparse.Namespace, verdict: Verdict) -> None:
    """Write the files that were asked for, and print the table unless JSON goes to standard output."""
    from fastslow.files.jsonl import dumps

    made: dict[str, Any] = {"json": lambda: dumps(verdict.to_json(), indent=2)}
    for name in ("junit", "html"):
        if getattr(options, name):
            made[name] = _maker(name, verdict)
    for name, make in made.items():
        target = getattr(options, name)
        if target and target != "-":
            write(Path(target), make())
    if options.json == "-":
        sys.stdout.write(made["json"]().decode())
        return
    from fastslow.gate.terminal import show

    show(verdict, Console())


def _maker(name: str, verdict: Verdict) -> Any:
    from fastslow.gate import junit, page

    return {"junit": lambda: junit.xml(verdict), "html": lambda: page.html(verdict)}[name]


def _options(argv: Sequence[str]) -> argparse.Namespace:
    """Return the flags. Raises BadInput before anything is loaded."""
    parser = Parser(
        prog="fastslow gate",
        description="Does a candidate keep what the baseline can, and gain what is asked? Both answer the same "
        "questions, until every check of the policy is decided. Exit code 0: pass; 1: fail or undecided; 2: invalid.",
    )
    parser.add_argument("candidate", nargs="?", help="a run directory, a bundle folder, or REGISTRY@VERSION")
    parser.add_argument(
        "--baseline", default="", help="what it is compared with: the same, REGISTRY@champion, or 'base': the "
        "weights that the candidate was trained from, under its seed context",
    )  # fmt: skip
    parser.add_argument("--policy", required=True, metavar="FILE.yaml", help="what is asked of the candidate")
    parser.add_argument("--plan", action="store_true", help="only say how many questions the policy needs")
    parser.add_argument("--json", metavar="FILE", help="write the verdict as JSON ('-': standard output)")
    parser.add_argument("--junit", metavar="FILE", help="write it as JUnit XML, one test case a check")
    parser.add_argument("--html", metavar="FILE", help="write it as a page, with the lost questions side by side")
    parser.add_argument("--seed", type=_seed, help="draw the questions of an earlier verdict again (default: fresh)")
    parser.add_argument("--dtype", choices=["float32", "bfloat16", "float16"], help="default: the candidate's")
    parser.add_argument("--trust_task", action="store_true", help="run the scorer or task code that a bundle names")
    options = parser.parse_args(list(argv))
    if not options.plan and not (options.candidate and options.baseline):
        raise BadInput("name a candidate, and what it is compared with: fastslow gate RUN --baseline OTHER.")
    for name in FORMS:
        target = getattr(options, name)
        if target == "" or (target == "-" and name != "json"):
            raise BadInput(f"--{name} needs the name of a file.")
    targets = _targets(options)
    for target in targets:
        check_target(target)
        others = {one.resolve() for one in (Path(options.policy), *targets) if one is not target}
        if target.resolve() in others and (target.is_file() or not target.exists()):
            raise BadInput(f"'{target}' would be written over: give every output a file of its own.")
    return options


def _targets(options: argparse.Namespace) -> list[Path]:
    """Return the files that a verdict is to be written to."""
    return [Path(target) for target in (getattr(options, name) for name in FORMS) if target and target != "-"]


def _seed(text: str) -> int:
    return between(text, f"a whole number from 0 to {SEEDS - 1}", lambda value: 0 <= value < SEEDS, int)
