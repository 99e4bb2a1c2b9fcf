"""Soft contexts in a bundle: they answer as in their run, beside their own embedding only, and people see words."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from fastslow.bundles.bundle import Bundle, open_bundle
from fastslow.bundles.contexts import open_contexts
from fastslow.bundles.soft import read_soft
from fastslow.cli.main import main
from fastslow.config.settings import FastSlowConfig
from fastslow.contexts.population import Population
from fastslow.core.errors import BadInput
from fastslow.core.types import Rollout
from fastslow.evaluation.bundle import bundle_policy
from fastslow.policy.policy import Job, Policy
from fastslow.policy.soft_rows import rows_beside
from fastslow.record.display import SilentDisplay
from fastslow.run.train import train
from fastslow.run.trainer import FastSlowTrainer
from fastslow.tasks.resolve import resolve_task
from tests.support.runs import tiny_settings
from tests.support.soft import GREEDY, SOFT, soft_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return soft_run(tmp_path_factory.mktemp("soft"))


def answers(policy: Policy, population: Population) -> list[Rollout]:
    policy.refresh(0)
    examples = policy.task.split("validation")
    return policy.rollouts([Job(c, e, 0) for c in population.members for e in examples], GREEDY)


def opened(run: Path) -> tuple[Bundle, Policy]:
    bundle = open_bundle(run)
    task = resolve_task(bundle.settings["task"], train_size=None, validation_size=6, test_size=4, data_seed=0)
    return bundle, bundle_policy(bundle, bundle.model, task, GREEDY, torch.float32)


@pytest.mark.parametrize("lora_r", [0, 2])
def test_a_bundle_answers_under_its_soft_contexts_as_its_run_did(tmp_path: Path, lora_r: int) -> None:
    settings = FastSlowConfig(**tiny_settings(tmp_path, **SOFT, lora_r=lora_r))
    trainers: list[FastSlowTrainer] = []
    with pytest.MonkeyPatch.context() as patches:
        taken = FastSlowTrainer.train
        patches.setattr(FastSlowTrainer, "train", lambda self, **how: (trainers.append(self), taken(self, **how))[1])
        train(settings, display=SilentDisplay())
    (trainer,) = trainers
    bundle, policy = opened(tmp_path / "run")
    assert all(context.soft for context in bundle.population.members)
    own = trainer.slow.soft
    found = rows_beside(bundle.model)
    assert own is not None
    assert found is not None
    for context in bundle.population.members:
        assert context.soft is not None
        assert torch.equal(found.rows_of(context.soft), own.rows.rows_of(context.soft))
    trainer.policy.refresh(99)
    want, got = answers(trainer.policy, trainer.population), answers(policy, bundle.population)
    assert [r.completion_ids for r in want] == [r.completion_ids for r in got]
    with bundle.base() as base:
        assert rows_beside(base) is found, "the drift under a soft context is measured beside the base's embedding"


def test_rows_beside_another_embedding_are_refused(run: Path, tmp_path: Path) -> None:
    bundle, _ = opened(run)
    with torch.no_grad():
        bundle.model.get_input_embeddings().weight[3, 3] += 1e-3  # type: ignore[operator, index]
    with pytest.raises(BadInput, match="belongs to another embedding"):
        read_soft(run / "bundle", bundle.model, bundle.population)


@pytest.mark.parametrize("damage", ["missing", "cut", "shape", "nan", "other", "no digest"])
def test_damaged_rows_are_refused_in_a_line(run: Path, tmp_path: Path, damage: str) -> None:
    shutil.copytree(run, tmp_path / "run")
    folder = tmp_path / "run" / "bundle"
    file, about = folder / "soft.safetensors", folder / "bundle.json"
    tensors = load_file(file)
    first = next(iter(tensors))
    if damage == "missing":
        file.unlink()
    elif damage == "cut":
        file.write_bytes(file.read_bytes()[:-4])
    elif damage == "no digest":
        (folder / "soft.json").write_text("{}")
    else:
        other = {"shape": tensors[first][:, :-1], "nan": tensors[first] * float("nan"), "other": None}[damage]
        kept = {name: tensor for name, tensor in tensors.items() if name != first}
        save_file({**kept, **({first: other.contiguous()} if other is not None else {"x": tensors[first]})}, file)
    told = json.loads(about.read_text())
    about.write_text(json.dumps({**told, "files": {}, "bytes": {}}))  # a maker of bundles can write any manifest
    with pytest.raises(BadInput, match=r"soft\.safetensors' is (missing or )?damaged"):
        open_bundle(folder)


def test_the_manifest_covers_the_rows(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    file = tmp_path / "run" / "bundle" / "soft.safetensors"
    file.write_bytes(file.read_bytes()[:-4] + b"abcd")
    with pytest.raises(BadInput, match="weights and contexts of different runs"):
        open_bundle(tmp_path / "run")


# What people see


def test_the_list_of_contexts_and_a_soft_one_are_shown_by_rows_and_words(run: Path, capsys: Any) -> None:
    assert main(["contexts", str(run), "--json"]) == 0
    lines = json.loads(capsys.readouterr().out)
    (lead,) = [line for line in lines if "lead" in line["roles"]]
    assert lead["rows"] > 0
    assert lead["characters"] == 0
    assert main(["contexts", str(run)]) == 0
    assert f"{lead['rows']} rows" in capsys.readouterr().out
    assert main(["contexts", str(run), "--show"]) == 0
    shown = capsys.readouterr().out
    assert "each by the nearest token and the cosine" in shown
    assert "<|fs" not in shown
    assert shown.count("'") >= 2 * lead["rows"], "every row by a quoted token"
    assert main(["contexts", str(run), "--diff", "seed", "lead"]) == 0
    assert "+" in capsys.readouterr().out


def test_a_report_shows_words_for_rows(run: Path, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    assert main(["report", str(run), "--output", str(page)]) == 0
    text = page.read_text()
    assert "rows beside the embedding" in text
    assert "fs0_0" not in text


@pytest.mark.parametrize("form", ["messages", "template"])
def test_a_soft_context_is_no_messages(run: Path, capsys: Any, form: str) -> None:
    assert main(["contexts", str(run), "--format", form]) == 2
    assert "is soft: rows beside the model's embedding" in capsys.readouterr().err
    with pytest.raises(BadInput, match="is soft"):
        open_contexts(run).messages("What is 1 + 1?")


def test_a_run_from_a_bundle_with_soft_contexts_is_refused(run: Path, tmp_path: Path) -> None:
    settings = tiny_settings(tmp_path, model=str(run.parent / "model"), from_bundle=str(run))
    with pytest.raises(BadInput, match="has soft contexts in use"):
        train(FastSlowConfig(**settings), display=SilentDisplay())


def test_ask_and_eval_take_rows(run: Path, capsys: Any) -> None:
    assert main(["ask", str(run), "What is 6 + 7?", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["context"] == open_bundle(run).population.lead.id
    assert main(["eval", str(run), "--trust_task"]) == 0
    assert "lead" in capsys.readouterr().out


@pytest.mark.parametrize("command", [["distill"], ["probe-routes"]], ids=str)
def test_what_was_not_built_for_rows_refuses_them_by_name(
    run: Path, tmp_path: Path, command: list[str], capsys: Any
) -> None:
    assert main([*command, str(run), "--output", str(tmp_path / "out"), "--trust_task"]) == 2
    assert "is soft: rows beside the model's embedding" in capsys.readouterr().err
