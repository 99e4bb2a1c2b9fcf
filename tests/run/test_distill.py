"""Contexts distilled into the weights of a bundle: what is written, what is asked, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file

from fastslow.bundles.bundle import open_bundle
from fastslow.bundles.digest import bundle_digest
from fastslow.cli.main import main
from fastslow.record.display import SilentDisplay
from fastslow.run import distill as module
from fastslow.run.distill import DistillSettings, distill
from fastslow.run.pairs import Pairs, Teacher
from tests.support.bundles import TASK, coins
from tests.support.shipped import CONTEXTS, a_context, asked, make_bundle, topics_of
from tests.support.tiny import tiny_model, tiny_tokenizer

SEED = a_context("Answer.")
SETTINGS = DistillSettings(steps=2, questions=4, learning_rate=1e-2, trusted=True)
PROSE = "The quick brown fox jumps over the lazy dog.\n" * 120


@pytest.fixture(scope="module", autouse=True)
def short_prose() -> Any:
    """Byte-level models need long for the default's 32 KB."""
    with pytest.MonkeyPatch.context() as patches:
        patches.setattr(module, "prose_pieces", lambda settings: [PROSE[:400], PROSE[400:700]])
        yield


def parent(folder: Path, **overrides: Any) -> Path:
    settings: dict[str, Any] = {"contexts": CONTEXTS[:3], "seed": SEED, "task": TASK, "train_size": 10, **overrides}
    return make_bundle(folder, **settings)


