"""A run begins where another one ended, on other examples, and drift is still measured from the base of both."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from fastslow.config.parsing import parse_config
from fastslow.config.settings import FastSlowConfig
from fastslow.contexts.context import EXAMPLES, Context, WorkedExample, dump_examples
from fastslow.contexts.population import Population
from fastslow.core.errors import BadInput
from fastslow.policy.policy import Job
from fastslow.record.display import SilentDisplay
from fastslow.run.carry import Predecessor
from fastslow.run.train import resume, train
from fastslow.run.trainer import FastSlowTrainer
from tests.support.runs import stream_settings, tiny_settings


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run over three tasks, with clusters and a router that learns."""
    folder = tmp_path_factory.mktemp("first")
    chosen = {"labels": "hidden", "clusters": "inferred", "router": "variance"}
    train(FastSlowConfig(**stream_settings(folder, **chosen)), display=SilentDisplay())
    return folder


def follower(first: Path, **overrides: Any) -> dict[str, Any]:
    settings = stream_settings(first, labels="hidden", clusters="inferred", router="variance")
    return {**settings, "from_bundle": str(first / "run"), "output_dir": str(first / "next"), **overrides}


def weights(trainer: FastSlowTrainer) -> dict[str, torch.Tensor]:
    return {name: weight.detach().clone() for name, weight in trainer.model.named_parameters()}


def test_weights_contexts_archive_and_router_are_those_of_the_bundle(first: Path) -> None:
    trainer = FastSlowTrainer(FastSlowConfig(**follower(first)))
    bundle = first / "run/bundle"
    saved = load_file(bundle / "model.safetensors")
    for name, weight in weights(trainer).items():
        assert torch.equal(weight, saved[name]), name
    written = json.loads((bundle / "population.json").read_text())
    assert [context.id for context in trainer.population.members] == written["members"]
    assert {context["id"] for context in written["archive"]} <= trainer.population.known.keys()
    archive = json.loads((bundle / "archive.json").read_text())
    assert {t: e.ranked[0] for t, e in trainer.topics.archive.entries.items()} == {
        topic: entry["best"] for topic, entry in archive.items()
    }
    assert trainer.topics.clusters.names == list(json.loads((bundle / "clusters.json").read_text())["windows"])
    assert trainer.parts.router.state_dict() == json.loads((bundle / "router.json").read_text())
    assert trainer.topics.clusters.observed == 0, "its own stream begins with the first batch"


def test_contexts_that_show_what_the_new_run_holds_out_stay_behind(first: Path, tmp_path: Path) -> None:
    bundle = shutil.copytree(first / "run/bundle", tmp_path / "bundle")
    trainer = FastSlowTrainer(FastSlowConfig(**follower(first)))
    asked = trainer.parts.task.split("validation")[0].question
    population = trainer.population
    leaking = Context({**population.seed.components, EXAMPLES: dump_examples([WorkedExample(asked, "x")])})
    archive = trainer.topics.archive
    topic, entry = next(iter(archive.entries.items()))
    archive.entries[topic] = replace(
        entry,
        scores={leaking.id: next(iter(entry.scores.values())), **entry.scores},
        overall={leaking.id: 1.0, **entry.overall},
    )
    earlier = Predecessor(FastSlowConfig(**follower(first)))
    known = {**population.known, leaking.id: leaking}
    earlier.population = replace(population, members=[leaking, *population.members], known=known)
    begun = earlier.contexts(Population(population.size, population.seed), trainer.parts.held_out)
    assert leaking.id not in begun.known
    assert [c.id for c in begun.members] == [c.id for c in population.members]
    trainer.topics.begin_anew(begun.known)
    assert all(leaking.id not in entry.scores and entry.scores for entry in archive.entries.values())
    (bundle / "model.safetensors").write_bytes(b"cut off")
    with pytest.raises(BadInput, match="bytes and was written with"):
        FastSlowTrainer(FastSlowConfig(**follower(first, from_bundle=str(bundle))))


def test_drift_is_measured_from_the_base_of_both(first: Path) -> None:
    ended = {
        row["context"]: row["kl"]
        for row in map(json.loads, (first / "run/evals.jsonl").read_text().splitlines())
        if row["weights"] == "trained" and row["step"] == 6
    }
    trainer = FastSlowTrainer(FastSlowConfig(**follower(first)))
    trainer.policy.refresh(0)
    measured = trainer.evaluator.measure(trainer.population, ["lead"], topics=trainer.topics)
    assert ended["lead"] > 0
    assert measured[0].kl > 0.1 * ended["lead"]


