"""`fastslow gate` measures two bundles in one run and says what follows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fastslow.cli.main import main
from tests.support.bundles import TASK, tiny_bundle


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A bundle, the same once more, and one whose weights are noise."""
    where = tmp_path_factory.mktemp("bundles")
    tiny_bundle(where / "a")
    tiny_bundle(where / "same")
    tiny_bundle(where / "noisy", noise=0.3)
    return where


def gate(
    folder: Path, out: Path, candidate: str, baseline: str, policy: str, *flags: str
) -> tuple[int, dict[str, Any]]:
    """A gate whose questions are the same every time, so that no test depends on luck."""
    (out / "gate.yaml").write_text(policy)
    flags = flags if "--seed" in flags else (*flags, "--seed", "7")
    code = main(
        ["gate", str(folder / candidate), "--policy", str(out / "gate.yaml"), "--json", str(out / "v.json"),
         "--baseline", str(folder / baseline) if "@" not in baseline and baseline != "base" else baseline, *flags]
    )  # fmt: skip
    return code, json.loads((out / "v.json").read_text()) if (out / "v.json").exists() else {}


def fine(completion: str, row: dict[str, Any]) -> float:
    """A scorer that is content with anything."""
    return 1.0


RETAIN = f"questions: 80\nretain:\n- task: {TASK}\n"


def test_a_bundle_against_itself_loses_nothing_and_passes(folder: Path, tmp_path: Path) -> None:
    code, verdict = gate(folder, tmp_path, "a", "same", RETAIN)
    (check,) = verdict["checks"]
    assert (code, verdict["state"], check["state"]) == (0, "pass", "pass")
    assert (check["won"], check["lost"]) == (0, 0)
    assert verdict["candidate"]["digest"] == verdict["baseline"]["digest"]
    assert any("are the same bytes" in note for note in verdict["notes"])


def test_a_champion_that_no_later_gate_could_keep_is_known_before_it_is_one(folder: Path, tmp_path: Path) -> None:
    wide = f"questions: 8\nmargin: 0.99\ngain:\n- task: {TASK}\n"
    notes = gate(folder, tmp_path, "noisy", "a", wide)[1]["notes"]
    assert any("later gates could not keep it by this policy's margin of 99 points" in note for note in notes)
    assert not any("could not keep it" in note for note in gate(folder, tmp_path, "a", "same", RETAIN)[1]["notes"])


def test_a_task_with_no_more_questions_is_said_to_have_none(folder: Path, tmp_path: Path) -> None:
    rows = [json.dumps({"question": f"What is {i} + 1?", "answer": str(i + 1)}) for i in range(12)]
    (tmp_path / "few.jsonl").write_text("\n".join(rows) + "\n")
    few = f"questions: 12\nretain:\n- task: jsonl:{tmp_path / 'few.jsonl'}?scorer=tests.gate.test_gate:fine\n"
    _, verdict = gate(folder, tmp_path, "a", "same", few, "--trust_task")
    assert verdict["checks"][0]["reason"].endswith("the task has no more than these")


def test_a_candidate_that_is_no_better_does_not_gain(folder: Path, tmp_path: Path) -> None:
    code, verdict = gate(folder, tmp_path, "noisy", "a", f"questions: 40\ngain:\n- task: {TASK}\n")
    assert (code, verdict["state"]) == (1, "undecided")
    assert verdict["checks"][0]["lost"] > 0


