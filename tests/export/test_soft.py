"""A soft context leaves as tokens of the tokenizer and rows of the embedding: stock transformers answers as the run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from fastslow.bundles.bundle import open_bundle
from fastslow.cli.main import main
from fastslow.contexts.context import seed_context, soft_context
from fastslow.contexts.rendering import render_chat
from fastslow.contexts.soft import SOFT, SOFT_TURN, SoftText
from fastslow.core.errors import BadInput
from fastslow.evaluation.bundle import bundle_policy
from fastslow.export.folder import ExportSettings, export_bundle
from fastslow.export.release import open_release
from fastslow.export.soft import bake
from fastslow.policy.policy import Job
from fastslow.policy.soft_rows import SoftRows, embedding_of
from fastslow.tasks.resolve import resolve_task
from tests.support.architectures import FAMILIES, VOCAB, build
from tests.support.soft import GREEDY, soft_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return soft_run(tmp_path_factory.mktemp("soft"))


@pytest.fixture(scope="module")
def exported(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "out"
    export_bundle(run, folder)
    return folder


def test_stock_transformers_answers_under_every_soft_context_as_the_run_does(run: Path, exported: Path) -> None:
    bundle = open_bundle(run)
    task = resolve_task(bundle.settings["task"], train_size=None, validation_size=6, test_size=4, data_seed=0)
    policy = bundle_policy(bundle, bundle.model, task, GREEDY, torch.float32)
    policy.refresh(0)
    model = AutoModelForCausalLM.from_pretrained(exported).eval()
    tokenizer: Any = AutoTokenizer.from_pretrained(exported)
    jobs = [Job(c, e, 0) for c in bundle.population.members for e in task.split("validation")]
    assert any(job.context.soft is not None for job in jobs)
    ends = {*model.generation_config.eos_token_id}
    for job, rollout in zip(jobs, policy.rollouts(jobs), strict=True):
        ids = tokenizer.apply_chat_template(
            [dict(turn) for turn in job.example.messages], add_generation_prompt=True, return_dict=False,
            fastslow_context=job.context.id, return_tensors="pt",
        )  # fmt: skip
        assert ids.shape[1] == len(rollout.prompt_ids)
        with torch.no_grad():
            answer = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=8, do_sample=False)
        assert tuple(answer[0, ids.shape[1] :].tolist())[:8] == rollout.completion_ids[:8] or ends & set(answer[0])


def test_no_answer_holds_a_row(exported: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(exported)
    rows = model.generation_config.suppress_tokens
    tokenizer: Any = AutoTokenizer.from_pretrained(exported)
    names = tokenizer.convert_ids_to_tokens(rows)
    assert names
    assert all(name.startswith("<|fs") for name in names)
    assert not model.config.tie_word_embeddings
    assert not model.get_output_embeddings().weight[rows].any()
    assert model.get_input_embeddings().weight[rows].abs().sum(1).min() > 0
    ids = torch.tensor([[5, 6, 7]])
    sampled = model.generate(ids, do_sample=True, max_new_tokens=400, num_return_sequences=25, eos_token_id=None)
    assert sampled.numel() >= 10_000
    assert not set(rows) & set(sampled.flatten().tolist())


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_rows_of_the_embedding_compute_what_the_soft_rows_did_in_every_family(family: str, tied: bool) -> None:
    """Gemma scales what its embedding holds."""
    model = build(family, tie_word_embeddings=tied)
    rows = SoftRows.beside(model, slots=2, tokens=4)
    width = embedding_of(model).embedding_dim
    _, soft = rows.bear(torch.randn(4, width, generator=torch.Generator().manual_seed(0)), ())
    context = soft_context(SOFT, soft, seed_context(""))
    places = tuple(range(VOCAB, VOCAB + len(rows.ids_of(soft))))
    with torch.no_grad():
        want = model(input_ids=torch.tensor([[5, 9, *rows.ids_of(soft), 21]])).logits
        bake(model, [context], {context.id: places})
        got = model(input_ids=torch.tensor([[5, 9, *places, 21]])).logits
    assert (want - got[..., : want.shape[-1]]).abs().max() <= 1e-4


def test_the_folder_opens_and_says_what_it_holds(exported: Path, capsys: pytest.CaptureFixture[str]) -> None:
    release = open_release(exported)
    soft = release.population.lead.soft
    assert soft is not None
    assert str(soft) in render_chat(release.population.lead, [{"role": "user", "content": "?"}])[0]["content"]
    assert json.loads((exported / "contexts.json").read_text())["in_template"]


def test_formats_that_hold_no_rows_are_refused(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(BadInput, match="is soft: rows beside the model's embedding"):
        export_bundle(run, tmp_path / "out", ExportSettings(format="ollama"))
    assert main(["serve", str(run), "--upstream", "http://127.0.0.1:9"]) == 2
    assert "is soft: rows beside" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()


def turns(*pairs: tuple[str, str]) -> list[dict[str, str]]:
    return [{"role": role, "content": content} for role, content in pairs]


@pytest.mark.parametrize(
    ("kind", "system_role", "given", "shown"),
    [
        (SOFT, True, turns(("user", "q")), turns(("system", "R"), ("user", "q"))),
        (SOFT, True, turns(("system", "s"), ("user", "q")), turns(("system", "Rs"), ("user", "q"))),
        (SOFT, False, turns(("user", "q")), turns(("user", "Rq"))),
        (SOFT, False, turns(("system", "s"), ("user", "q")), turns(("user", "Rs\n\nq"))),
        (SOFT_TURN, True, turns(("user", "q")), turns(("user", "Rq"))),
        (SOFT_TURN, True, turns(("developer", "s"), ("user", "q")), turns(("system", "s"), ("user", "Rq"))),
        (SOFT_TURN, False, turns(("system", "s"), ("user", "q")), turns(("user", "s\n\nRq"))),
        (SOFT_TURN, True, turns(("system", "s")), turns(("system", "s"))),
    ],
)
def test_names_of_rows_stand_where_the_rows_stood(kind: str, system_role: bool, given: Any, shown: Any) -> None:
    rows = SoftText(0, 2)
    context = soft_context(kind, rows, seed_context(""))
    expected = [{**turn, "content": turn["content"].replace("R", str(rows))} for turn in shown]
    assert render_chat(context, given, system_role=system_role) == expected
