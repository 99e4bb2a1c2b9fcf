"""Declare a setting where it takes effect: default, help, unit, bounds and choices in one dataclass field.

Each package has a plain dataclass of its settings, a subclass of `SettingsGroup`; `config` joins them into one flat
class. `setting` writes a field, `specs_of` reads it back, and `check_settings` refuses what a field does not allow.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from functools import cache
from types import MappingProxyType, NoneType, UnionType
from typing import Any, ClassVar, Literal, Union, get_args, get_origin, get_type_hints

from fastslow.core.errors import BadInput
from fastslow.core.registry import did_you_mean, nearest

FEW = 3
"""Up to this many choices are all listed where a value is refused; of more, the nearest is named."""

WORDS = {
    str: "text", int: "a whole number", float: "a number", bool: "true or false", list: "a list", dict: "a mapping",
    NoneType: "none",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Spec:
    """What a field says of its setting besides type, default and help.

    Args:
        unit: of a number. 'share' and 'probability' are named so where a value is refused.
        at_least, above, at_most: bounds of a number; None is within them where the type allows None.
        whole: whether a number with a fraction is refused, where TRL's type is float: transformers takes steps below 1
            for a share of the run.
        choices: the texts allowed, beside None where the type allows None; None allows any.
        channel: the channel without which the setting has no effect, so that a mode without the channel has no need
            of it in a sweep.
        in_bundle: whether a bundle keeps the setting for evaluations of the bundle and runs that begin from it.
        incidental: whether the setting says where and how a run is made, not what: its place, what the machine decided,
            how often it is saved. Experiments treat runs that differ in such settings as the same.
        inherited: whether type and default are TRL's. Such a setting is declared to be checked and explained like the
            others, and config.yaml shows the setting only where its value differs from the default.
    """

    unit: str | None = None
    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    whole: bool = False
    choices: tuple[str, ...] | None = None
    channel: Literal["fast", "slow"] | None = None
    in_bundle: bool = False
    incidental: bool = False
    inherited: bool = False

    def bounds(self) -> str:
        """Return the bounds in words: '>= 1', '0 to 0.9', 'above 0, at most 1', 'whole'; '' without any."""
        whole = "whole" if self.whole else ""
        if self.at_least is not None and self.at_most is not None:
            return ", ".join(filter(None, (f"{self.at_least:,} to {self.at_most:,}", whole)))
        lower = f">= {self.at_least:,}" if self.at_least is not None else ""
        upper = f"at most {self.at_most:,}" if self.at_most is not None else ""
        if self.above is not None:
            lower = f"above {self.above:,}" if upper else f"> {self.above:,}"
        return ", ".join(filter(None, (lower, upper, whole)))


class HelpText(str):
    """A setting's help, which carries the setting's `Spec`.

    transformers' HfArgumentParser hands every entry of a field's metadata to argparse, which knows `help` only: an
    entry of its own for the Spec would break every parser made from the dataclass.
    """

    spec: Spec

    def __new__(cls, text: str, spec: Spec) -> HelpText:
        notes = ", ".join(filter(None, (spec.unit, spec.bounds())))
        made = super().__new__(cls, f"{text} [{notes}]" if notes else text)
        made.spec = spec
        return made


class SettingsGroup:
    """The settings of one package: subclasses are plain dataclasses, whose fields `setting` makes."""

    title: ClassVar[str]
    """Heading of the group in the help."""

    def check(self) -> None:
        """Refuse combinations of this group's settings that contradict each other. Raises BadInput."""


def setting(default: Any, text: str, **rules: Any) -> Any:
    """Make the field of a setting: its default, a line of help, and the entries of its `Spec` as keywords.

    Unit and bounds are appended to the help, so that they are written once.
    """
    return field(default=default, metadata={"help": HelpText(text, Spec(**rules))})


def inherited(default: Any, text: str, **rules: Any) -> Any:
    """Make the field of a setting that TRL has with this very type and default, for its bounds and help."""
    return setting(default, text, inherited=True, **rules)


def specs_of(group: type[SettingsGroup]) -> dict[str, Spec]:
    """Return name -> Spec of the settings that `group` declares, in reading order."""
    known: tuple[Field[Any], ...] = fields(group)  # pyrefly: ignore[bad-argument-type] - subclasses are dataclasses
    return {f.name: f.metadata["help"].spec for f in known}


@cache
def hints_of(kind: type) -> Mapping[str, Any]:
    """Return the annotations of a class, evaluated: once, as a class of settings has hundreds and is made often."""
    return MappingProxyType(get_type_hints(kind))


