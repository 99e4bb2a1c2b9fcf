"""The walls stand alone too: without seccomp, or without Landlock, the others contain what would reach the machine."""

from __future__ import annotations

import pytest

from fastslow.sandbox import run

from .attacks import TABLE, Attack
from .conftest import Ask

pytestmark = pytest.mark.processes

MAIN = "from inside.supervisor import main; main()"
# What would be seen on the machine, if it got through. Attacks that only waste the sandbox's own share are not here.
REACHING = [
    one
    for name, one in TABLE.items()
    if name.startswith(
        ("read ", "write ", "talk ", "send from", "leave a", "kill ", "change ", "add ", "fork bomb", "mount")
    )
    or name in ("run a shell command", "see other processes", "reach the parent by a signal", "thread bomb")
]
# These get somewhere when seccomp is gone. Keyrings and sockets to a hypervisor belong to no namespace, which is why
# the sandbox refuses to run without seccomp; children end with their namespace.
SECCOMP_ALONE = {
    "read the session's keyring",
    "talk to the hypervisor",
    "leave a child behind",
    "leave a grandchild in a session of its own",
}


SECCOMP, LANDLOCK = "worker.seccomp.install = lambda: 0", "worker.landlock.version = lambda: 0"
CASES = [(SECCOMP, one) for one in REACHING]
# Of Landlock's rules only those on files reach as far as seccomp lets anything come.
CASES += [(LANDLOCK, one) for one in REACHING if one.name.startswith(("read ", "write ", "change ", "add "))]


@pytest.mark.parametrize("ask", ["ordinary user"], indirect=True)
@pytest.mark.parametrize(
    ("without", "attack"),
    CASES,
    ids=[f"{'Landlock' if wall == LANDLOCK else 'seccomp'}-{one.name}" for wall, one in CASES],
)
def test_the_other_walls_contain_it(without: str, attack: Attack, ask: Ask):
    assert MAIN in run.PROGRAM
    program = run.PROGRAM.replace(MAIN, f"from inside import worker; {without}; {MAIN}")
    lingers = attack.name in ("leave a child behind", "leave a grandchild in a session of its own")
    answer = ask(attack.source, limits=attack.limits, program=program, settle_s=0.5 if lingers else 0.0)
    assert answer["kind"] in (*attack.kinds, "value" if attack.name in SECCOMP_ALONE else "error"), f"{answer}"
    assert not answer["harm"], f"{attack.name} did harm: {answer['harm']}"