def test_the_champion_answers_as_it_was_released_whatever_the_candidate_is_to_be_released_with(
    folder: Path, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr("fastslow.cli.released.gated_contexts", lambda name: "seed")
    _, verdict = gate(folder, tmp_path, "a", "same", f"questions: 8\nretain: [{{task: {TASK}}}]\n")
    assert verdict["contexts"] == "lead"
    assert any("answered as it was released: seed context" in note for note in verdict["notes"])


def test_from_verdict_to_champion_and_back(folder: Path, tmp_path: Path, capsys) -> None:
    """The whole way of a release: the first version against the base, the second against the champion."""
    registry = str(tmp_path / "registry")
    policy = f"questions: 80\nmargin: 0.9\nretain:\n- task: {TASK}\n"
    assert main(["registry", "init", registry]) == 0
    assert main(["registry", "add", registry, str(folder / "a")]) == 0
    assert gate(folder, tmp_path, "a", "base", RETAIN)[0] == 0
    first = ["registry", "promote", registry, "candidate", "--verdict", str(tmp_path / "v.json")]
    assert main(first) == 0
    assert main(["registry", "add", registry, str(folder / "noisy")]) == 0
    assert main(["registry", "promote", registry, "candidate", "--verdict", str(tmp_path / "v.json")]) == 2
    assert "other bytes" in capsys.readouterr().err
    assert gate(folder, tmp_path, "noisy", f"{registry}@champion", policy)[0] == 2
    assert "weaker than that of the champion" in capsys.readouterr().err
    assert gate(folder, tmp_path, "noisy", f"{registry}@champion", "questions: 80\n")[0] == 1
    assert main(["registry", "promote", registry, "2", "--verdict", str(tmp_path / "v.json")]) == 2
    assert main(["registry", "promote", registry, "2", "--force", "--reason", "a trial"]) == 0
    assert main(["registry", "rollback", registry]) == 0
    capsys.readouterr()
    assert main(["registry", "show", registry, "--json"]) == 0
    events = [entry["event"] for entry in json.loads(capsys.readouterr().out)]
    assert events == ["init", "add", "promote", "add", "refuse", "gate", "refuse", "force", "rollback"]
    assert main(["registry", "verify", registry]) == 0


def test_a_verdict_says_what_is_known_of_the_candidate_from_before(folder: Path, tmp_path: Path, capsys) -> None:
    """Earlier gates of the same bytes, and a run that did not end by itself."""
    registry = str(tmp_path / "registry")
    assert main(["registry", "init", registry]) == 0
    stopped = tiny_bundle(tmp_path / "stopped", noise=0.3)
    about = json.loads((stopped / "bundle.json").read_text())
    about |= {"status": "stopped by SIGTERM", "steps": 2, "settings": {**about["settings"], "max_steps": 10}}
    (stopped / "bundle.json").write_text(json.dumps(about))
    assert main(["registry", "add", registry, str(folder / "a")]) == 0
    assert main(["registry", "promote", registry, "1", "--force", "--reason", "a trial"]) == 0
    capsys.readouterr()
    assert main(["registry", "add", registry, str(stopped), "--json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["ended_early"] == "stopped by SIGTERM at step 2 of 10"
    assert "ended early" in said.err
    policy = f"questions: 8\nretain: [{{task: {TASK}}}]\n"
    notes = [gate(tmp_path, tmp_path, "stopped", f"{registry}@champion", policy)[1]["notes"] for _ in range(3)]
    for found in notes:
        assert "the candidate's run ended early: stopped by SIGTERM at step 2" in found[0]
    assert "were gated" not in str(notes[0])
    assert "these very bytes were gated 1 time before (1 undecided)" in notes[1][1]
    assert "these very bytes were gated 2 times before (2 undecided)" in notes[2][1]


def test_a_verdict_says_where_it_is_not_known_what_the_weights_met(folder: Path, tmp_path: Path) -> None:
    began = tiny_bundle(tmp_path / "began")
    about = json.loads((began / "bundle.json").read_text())
    about["settings"]["ancestors"] = [{"unknown": "'runs/old', from which a run began: it is gone."}]
    (began / "bundle.json").write_text(json.dumps(about))
    for names in (("began", str(folder / "a")), (str(folder / "a"), "began")):
        notes = gate(tmp_path, tmp_path, *names, f"questions: 8\nretain: [{{task: {TASK}}}]\n")[1]["notes"]
        said = "which questions the weights met before is not known as a whole ('runs/old', from which a run began: it"
        assert [note for note in notes if note.startswith(said)] == [f"{said} is gone)"]
