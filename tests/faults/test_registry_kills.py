"""Registries whose processes are killed by SIGKILL: the champion is whole, the old one or the new one, and the same
command then finishes what it had begun."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fastslow.files.jsonl import dumps
from fastslow.registry.registry import ModelRegistry, resolve
from tests.support.nursery import Nursery
from tests.support.points import OF_A_REGISTRY
from tests.support.registries import bundle, registry_of_two, verdict

pytestmark = pytest.mark.processes

COMMANDS = {
    "add": ["add", "REGISTRY", "fourth"],
    "promote": ["promote", "REGISTRY", "3", "--verdict", "v.json"],
    "rollback": ["rollback", "REGISTRY"],
}
PLACES = [(point, count, after) for point in OF_A_REGISTRY for count in (1, 2, 3, 5) for after in (False, True)]


@pytest.fixture(scope="module")
def nursery(tmp_path_factory: Any) -> Iterator[Nursery]:
    with Nursery(tmp_path_factory.mktemp("kills")) as ready:
        yield ready


@pytest.fixture(scope="module")
def whole(nursery: Nursery) -> Path:
    """A registry with two champions, a candidate that a verdict allows, and a bundle that is not in it yet."""
    registry, _, _ = registry_of_two(nursery.folder)
    registry.add(bundle(nursery.folder / "third", "third" * 100_000))
    bundle(nursery.folder / "fourth", "fourth" * 100_000)
    measured = verdict(nursery.folder / "third", nursery.folder / "second")
    (nursery.folder / "v.json").write_bytes(dumps(measured.to_json()))
    return registry.folder


def remove(registry: Path) -> None:
    """Versions are protected, which keeps everybody but root from deleting them."""
    for folder in (registry / "versions").glob("*"):
        folder.chmod(0o755)
    shutil.rmtree(registry, ignore_errors=True)


def end_of(folder: Path) -> tuple[dict[str, str], list[str]]:
    registry = ModelRegistry.open(folder)
    assert registry.verify() == []
    return registry.aliases(), registry.versions()


def kill(nursery: Nursery, whole: Path, command: str, **how: Any) -> bool:
    """Kill the command, look at what is left, and give it again; returns whether the blow hit."""
    champion = resolve(f"{whole}@champion").name
    done, killed = nursery.folder / "done", nursery.folder / "killed"
    for folder in (done, killed):
        remove(folder)
        shutil.copytree(whole, folder)
    argv = ["registry", *COMMANDS[command]]
    assert nursery.run([str(done) if word == "REGISTRY" else word for word in argv]) == 0
    here = [str(killed) if word == "REGISTRY" else word for word in argv]
    code = nursery.run(here, **how)
    assert code in (0, -9), (nursery.folder / "log.txt").read_text()[-2000:]
    champions = {champion, resolve(f"{done}@champion").name}
    now = resolve(f"{killed}@champion").name
    assert now in champions
    if code == -9 and (command == "add" or now == champion):  # else it had happened: a rollback again would go further
        assert nursery.run(here) == 0, (nursery.folder / "log.txt").read_text()[-2000:]
    assert end_of(killed) == end_of(done)
    return code == -9


@pytest.mark.row(name="registry")
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("place", [("line", 1, False), ("line", 1, True), ("aliases", 2, False), ("check", 1, True)])
def test_a_killed_command_leaves_a_whole_champion(nursery: Nursery, whole: Path, command: str, place: Any) -> None:
    point, count, after = place
    kill(nursery, whole, command, point=(f"registry/{point}", count, after))


@pytest.mark.faults
@pytest.mark.row(name="registry")
def test_a_hundred_kills_leave_a_whole_champion(nursery: Nursery, whole: Path, record_property) -> None:
    """At every point of every command, and at random moments."""
    hits = sum(
        kill(nursery, whole, command, point=(f"registry/{point}", count, after))
        for command in COMMANDS
        for point, count, after in PLACES
    )
    rng = random.Random(0)
    for _ in range(300):
        if hits >= 150:
            break
        hits += kill(nursery, whole, rng.choice(sorted(COMMANDS)), kill_after=rng.uniform(0.0, 0.4))
    assert hits >= 100
    record_property("cases", hits)


def test_a_rollback_of_a_whole_process_takes_less_than_two_seconds(nursery: Nursery, whole: Path) -> None:
    shutil.copytree(whole, nursery.folder / "timed")
    started = time.monotonic()
    assert nursery.run(["registry", "rollback", str(nursery.folder / "timed")]) == 0
    assert time.monotonic() - started < 2
