"""What a removed guard is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutation:
    """`old` becomes `new` in `file`; one of `tests` has to fail then. `proves` is a promise or a row of the table."""

    proves: str
    guard: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
