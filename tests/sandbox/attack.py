"""What an attack is, and the table of all of them.

An attack is a function `attack(host)` in Python source. It returns evidence if it got through, and raises if it did
not: `says` is what the failure must look like, so that an attack that fails by a slip of its own is noticed. `host`
names the bait that `runner.py` lays out. Attacks are bounded: one that gets through does the machine no lasting harm.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Attack:
    name: str
    source: str
    says: str
    kinds: tuple[str, ...] = ("error",)
    # Works on an unprotected interpreter, and the tests show that it does.
    real: bool = False
    limits: dict[str, Any] = field(default_factory=dict)


TABLE: dict[str, Attack] = {}


def attack(
    name: str, source: str, says: str, kinds: tuple[str, ...] = ("error",), real: bool = False, **limits
) -> None:
    assert name not in TABLE, f"two attacks are called {name}"
    body = textwrap.indent(textwrap.dedent(source).strip(), "    ")
    TABLE[name] = Attack(name, f"def attack(host):\n{body}\n", says, kinds, real, limits)