@pytest.fixture(scope="module")
def distilled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A bundle distilled where a killed attempt had left its folder; with every example that was asked."""
    folder = tmp_path_factory.mktemp("distilled")
    bundle, out = parent(folder), folder / "out"
    (folder / "out.tmp").mkdir()
    (folder / "out.tmp/half").write_text("of an attempt before")
    digest, examples = bundle_digest(bundle), []
    with pytest.MonkeyPatch.context() as patches:
        answer = Pairs.answer

        def spy(self: Pairs, places: Any, step: int) -> Any:
            examples.extend(self._order.at(place) for place in places)
            return answer(self, places, step)

        patches.setattr(Pairs, "answer", spy)
        summary = distill(bundle, out, SETTINGS, SilentDisplay())
    return {"parent": bundle, "out": out, "digest": digest, "summary": summary, "examples": examples}


def test_what_is_written_is_a_bundle_with_the_seed_context_alone(distilled: dict[str, Any]) -> None:
    bundle = open_bundle(distilled["out"])
    assert [c.id for c in bundle.population.members] == [SEED.id] == list(bundle.population.known)
    about = json.loads((distilled["out"] / "bundle/bundle.json").read_text())
    assert about["distilled"]["parent"]["digest"] == distilled["digest"] == bundle_digest(distilled["parent"])
    assert about["distilled"]["teacher_contexts"] == [CONTEXTS[0].id]
    before, after = (
        load_file(place / "model.safetensors") for place in (distilled["parent"], distilled["out"] / "bundle")
    )
    assert before.keys() == after.keys()
    assert any(not torch.equal(before[name], after[name]) for name in before)


def test_the_runs_behind_the_parent_are_behind_what_is_distilled(tmp_path: Path) -> None:
    """Also where the parent is of an older version and its run's settings tell: nothing leads from the new folder to
    them."""
    parent(tmp_path / "old", task="jsonl:old.jsonl")
    (tmp_path / "old/config.yaml").write_text("task: x\n")
    bundle = parent(tmp_path / "next")
    (tmp_path / "next/config.yaml").write_text(f"from_bundle: {tmp_path / 'old'}\n")
    distill(bundle, tmp_path / "out", SETTINGS, SilentDisplay())
    settings = json.loads((tmp_path / "out/bundle/bundle.json").read_text())["settings"]
    assert [one["task"] for one in settings["ancestors"]] == ["jsonl:old.jsonl"]


def test_nothing_but_the_run_is_left(distilled: dict[str, Any]) -> None:
    out = distilled["out"]
    made = {"bundle", "answers.jsonl", "evals.jsonl", "metrics.jsonl", "summary.json"}
    assert {entry.name for entry in out.iterdir()} == made
    assert not (out.parent / "out.tmp").exists()


def test_the_summary_says_what_was_gained_and_what_it_cost(distilled: dict[str, Any]) -> None:
    summary = distilled["summary"]
    assert summary == json.loads((distilled["out"] / "summary.json").read_text())
    assert set(summary["accuracy"]["before"]) == {"seed", "lead"}
    assert set(summary["accuracy"]["after"]) == {"seed"}
    assert summary["kl_to_base"]["after"]["seed"] > 0
    assert summary["prose_bits_per_byte"]["rise"] != 0
    assert summary["prompt_tokens"]["saved"] > 20
    assert summary["rollouts"]["slow"] == 8
    rows = [json.loads(line) for line in (distilled["out"] / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if "kl" in row] == [1, 2]
    assert all({"reward", "loss", "learning_rate"} <= row.keys() for row in rows if "kl" in row)


def test_no_question_is_asked_that_the_run_holds_out(distilled: dict[str, Any]) -> None:
    task = coins(train_size=10, validation_size=6, test_size=4)
    held_out = {example.id for split in ("validation", "test") for example in task.split(split)}
    asked_ids = [example.id for example in distilled["examples"]]
    assert len(asked_ids) == 8
    assert set(asked_ids) <= {example.id for example in task.split("train")}
    assert not held_out & set(asked_ids)


def test_the_bundle_goes_through_eval_export_and_gate(distilled: dict[str, Any], tmp_path: Path, capsys: Any) -> None:
    out = str(distilled["out"])
    assert main(["eval", out, "--limit", "2", "--contexts", "lead", "--kl_examples", "0", "--trust_task"]) == 0
    assert main(["export", out, "--output", str(tmp_path / "exported")]) == 0
    policy = tmp_path / "gate.yaml"
    policy.write_text(f"questions: 4\nlooks: 1\nmargin: 0.9\nretain:\n- task: {TASK}\n")
    verdict = tmp_path / "verdict.json"
    gate = ["gate", out, "--baseline", str(distilled["parent"]), "--policy", str(policy), "--json", str(verdict)]
    assert main([*gate, "--seed", "1", "--trust_task"]) in (0, 1), "random weights may win or lose"
    assert json.loads(verdict.read_text())["candidate"]["digest"] == bundle_digest(distilled["out"] / "bundle")


def test_adapters_are_distilled_into_adapters(tmp_path: Path) -> None:
    lora = LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False)
    model = get_peft_model(tiny_model(tiny_tokenizer()), lora)
    bundle = parent(tmp_path, model=model)
    distill(bundle, tmp_path / "out", replace(SETTINGS, steps=1), SilentDisplay())
    before, after = (load_file(at / "adapter_model.safetensors") for at in (bundle, tmp_path / "out/bundle"))
    assert before.keys() == after.keys()
    assert all(not torch.equal(before[name], after[name]) for name in before)


def test_what_breaks_off_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def strike(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module._Distillation, "_measure", strike)
    bundle = parent(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        distill(bundle, tmp_path / "out", SETTINGS, SilentDisplay())
    assert {entry.name for entry in tmp_path.iterdir()} == {"base", "bundle"}


def test_a_rate_that_is_too_high_writes_no_bundle(tmp_path: Path, capsys: Any) -> None:
    bundle = parent(tmp_path)
    flags = ["--steps", "1", "--questions", "2", "--trust_task"]
    with pytest.MonkeyPatch.context() as patches:
        patches.setattr(module, "is_finite", lambda weight: False)
        code = main(["distill", str(bundle), "--output", str(tmp_path / "out"), *flags])
    assert code == 1
    assert "is not finite, and no bundle was written; a lower --learning_rate" in capsys.readouterr().err
    assert {entry.name for entry in tmp_path.iterdir()} == {"base", "bundle"}


# The teacher's contexts


class Renderer:
    """A policy that shows which context renders which example."""

    class params:
        max_new_tokens = 5

    def prompt_ids(self, context: Any, example: Any) -> Any:
        return context.id, example.id


def teachers(bundle: Path, kind: str, examples: Any, places: int = 60) -> list[tuple[str, str]]:
    teacher = Teacher(open_bundle(bundle, choosing=kind == "cluster"), kind)
    pairs: Any = Pairs(Renderer(), teacher, examples, places=places, seed=1, listen=list)  # type: ignore[arg-type]
    assert {pairs.student(place)[0] for place in range(places)} == {SEED.id}
    return [pairs.teacher(place) for place in range(places)]


def test_a_population_is_a_teacher_whose_members_all_answer(tmp_path: Path) -> None:
    shown = teachers(parent(tmp_path), "mean", coins().split("train"))
    assert {context for context, _ in shown} == {context.id for context in CONTEXTS[:3]}
    assert len(set(shown)) > len(coins().split("train")), "a question is answered under several contexts"


def test_with_topics_the_question_chooses_its_teacher(tmp_path: Path) -> None:
    bundle = parent(tmp_path, topics=topics_of(CONTEXTS))
    examples = [asked(task, number) for task in ("sums", "words", "dates") for number in range(20, 24)]
    wanted = {"sums": CONTEXTS[0].id, "words": CONTEXTS[1].id, "dates": CONTEXTS[2].id}
    assert all(wanted[example.split("-")[0]] == context for context, example in teachers(bundle, "cluster", examples))


# What is refused


def refused(capsys: Any, *argv: str) -> str:
    assert main(["distill", *argv]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("loading ")]
    assert len(lines) == 1, lines
    return lines[0]


def test_flags_that_make_no_sense_are_refused_in_one_line(tmp_path: Path, capsys: Any) -> None:
    out = ["--output", str(tmp_path / "out")]
    assert "--steps: must be at least 1" in refused(capsys, "b", *out, "--steps", "0")
    assert "invalid choice: 'best'" in refused(capsys, "b", *out, "--contexts", "best")
    assert "--learning_rate: must be above 0" in refused(capsys, "b", *out, "--learning_rate", "0")
    assert "holds no bundle" in refused(capsys, str(tmp_path), *out)
    assert "required: --output" in refused(capsys, "b")


def test_bundles_with_nothing_to_distil_are_refused_before_anything_is_written(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").write_text("somebody's")
    bundle, plain = str(parent(tmp_path)), str(parent(tmp_path / "plain", contexts=[SEED]))
    out = ["--output", str(tmp_path / "out"), "--trust_task"]
    assert "nothing is overwritten" in refused(capsys, bundle, "--output", str(tmp_path / "full"))
    assert "are the seed context itself" in refused(capsys, plain, *out)
    assert "are the seed context itself" in refused(capsys, plain, *out, "--contexts", "mean")
    assert "topics had contexts of their own" in refused(capsys, bundle, *out, "--contexts", "cluster")
    assert "say --trust_task" in refused(capsys, bundle, *out[:-1])
    assert {entry.name for entry in tmp_path.iterdir()} == {"full", "base", "bundle", "plain"}
