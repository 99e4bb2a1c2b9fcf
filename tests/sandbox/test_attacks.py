"""Every attack fails, as root and as an ordinary user, and does no harm; and those that can, succeed outside."""

from __future__ import annotations

import platform
import re

import pytest

from .attacks import TABLE, Attack
from .conftest import Ask

pytestmark = pytest.mark.processes

# Numbers of system calls are x86_64's in the attacks.
ATTACKS = [one for one in TABLE.values() if platform.machine() == "x86_64" or "syscall(" not in one.source]


def named(attacks: list[Attack]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("attack", attacks, ids=[one.name for one in attacks])


@named(ATTACKS)
def test_the_attack_is_contained(attack: Attack, ask: Ask):
    answer = ask(attack.source, limits=attack.limits)
    assert answer["kind"] in attack.kinds, f"{attack.name} ended as {answer}"
    assert re.search(attack.says, answer["message"]), f"{attack.name} failed for another reason: {answer['message']}"
    assert not answer["harm"], f"{attack.name} did harm: {answer['harm']}"


@named([one for one in ATTACKS if one.real])
@pytest.mark.parametrize("ask", ["ordinary user"], indirect=True)
def test_the_attack_succeeds_outside(attack: Attack, ask: Ask):
    # Otherwise its failure inside would prove nothing.
    answer = ask(attack.source, unprotected=True)
    assert answer["got"], f"{attack.name} fails without a sandbox too: {answer['said']}"


def test_there_are_at_least_forty_attacks():
    assert len(TABLE) >= 40
