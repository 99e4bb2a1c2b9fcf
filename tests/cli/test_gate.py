"""`fastslow gate` before and after it measures: what stands in the place of its verdict, and what a registry notes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fastslow.cli import gate as command
from fastslow.cli.main import main
from fastslow.files.locks import alone_in
from fastslow.gate.verdict import read_verdict
from fastslow.registry.registry import ModelRegistry
from tests.support.registries import POLICY, bundle, registry_of_two, verdict


@pytest.fixture
def stale(tmp_path: Path) -> list[Path]:
    """Three files of an earlier gate."""
    files = [tmp_path / f"v.{form}" for form in command.FORMS]
    for file in files:
        file.write_text("an earlier pass")
    return files


def argv(tmp_path: Path, *more: str, policy: str = "gate.yaml") -> list[str]:
    forms = [word for form in command.FORMS for word in (f"--{form}", str(tmp_path / f"v.{form}"))]
    return ["gate", "nowhere", "--baseline", "base", "--policy", str(tmp_path / policy), *forms, *more]


@pytest.mark.parametrize("policy", [None, "retain: [", POLICY])
def test_no_older_verdict_is_left_where_a_gate_fails(policy: str | None, tmp_path: Path, stale: list[Path]) -> None:
    """No policy, a policy that is none, and a candidate that is none."""
    if policy is not None:
        (tmp_path / "gate.yaml").write_text(policy)
    assert main(argv(tmp_path)) == 2
    assert not [file for file in stale if file.exists()]


def test_a_plan_and_flags_that_are_refused_leave_the_verdict(tmp_path: Path, stale: list[Path]) -> None:
    (tmp_path / "gate.yaml").write_text(POLICY)
    assert main(argv(tmp_path, "--plan")) == 0
    assert main(argv(tmp_path, "--seed", "x")) == 2
    assert all(file.read_text() == "an earlier pass" for file in stale)


def test_an_output_that_is_the_policy_or_another_output_is_refused(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "gate.yaml").write_text(POLICY)
    for flag, name in (("--html", "gate.yaml"), ("--html", "v.json"), ("--junit", "v.json")):
        assert main(argv(tmp_path, flag, str(tmp_path / name))) == 2
        assert "a file of its own" in capsys.readouterr().err
    assert (tmp_path / "gate.yaml").read_text() == POLICY


def test_a_verdict_holds_though_the_registry_cannot_note_it(tmp_path: Path, capsys: Any, monkeypatch: Any) -> None:
    registry, _, _ = registry_of_two(tmp_path)
    (tmp_path / "gate.yaml").write_text(POLICY)
    passed = verdict(tmp_path / "second", tmp_path / "first")
    monkeypatch.setattr(command, "_gate", lambda *_: passed)
    with alone_in(registry.folder):
        code = main(argv(tmp_path, "--baseline", f"{registry.folder}@champion"))
    assert (code, read_verdict(tmp_path / "v.json")) == (0, passed)
    assert "does not have this gate in its log" in capsys.readouterr().err
    assert registry.entries()[-1].event == "promote"


def test_a_verdict_that_cannot_be_written_stands_in_the_registry(tmp_path: Path, monkeypatch: Any) -> None:
    registry, _, _ = registry_of_two(tmp_path)
    (tmp_path / "gate.yaml").write_text(POLICY)

    def measured(*_: Any) -> Any:
        (tmp_path / "v.json").mkdir()  # too late for the check of the flags
        return verdict(tmp_path / "second", tmp_path / "first")

    monkeypatch.setattr(command, "_gate", measured)
    assert main(argv(tmp_path, "--baseline", f"{registry.folder}@champion")) == 2
    assert registry.entries()[-1].event == "gate"


def test_a_policy_that_relies_on_a_champion_without_one_is_told_that_it_was_forced(tmp_path: Path, capsys: Any) -> None:
    registry = ModelRegistry.create(tmp_path / "registry")
    registry.force(registry.add(bundle(tmp_path / "a")), "a trial")
    (tmp_path / "gate.yaml").write_text("questions: 22\n")
    where = f"{registry.folder}@champion"
    assert main(["gate", str(tmp_path / "a"), "--baseline", where, "--policy", str(tmp_path / "gate.yaml")]) == 2
    said = capsys.readouterr().err
    assert "promoted by force" in said
    assert "name tasks in 'gain' or 'retain'" in said
