"""Write the reference pages that the code knows best: `reference.py FOLDER` makes cli.md and settings.md for the site.

The commands are read from their argument parsers, the settings from the fields of the configuration, so that neither
page can say anything else than the code.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, NoReturn
from unittest.mock import patch

from fastslow.cli.flags import Parser
from fastslow.cli.main import COMMANDS
from fastslow.config.groups import GROUPS
from fastslow.config.settings import FastSlowConfig
from fastslow.core.settings import specs_of

WIDTH = 78  # columns of the usage lines


class Captured(Exception):
    """Raised with the parser of a command, before anything is parsed."""

    def __init__(self, parser: argparse.ArgumentParser):
        super().__init__()
        self.parser = parser


def commands() -> str:
    """Return the page of the command line: one section for each command and subcommand."""
    parts = [
        "# Command line",
        "Made from the argument parsers when this site is built. [Commands](../commands.md) shows them at work, with "
        "the exit codes.",
    ]
    for name, what in COMMANDS.items():
        parts.append(f"## fastslow {name}")
        parts.append(f"{what[0].upper()}{what[1:]}.")
        if name == "train":
            parts.append("Every [setting](settings.md) is a flag: `fastslow train --config recipe.yaml --seed 1`.")
            continue
        for parser in _with_subcommands(parser_of(name)):
            if parser.prog != f"fastslow {name}":
                parts.append(f"### {parser.prog}")
            parts.append(f"```text\n{_usage(parser)}\n```")
            parts += _options(parser)
    return "\n\n".join(parts) + "\n"


def settings() -> str:
    """Return the page of the settings: one table for each group."""
    known = {field.name: field for field in fields(FastSlowConfig)}
    parts = [
        "# Settings",
        "Made from the fields of `fastslow.FastSlowConfig` when this site is built. A key of a recipe, a flag of "
        "`fastslow train` and a keyword in Python have the same name. [Configuration](../configuration.md) says which "
        "to turn first. Settings of TRL's `GRPOConfig` that are not here work as well: `fastslow train --help-all`.",
    ]
    for group in GROUPS:
        parts.append(f"## {group.title}")
        rows = ["| setting | default | what it does |", "|---|---|---|"]
        for name in specs_of(group):
            rows.append(f"| `{name}` | {_default(known[name].default)} | {_cell(known[name].metadata['help'])} |")
        parts.append("\n".join(rows))
    return "\n\n".join(parts) + "\n"


def parser_of(command: str) -> argparse.ArgumentParser:
    """Return the parser that a command makes for itself."""

    def capture(parser: argparse.ArgumentParser, *_: Any, **__: Any) -> NoReturn:
        raise Captured(parser)

    module = importlib.import_module(f"fastslow.cli.{command.replace('-', '_')}")
    with patch.object(Parser, "parse_known_args", capture):
        try:
            module.run([])
        except Captured as captured:
            return captured.parser
    raise SystemExit(f"fastslow {command} parses its arguments without a Parser")


def _with_subcommands(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child in action.choices.values():
                yield from _with_subcommands(child)


def _usage(parser: argparse.ArgumentParser) -> str:
    formatter = argparse.HelpFormatter(parser.prog, width=WIDTH)
    formatter.add_usage(parser.usage, parser._actions, parser._mutually_exclusive_groups)
    return formatter.format_help().strip()


def _options(parser: argparse.ArgumentParser) -> list[str]:
    formatter = argparse.HelpFormatter(parser.prog)
    rows = []
    for action in parser._actions:
        if isinstance(action, argparse._HelpAction) or action.help == argparse.SUPPRESS:
            continue
        if isinstance(action, argparse._SubParsersAction):
            rows += [(f"`{choice.dest}`", choice.help or "") for choice in action._choices_actions]
            continue
        takes = "" if action.nargs == 0 else f" {formatter._format_args(action, action.dest.upper())}"
        name = " ".join((action.option_strings[-1] if action.option_strings else "", takes)).strip()
        rows.append((f"`{' '.join(name.split())}`", formatter._expand_help(action) if action.help else ""))
    if not rows:
        return []
    table = ["| argument | what it does |", "|---|---|", *(f"| {name} | {_cell(text)} |" for name, text in rows)]
    return ["\n".join(table)]


def _default(value: Any) -> str:
    return "none" if value is None else "empty" if value == "" else f"`{value}`"


def _cell(text: str) -> str:
    """Return a text that Markdown shows as it is within one cell of a table."""
    for sign in ("\\", "|", "<", ">", "*", "_", "["):
        text = text.replace(sign, f"\\{sign}" if sign not in "<>" else {"<": "&lt;", ">": "&gt;"}[sign])
    return " ".join(text.split())


def main(folder: str) -> None:
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    (target / "cli.md").write_text(commands(), encoding="utf-8")
    (target / "settings.md").write_text(settings(), encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