def test_a_run_that_went_on_is_resumed_even_where_the_bundle_is_gone(first: Path, tmp_path: Path) -> None:
    bundle = shutil.copytree(first / "run/bundle", tmp_path / "bundle")
    made = {"from_bundle": str(bundle), "save_strategy": "steps", "save_steps": 2, "save_bundle": False}
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    summary = train(FastSlowConfig(**follower(first, output_dir=str(whole), **made)), display=SilentDisplay())

    class Stop(Exception): ...

    def strike(self: Any, step: int, *args: Any, real: Any = FastSlowTrainer.save) -> None:
        real(self)
        self.checkpointing.wait()
        raise Stop

    config = FastSlowConfig(**follower(first, output_dir=str(cut), **made))
    with pytest.MonkeyPatch.context() as patches:
        patches.setattr(FastSlowTrainer, "save", lambda self: strike(self, 0))
        with pytest.raises(Stop):
            train(config, display=SilentDisplay())
    shutil.rmtree(bundle)
    again = resume(cut, display=SilentDisplay())
    assert again["accuracy"] == summary["accuracy"]
    with pytest.raises(BadInput, match="holds no bundle"):
        train(FastSlowConfig(**follower(first, output_dir=str(tmp_path / "x"), **made)), display=SilentDisplay())


@pytest.mark.parametrize("mode", ["rl", "rejection"])
def test_a_mode_whose_weights_learn_without_contexts_uses_none_of_the_bundles(first: Path, mode: str) -> None:
    trainer = FastSlowTrainer(FastSlowConfig(**follower(first, mode=mode, labels="visible", clusters="none")))
    assert trainer.population.members == [trainer.population.seed]
    trainer.policy.begin_step(0)
    groups = trainer.cycle.groups
    examples = trainer.parts.stream.batch(0)
    made = groups.assign(0, examples, groups.plan(0, examples))
    jobs = [slot for group in made for slot in group.slots if isinstance(slot, Job)]
    assert len(jobs) == len(examples) * groups.size
    assert {job.context.id for job in jobs} == {trainer.population.seed.id}
    assert len(trainer.population.known) > 1, "what is known is not forgotten"


def test_adapters_go_on_as_adapters(tmp_path: Path) -> None:
    settings = tiny_settings(tmp_path, lora_r=2, max_steps=1)
    train(FastSlowConfig(**settings), display=SilentDisplay())
    later: dict[str, Any] = {**settings, "from_bundle": str(tmp_path / "run"), "output_dir": str(tmp_path / "next")}
    trainer = FastSlowTrainer(FastSlowConfig(**later))
    adapted = {name: weight for name, weight in weights(trainer).items() if "lora_B" in name}
    assert adapted
    assert all(weight.abs().max() > 0 for weight in adapted.values())
    with pytest.raises(BadInput, match="LoRA adapters of rank 2"):
        FastSlowTrainer(FastSlowConfig(**later | {"lora_r": 0}))
    with pytest.raises(BadInput, match=r"would add them 2 times: --lora_alpha 32"):
        FastSlowTrainer(FastSlowConfig(**later | {"lora_alpha": 64}))
    (tmp_path / "run/bundle/adapter_model.safetensors").write_bytes(b"cut off")
    with pytest.raises(BadInput, match="bytes and was written with"):
        FastSlowTrainer(FastSlowConfig(**later))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"from_bundle": "/nowhere"}, "holds no bundle"),
        ({"model": "smollm2-135m"}, "was trained from"),
        ({"lora_r": 4}, "holds whole weights"),
    ],
)
def test_a_bundle_that_a_run_cannot_start_from_is_refused(
    first: Path, tmp_path: Path, settings: dict[str, Any], said: str
) -> None:
    config = FastSlowConfig(**follower(first, output_dir=str(tmp_path / "run"), **settings))
    with pytest.raises(BadInput, match=said):
        train(config, display=SilentDisplay())
    assert not (tmp_path / "run").exists()


def test_another_kind_of_topics_or_router_begins_anew(first: Path) -> None:
    trainer = FastSlowTrainer(FastSlowConfig(**follower(first, clusters="none", labels="visible", router="both")))
    assert trainer.topics.archive is None
    assert trainer.parts.router.state_dict() == {"rule": {}, "recent": []}


@pytest.mark.parametrize("flags", [["--from", "x"], ["--from=x"], ["--from_bundle", "x"]])
def test_the_flag_has_a_short_form(flags: list[str]) -> None:
    assert parse_config([*flags, "--task", "t"]).from_bundle == "x"
