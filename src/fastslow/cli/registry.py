"""`fastslow registry init|add|list|show|promote|rollback|verify|mirror DIR`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fastslow.bundles.digest import unfinished
from fastslow.cli.flags import Parser
from fastslow.core.errors import BadInput, printable, quoted
from fastslow.record.tables import print_table
from fastslow.registry.log import Entry
from fastslow.registry.registry import CANDIDATE, ModelRegistry, resolve

LONGEST = 1000
"""Most characters of a path or a reason that are shown; `--json` has all of it."""


def run(argv: Sequence[str]) -> int:
    """Do one thing with a registry; returns 1 where `verify` finds damage."""
    options = _parser().parse_args(list(argv))
    if options.command is None:
        raise BadInput(
            "say what to do: init, add, list, show, promote, rollback, verify or mirror, then the registry's folder."
        )
    return COMMANDS[options.command](options)


def _init(options: argparse.Namespace) -> int:
    about = {}
    if options.policy:
        from fastslow.gate.floor import floor_of
        from fastslow.gate.policy import read_policy

        policy = read_policy(options.policy)
        about = {"policy": policy.digest, "floor": asdict(floor_of(policy))}
    ModelRegistry.create(options.registry, about)
    print(f"made the registry {options.registry}")
    return 0


def _add(options: argparse.Namespace) -> int:
    registry, bundle = ModelRegistry.open(options.registry), resolve(options.bundle)
    version, problem = registry.add(bundle, note=options.note), unfinished(bundle)
    if problem is not None:
        print(f"note: the run of {version} ended early: {printable(problem)}", file=sys.stderr)
    if options.json:
        about = {"version": version, "digest": registry.digest(version), "alias": CANDIDATE, "ended_early": problem}
        print(json.dumps(about, indent=2))
    else:
        print(f"{version} is the candidate")
    return 0


def _list(options: argparse.Namespace) -> int:
    registry = ModelRegistry.open(options.registry)
    aliases = registry.aliases()
    added = {entry.about["version"]: entry for entry in registry.entries() if entry.event == "add"}
    rows = [
        (version, ", ".join(a for a, of in aliases.items() if of == version), entry.time, str(entry.about["from"]))
        for version, entry in added.items()
    ]
    if options.json:
        names = ("version", "aliases", "added", "from")
        print(json.dumps([dict(zip(names, row, strict=True)) for row in rows], indent=2))
        return 0
    table = Table("version", "aliases", "added", "from")
    for row in rows:
        table.add_row(*(escape(quoted(word, LONGEST)) for word in row))
    print_table(Console(), table)
    return 0


def _show(options: argparse.Namespace) -> int:
    """Show the whole log, or what concerns one version."""
    registry = ModelRegistry.open(options.registry)
    entries = registry.entries()
    if options.version:
        version = registry.named(options.version)
        digest = registry.digest(version)
        entries = [e for e in entries if version == e.about.get("version") or digest == e.about.get("candidate")]
    if options.json:
        print(json.dumps([vars(entry) for entry in entries], indent=2))
        return 0
    for entry in entries:
        Console().print(_line(entry), markup=False, highlight=False, soft_wrap=True)
    return 0


def _line(entry: Entry) -> str:
    """Return a line of the log for people: whatever its words are, they stay in it and the terminal does not obey."""
    about = entry.about
    what = about.get("version") or about.get("asked") or about.get("candidate", "")[:12]
    why = about.get("reason") or about.get("state") or about.get("note") or ""
    said = quoted(f"{entry.event} {what}{f': {why}' if why else ''}", LONGEST)
    return f"{entry.number:>4}  {quoted(entry.time, 40)}  {quoted(entry.by, 40)}  {said}"


def _promote(options: argparse.Namespace) -> int:
    from fastslow.config.recipe import read_bytes
    from fastslow.gate.verdict import read_verdict

    registry = ModelRegistry.open(options.registry)
    if options.force:
        version = registry.force(options.version, options.reason)
        print(f"{version} is the champion, by force")
        return 0
    try:
        if not options.verdict:
            raise BadInput("a promotion needs the verdict of a gate: --verdict v.json (or --force --reason 'why').")
        verdict = read_verdict(options.verdict)
        policy = read_bytes(options.policy, "policy") if options.policy else None
    except BadInput as error:
        registry.refuse(options.version, error)
    version = registry.promote(options.version, verdict, policy=policy)
    print(f"{version} is the champion")
    for note in (*_refusals_of(registry, version), *verdict.notes):
        print(f"note: {printable(note)}", file=sys.stderr)
    return 0


def _refusals_of(registry: ModelRegistry, version: str) -> list[str]:
    """Return a note on the promotions of this version that were refused, which a later verdict does not take back."""
    refused = [e for e in registry.entries() if e.event == "refuse" and e.about.get("version") == version]
    if not refused:
        return []
    last = refused[-1]
    return [
        f"promotions of {version} were refused {len(refused)} {'time' if len(refused) == 1 else 'times'} before, last "
        f"in line {last.number} of the log: {last.about['reason']}"
    ]


def _rollback(options: argparse.Namespace) -> int:
    version = ModelRegistry.open(options.registry).rollback(options.to, reason=options.reason)
    print(f"{version} is the champion again")
    return 0


def _mirror(options: argparse.Namespace) -> int:
    from fastslow.registry.mlflow import mirror

    mirror(ModelRegistry.open(options.registry), options.mlflow, options.name, print)
    return 0


def _verify(options: argparse.Namespace) -> int:
    registry = ModelRegistry.open(options.registry)
    problems, lag = registry.verify(), registry.lag()
    for problem in problems:
        print(quoted(problem, LONGEST), file=sys.stderr)
    if lag:
        lines = "line" if lag == 1 else "lines"
        print(
            f"note: aliases.json is {lag} {lines} behind the log; the next command that writes renews it",
            file=sys.stderr,
        )
    if not problems:
        print(f"{len(registry.versions())} versions and {len(registry.entries())} lines of the log are as written")
    return 1 if problems else 0


COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "init": _init,
    "add": _add,
    "list": _list,
    "show": _show,
    "promote": _promote,
    "rollback": _rollback,
    "verify": _verify,
    "mirror": _mirror,
}


def _parser() -> Parser:
    parser = Parser(prog="fastslow registry", description="Keep released models in a folder of immutable versions.")
    commands = parser.add_subparsers(
        metavar="init | add | list | show | promote | rollback | verify | mirror", dest="command"
    )

    def command(name: str, text: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=text)
        made.add_argument("registry", metavar="DIR", help="the registry's folder")
        return made

    init = command("init", "make an empty registry")
    init.add_argument("--policy", metavar="FILE.yaml", help="what every policy has to ask for at least")
    add = command("add", "copy a bundle in as the candidate")
    add.add_argument("bundle", help="a run directory, a bundle folder, or OTHER@VERSION")
    add.add_argument("--note", default="", help="what the log says about it")
    add.add_argument("--json", action="store_true", help="as JSON")
    for name, text in (("list", "every version, and what it is"), ("show", "the log, or what concerns one version")):
        shown = command(name, text)
        shown.add_argument("--json", action="store_true", help="as JSON")
        if name == "show":
            shown.add_argument("version", nargs="?", help="a version, its number, or an alias")
    promote = command("promote", "make a version the champion, as a verdict allows")
    promote.add_argument("version", help="a version, its number, or an alias such as candidate")
    promote.add_argument("--verdict", metavar="FILE.json", help="the verdict of fastslow gate --json")
    promote.add_argument("--policy", metavar="FILE.yaml", help="the policy that the verdict has to have gone by")
    promote.add_argument("--force", action="store_true", help="without a verdict; it is logged")
    promote.add_argument("--reason", default="", help="why it is forced")
    rollback = command("rollback", "make the champion before the champion again")
    rollback.add_argument("--to", metavar="VERSION", help="an earlier champion than the one before")
    rollback.add_argument("--reason", default="", help="what the log says about it")
    command("verify", "check every byte of every version and verdict, the log, and that nothing else is there")
    mirrored = command("mirror", "bring MLflow's model registry to the same state")
    mirrored.add_argument("--mlflow", metavar="URI", required=True, help="of the MLflow server")
    mirrored.add_argument("--name", required=True, help="of the registered model there")
    return parser
