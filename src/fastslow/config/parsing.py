"""Parse a YAML recipe and flags into a FastSlowConfig, through TRL's parser, with our one-line errors."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import yaml
from trl import TrlParser

from fastslow.config.groups import GROUPS
from fastslow.config.settings import FastSlowConfig
from fastslow.core.errors import BadInput
from fastslow.core.settings import specs_of

_DATACLASSES: Any = [FastSlowConfig]  # a list of classes; transformers' annotation asks for one class type

EXPERIMENT = "compare"
"""Section of a recipe for `fastslow compare` and the other experiments; a single run ignores the section."""


class _Parser(TrlParser):
    def error(self, message: str) -> NoReturn:
        raise BadInput(message)

    def set_defaults_with_config(self, **kwargs: Any) -> list[str]:
        kwargs.pop(EXPERIMENT, None)
        return super().set_defaults_with_config(**kwargs)


def parse_config(argv: Sequence[str]) -> FastSlowConfig:
    """Parse `--config recipe.yaml --flag value ...` into settings. Flags win over the recipe.

    Raises BadInput for a missing or malformed recipe, and for a key that is not a setting, with the nearest one.
    """
    argv = list(argv)
    parser = _Parser(_DATACLASSES, prog="fastslow train", add_help=False, allow_abbrev=False)
    known = {action.dest for action in parser._actions}
    _check_recipe(argv, known)
    for argument in argv:
        flag = argument[2:].partition("=")[0].replace("-", "_")
        if argument.startswith("--") and flag not in known | {"config"}:
            raise BadInput(f"unknown flag '--{flag}'.{_suggest(flag, known, '--')}")
    try:
        (config,) = parser.parse_args_and_config(argv)
    except (ValueError, TypeError) as error:
        raise BadInput(str(error).splitlines()[0]) from error
    return config


def _suggest(name: str, known: set[str], dashes: str = "") -> str:
    close = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.5)
    return f" Did you mean '{dashes}{close[0]}'?" if close else " 'fastslow train --help-all' lists every setting."


def _check_recipe(argv: list[str], known: set[str]) -> None:
    joined = [a for a in argv if a.startswith("--config=")]
    for argument in joined:  # TRL reads '--config FILE' only
        index = argv.index(argument)
        argv[index : index + 1] = ["--config", argument.partition("=")[2]]
    if "--config" not in argv:
        return
    position = argv.index("--config") + 1
    if position >= len(argv):
        raise BadInput("--config needs a file: --config recipes/quickstart.yaml.")
    path = Path(argv[position])
    try:
        recipe = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(f"recipe '{path}' cannot be read: {error.strerror}.") from error
    except (yaml.YAMLError, ValueError) as error:  # not UTF-8, or a number of thousands of digits
        where = getattr(error, "problem_mark", None)
        line = f" line {where.line + 1}" if where else ""
        raise BadInput(f"recipe '{path}'{line} is not YAML: {getattr(error, 'problem', None) or error}.") from error
    if not isinstance(recipe, dict):
        raise BadInput(f"recipe '{path}' must hold 'setting: value' lines.")
    for key in recipe:
        if key not in known | {"env", EXPERIMENT}:
            raise BadInput(f"recipe '{path}': unknown setting '{key}'.{_suggest(str(key), known)}")


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
