"""Parse a YAML recipe and flags into a FastSlowConfig, by TRL's parser, with our readings and one-line errors."""

from __future__ import annotations

import argparse
import difflib
import os
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NoReturn

from trl import TrlParser

from fastslow.config.groups import GROUPS
from fastslow.config.reading import read_value
from fastslow.config.recipe import read_recipe
from fastslow.config.settings import FastSlowConfig
from fastslow.core.errors import BadInput
from fastslow.core.settings import hints_of, kinds_of, specs_of

_DATACLASSES: Any = [FastSlowConfig]  # a list of classes; transformers' annotation asks for one class type

EXPERIMENT = "compare"
"""Section of a recipe for `fastslow compare` and the other experiments; a single run ignores the section."""

INSTEAD = {"task": ("tasks", "stage_steps", "stream", "labels"), "tasks": ("task",)}
"""Flag -> what it takes the place of in a recipe: one task for several, with the settings of several, or the other way
round."""

ENVIRONMENT = "env"
"""Section of a recipe with environment variables."""


SHORT = {"--from": "--from_bundle"}
"""Flags that have a short form: `from` cannot be the name of a setting in Python."""


class _Parser(TrlParser):
    """transformers' parser, which reads every flag as the type of its setting says (`reading`)."""

    def __init__(self, hints: Mapping[str, Any]):
        super().__init__(_DATACLASSES, prog="fastslow train", add_help=False, allow_abbrev=False)
        self._one_or_several = []
        for action in self._actions:
            if action.dest in hints and action.nargs in (None, "?") and action.choices is None:
                action.type = partial(_of_flag, hint=hints[action.dest])
                if list in kinds_of(hints[action.dest]):  # transformers goes by the first kind: a single text
                    action.nargs = "+"
                    self._one_or_several.append(action.dest)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse flags; of a setting that is one text or several, a single one is that text."""
        parsed, rest = super().parse_known_args(args, namespace)
        for name in self._one_or_several:
            value = getattr(parsed, name)
            if isinstance(value, list) and len(value) == 1 and value is not self.get_default(name):
                setattr(parsed, name, value[0])
        return parsed, rest

    def error(self, message: str) -> NoReturn:
        raise BadInput(message)


def _in_full(argument: str) -> str:
    flag, sign, value = argument.partition("=")
    return SHORT.get(flag, flag) + sign + value


def parse_config(argv: Sequence[str]) -> FastSlowConfig:
    """Parse `--config recipe.yaml --flag value ...` into settings. Flags win over the recipe.

    Raises BadInput for a missing or malformed recipe, for a key that is not a setting, with the nearest one, and for
    a value that its setting cannot be.
    """
    hints = hints_of(FastSlowConfig)
    parser = _Parser(hints)
    known = {action.dest for action in parser._actions}
    path, flags = _without_recipe([_in_full(argument) for argument in argv])
    for argument in flags:
        flag = argument[2:].partition("=")[0].replace("-", "_")
        if argument.startswith("--") and flag not in known:
            raise BadInput(f"unknown flag '--{flag}'.{_suggest(flag, known, '--')}")
    if path is not None:
        parser.set_defaults_with_config(**_without_replaced(_settings_of(path, known, hints), flags))
    try:
        # Without its file of arguments: transformers would read flags from a file beside the command.
        config, rest = parser.parse_args_into_dataclasses(
            flags, return_remaining_strings=True, look_for_args_file=False
        )
    except (ValueError, TypeError) as error:
        raise BadInput(str(error).splitlines()[0]) from error
    if rest:
        raise BadInput(f"'{rest[0]}' belongs to no flag; a setting is given as --SETTING VALUE.")
    return config


def _of_flag(text: str, hint: Any) -> Any:
    try:
        return read_value(text, hint)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _suggest(name: str, known: set[str], dashes: str = "") -> str:
    close = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.5)
    return f" Did you mean '{dashes}{close[0]}'?" if close else " 'fastslow train --help-all' lists every setting."


def _without_recipe(argv: Sequence[str]) -> tuple[str | None, list[str]]:
    """Return the recipe's path, if one is given, and the other arguments."""
    paths, flags, rest = [], [], iter(argv)
    for argument in rest:
        if argument.partition("=")[0] != "--config":
            flags.append(argument)
            continue
        path = argument.partition("=")[2] if "=" in argument else next(rest, "")
        if not path or path.startswith("--"):
            raise BadInput("--config needs a file: --config recipes/quickstart.yaml.")
        paths.append(path)
    if len(paths) > 1:
        raise BadInput(f"--config is given twice ('{paths[0]}', '{paths[1]}'); a run has one recipe.")
    return next(iter(paths), None), flags


def _settings_of(path: str, known: set[str], hints: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a recipe, and set its environment variables."""
    recipe, settings = read_recipe(path), {}
    for name, value in recipe.items():
        if name in (ENVIRONMENT, EXPERIMENT):
            continue
        if name not in known:
            raise BadInput(f"recipe '{path}': unknown setting '{name}'.{_suggest(name, known)}")
        try:
            settings[name] = read_value(value, hints[name])
        except ValueError as error:
            raise BadInput(f"recipe '{path}': {name} {error}.") from None
    variables = recipe.get(ENVIRONMENT) or {}
    if not isinstance(variables, dict) or not all(isinstance(value, str) for value in variables.values()):
        raise BadInput(f"recipe '{path}': '{ENVIRONMENT}' must hold 'VARIABLE: value' lines.")
    try:
        os.environ.update({name: str(value) for name, value in variables.items()})
    except ValueError as error:  # a name or value that no process can have
        raise BadInput(f"recipe '{path}': '{ENVIRONMENT}' holds what no environment can: {error}.") from None
    return settings


def _without_replaced(settings: dict[str, Any], flags: Sequence[str]) -> dict[str, Any]:
    """Return a recipe's settings without those in whose place a flag stands."""
    given = {flag[2:].partition("=")[0].replace("-", "_") for flag in flags if flag.startswith("--")}
    gone = {name for flag, others in INSTEAD.items() if flag in given and settings.get(others[0]) for name in others}
    return {name: value for name, value in settings.items() if name not in gone}


def train_help(everything: bool) -> str:
    """Return help on our settings with their defaults, group by group; on request, also on all of TRL's and
    transformers'."""
    if everything:
        parser = TrlParser(_DATACLASSES, prog="fastslow train", formatter_class=argparse.HelpFormatter)
        return parser.format_help()
    lines = ["usage: fastslow train [--config RECIPE.yaml] [--SETTING VALUE ...]"]
    often = []
    for group in GROUPS:
        specs = specs_of(group)
        lines += ["", f"{group.title}:", ""]
        lines += [line for name, spec in specs.items() if not spec.inherited for line in _help_of(name)]
        often += [line for name, spec in specs.items() if spec.inherited for line in _help_of(name)]
    lines += ["", "Of TRL's and transformers' settings, those you will want first:", "", *often]
    lines += ["", "Every setting of TRL's GRPOConfig works as well: fastslow train --help-all lists them."]
    return "\n".join(lines)


def _help_of(name: str) -> list[str]:
    """Return the lines of the short help on one setting."""
    field = FastSlowConfig.__dataclass_fields__[name]
    default = field.default if field.default != "" else repr("")
    return [f"  --{name} (default: {default})", f"      {field.metadata['help']}"]