def check_settings(values: Any, specs: Mapping[str, Spec]) -> None:
    """Refuse values of a wrong type, out of bounds, or not among the choices.

    Args:
        values: an instance of a dataclass with these settings among its fields.
        specs: name -> Spec of the settings to check.

    Raises:
        BadInput: naming the setting, what it may be, and what it is.
    """
    hints = hints_of(type(values))
    for name in specs:  # types first: whatever compares values later may rely on them
        check_type(name, getattr(values, name), hints[name])
    for name, spec in specs.items():
        check_value(name, getattr(values, name), spec)


def check_type(name: str, value: Any, hint: Any) -> None:
    """Refuse a value that is not of the annotated type, as a caller may give anything. Raises BadInput."""
    types = kinds_of(hint)
    as_float = type(value) is int and float in types
    if not as_float and (not isinstance(value, types) or (type(value) is bool and bool not in types)):
        raise BadInput(f"{name} must be {' or '.join(WORDS[t] for t in types)}, got {value!r}.")
    numbers = items_of(hint) is float
    if isinstance(value, list) and not all(type(v) in (int, float) if numbers else isinstance(v, str) for v in value):
        raise BadInput(f"{name} must be a list of {'numbers' if numbers else 'texts'}, got {value!r}.")


@cache
def kinds_of(hint: Any) -> tuple[type, ...]:
    """Return the types that an annotation allows, without their parameters; those of a Literal are its values'."""
    if get_origin(hint) in (Union, UnionType):
        return tuple(kind for part in get_args(hint) for kind in kinds_of(part))
    if get_origin(hint) is Literal:
        return tuple(type(value) for value in get_args(hint))
    return (get_origin(hint) or hint,)


def items_of(hint: Any) -> type:
    """Return the type of the items of the list that an annotation allows: numbers or, if nothing is said, texts."""
    parts = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    items = next((get_args(part) for part in parts if get_origin(part) is list), ())
    return items[0] if items and items[0] in WORDS else str


def check_text(name: str, value: Any) -> None:
    """Refuse characters that no file, path or tokenizer takes: NUL, and halves of surrogate pairs. Raises BadInput."""
    texts = value if isinstance(value, list) else [*value, *value.values()] if isinstance(value, dict) else [value]
    for text in texts:
        if isinstance(text, str) and any(c == "\0" or "\ud800" <= c <= "\udfff" for c in text):
            raise BadInput(f"{name} holds characters that are not text (NUL, or bytes that are not UTF-8): {text!r}.")


def check_value(name: str, value: Any, spec: Spec) -> None:
    """Refuse a value of the right type that is out of bounds or not among the choices. Raises BadInput."""
    if spec.choices is not None and value is not None:
        _check_choice(name, getattr(value, "value", value), spec.choices)  # transformers makes enums of some texts
    if isinstance(value, (int, float)):
        check_finite(name, value)
        _check_bounds(name, value, spec)
        if spec.whole and value != int(value):
            raise BadInput(f"{name} must be a whole number, got {value}.")


def check_finite(name: str, value: float) -> None:
    """Refuse infinities and NaN. Raises BadInput."""
    if isinstance(value, float) and not math.isfinite(value):
        raise BadInput(f"{name} must be a finite number, got {value}.")


def _check_choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    if value in choices:
        return
    if len(choices) > FEW:
        raise BadInput(f"unknown {name} '{value}'.{nearest(value, choices)}")
    *others, last = (f"'{choice}'" for choice in choices)
    raise BadInput(f"{name} is {', '.join(others)} or {last}, got '{value}'.{did_you_mean(value, choices)}")


def _check_bounds(name: str, value: float, spec: Spec) -> None:
    too_small = spec.at_least is not None and value < spec.at_least
    not_above = spec.above is not None and value <= spec.above
    too_large = spec.at_most is not None and value > spec.at_most
    if not (too_small or not_above or too_large):
        return
    if spec.unit == "share":
        lowest = f"above {spec.above} and at most" if spec.above is not None else f"from {spec.at_least} to"
        raise BadInput(f"{name} is a share {lowest} {spec.at_most}, got {value}.")
    if not_above:
        raise BadInput(f"{name} must be above {spec.above}, got {value}.")
    if too_small and spec.at_least:
        raise BadInput(f"{name} must be at least {spec.at_least}, got {value}.")
    if too_small:
        raise BadInput(f"{name} must not be negative, got {value}.")
    if spec.unit == "probability":
        raise BadInput(f"{name} is a probability, got {value}.")
    raise BadInput(f"{name} must be at most {spec.at_most:,}, got {value:,}.")
