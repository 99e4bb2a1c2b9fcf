"""Whatever cannot be measured never passes a gate: one line and exit code 2, or a verdict that is invalid."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fastslow.cli.main import main
from fastslow.gate.audit import contradiction, policy_of
from fastslow.gate.verdict import read_verdict
from tests.gate.test_gate import RETAIN, gate
from tests.support.bundles import TASK, tiny_bundle


@pytest.fixture(scope="module")
def folder(tmp_path_factory: Any) -> Path:
    where = tmp_path_factory.mktemp("bundles")
    tiny_bundle(where / "a")
    tiny_bundle(where / "b", noise=0.3)
    return where


def samples(tmp_path: Path, rows: list[dict[str, Any]]) -> str:
    (tmp_path / "s.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    path = tmp_path / "s.jsonl"
    return f"general:\n  samples:\n  - {{name: x, candidate: '{path}', baseline: '{path}'}}\n"


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        ("retain: [{task: no_such_task}]", "unknown family"),
        ("retain: [{task: 'jsonl:nowhere.jsonl'}]", "nowhere.jsonl"),
        ("alpha: 0.05", "asks for nothing"),
        ("retain: [{task: x, margin: 2}]", "margin must be at most 1"),
        ("SAMPLES", "holds no answers"),
        ("FOREIGN", "names no question"),
    ],
)
def test_a_policy_that_cannot_be_used_is_refused_in_one_line(
    policy: str, words: str, folder: Path, tmp_path: Path, capsys: Any
) -> None:
    rows: dict[str, list[dict[str, Any]]] = {"SAMPLES": [], "FOREIGN": [{"text": "x"}]}
    text = samples(tmp_path, rows[policy]) if policy in rows else policy
    code, verdict = gate(folder, tmp_path, "a", "b", text)
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert (code, verdict) == (2, {})
    assert last.startswith("fastslow gate: ")
    assert words in last


@pytest.mark.parametrize("task", ["unscored", "never"])
def test_a_task_on_which_nothing_can_be_shown_is_invalid(task: str, folder: Path, tmp_path: Path) -> None:
    """Everything unscored; a baseline that is never right."""
    policy = f"questions: 60\nretain:\n- task: tests.support.bundles:{task}\n"
    # Trusted, as the bundle was trained on another function, whose questions are to be left out.
    code, verdict = gate(folder, tmp_path, "a", "a", policy, "--trust_task")
    assert (code, verdict["state"]) == (2, "invalid")


@pytest.mark.parametrize(
    ("baseline", "words"),
    [("nowhere", "holds no bundle"), ("r@champion", "not a registry"), ("", "what it is compared with")],
)
def test_a_baseline_that_is_none_is_refused(
    baseline: str, words: str, folder: Path, tmp_path: Path, capsys: Any
) -> None:
    (tmp_path / "gate.yaml").write_text(RETAIN)
    argv = ["gate", str(folder / "a"), "--policy", str(tmp_path / "gate.yaml"), "--baseline", baseline]
    assert main(argv) == 2
    assert words in capsys.readouterr().err


def test_an_alias_that_names_nothing_yet_is_refused(folder: Path, tmp_path: Path, capsys: Any) -> None:
    registry = str(tmp_path / "registry")
    main(["registry", "init", registry])
    assert gate(folder, tmp_path, "a", f"{registry}@champion", RETAIN)[0] == 2
    assert "has no champion yet" in capsys.readouterr().err


def test_contexts_of_other_weights_are_refused(folder: Path, tmp_path: Path, capsys: Any) -> None:
    bundle = tiny_bundle(tmp_path / "mixed")
    from fastslow.bundles.digest import files_of

    about = json.loads((bundle / "bundle.json").read_text())
    written = {name: sha for name, sha in files_of(bundle).items() if name != "bundle.json"}
    (bundle / "bundle.json").write_text(json.dumps({**about, "files": written}))
    other = tiny_bundle(tmp_path / "other", instruction="Guess.")
    (bundle / "population.json").write_bytes((other / "population.json").read_bytes())
    assert gate(tmp_path, tmp_path, "mixed", str(other), RETAIN)[0] == 2
    assert "do not belong together" in capsys.readouterr().err


def test_a_task_that_runs_code_of_the_policys_is_asked_but_none_of_a_bundles(folder: Path, tmp_path: Path) -> None:
    """The policy is its user's own; the bundle may come from anybody, and its task's code is not run unless named."""
    bundle = tiny_bundle(tmp_path / "stranger", task="os.path:join")
    (tmp_path / "q.jsonl").write_text("\n".join(json.dumps({"question": f"{i}?", "answer": "1"}) for i in range(9)))
    code, _ = gate(
        tmp_path, tmp_path, bundle.name, str(folder / "a"), f"retain: [{{task: 'jsonl:{tmp_path}/q.jsonl'}}]"
    )
    assert code == 2


def test_general_ability_and_limits_are_part_of_the_verdict(folder: Path, tmp_path: Path) -> None:
    """A bundle whose weights are noise fails the limits, its base passes them; all of them were measured."""
    policy = (
        f"questions: 40\nmargin: 0.9\nretain:\n- task: {TASK}\n"
        "general:\n  prose: {bytes: 4096}\n  neutral: {tokens: 4}\n"
        "limits: {kl: 0.1, added_prompt_tokens: 0, latency_rise: 100}\n"
    )
    for candidate, expected in (("a", "pass"), ("b", "fail")):
        _, verdict = gate(folder, tmp_path, candidate, "a", policy)
        found = {check["name"]: check["state"] for check in verdict["checks"]}
        assert found["KL to the base"] == found["KL on neutral prompts"] == expected
        assert found["bits per byte"] == expected
        assert found["added prompt tokens"] == found["latency rise (p95)"] == "pass"
        verdict = read_verdict(tmp_path / "v.json")
        assert contradiction(verdict, policy_of(verdict, None)) is None
