"""Whole runs on vLLM servers: what they train on, what ends them, and how they go on. The servers are the fake ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from fastslow.cli.main import main
from fastslow.config.settings import FastSlowConfig
from fastslow.core.errors import BadInput, FastSlowError
from fastslow.policy.loading import ModelSource, load_model
from fastslow.record.display import SilentDisplay
from fastslow.run.train import dry_run, resume, train
from fastslow.run.trainer import FastSlowTrainer
from tests.loop.test_collective import run as launch
from tests.support.runs import tiny_settings
from tests.support.served import TOKENIZER, prepared, serving
from tests.support.tiny import save_tiny, tiny_model
from tests.support.watch import LastBatch


def config(folder: Path, servers: list[Any], name: str = "run", **overrides: Any) -> FastSlowConfig:
    urls = [server.url for server in servers]
    settings = tiny_settings(folder, output_dir=str(folder / name), learning_rate=1e-3, **overrides)
    engine: dict[str, Any] = {"engine": "vllm", "engine_urls": urls} if servers else {}
    return FastSlowConfig(**settings, **engine)


def run(config: FastSlowConfig) -> dict[str, Any]:
    return train(config, display=SilentDisplay())


def rows(folder: Path, name: str = "rollouts.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


def rollouts(folder: Path) -> list[tuple[Any, ...]]:
    keys = ("step", "example_id", "context_id", "completion", "reward")
    return [tuple(row[key] for key in keys) for row in rows(folder)]


@pytest.mark.parametrize("reuse", [True, False])
def test_a_run_on_servers_makes_the_rollouts_that_a_run_in_one_process_makes(tmp_path, reuse: bool) -> None:
    shared = {"max_steps": 3, "reuse_fast_rollouts": reuse, "logged_groups": 3}
    run(config(tmp_path, [], "here", **shared))
    with serving(tmp_path / "served", 2) as servers:
        summary = run(config(tmp_path, servers, "there", **shared))
    assert rollouts(tmp_path / "there") == rollouts(tmp_path / "here"), "the servers draw as PrefixSampler does"
    assert summary["engine"]["engine"] == "vllm"
    assert 0 < summary["engine"]["largest_gap"] < 1e-4
    steps = [row for row in rows(tmp_path / "there", "metrics.jsonl") if "fst/engine_gap" in row]
    assert len(steps) == 3
    assert not [row for row in rows(tmp_path / "here", "metrics.jsonl") if "fst/engine_gap" in row]
    if reuse:
        assert sum(row["fst/reused_rollouts"] for row in steps) > 0, "cached rows are counted, and not compared"


@pytest.mark.processes
def test_two_processes_share_the_servers_and_find_what_one_finds(tmp_path) -> None:
    with serving(tmp_path / "served", 2) as servers:
        shared = {"engine": "vllm", "engine_urls": [server.url for server in servers]}
        settings = tiny_settings(tmp_path, max_steps=2, problems_per_step=4, optim="sgd", learning_rate=1.0, **shared)
        (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(settings))
        launch(tmp_path, "one", 1)
        asked = [len(server.asked) for server in servers]
        shares = launch(tmp_path, "two", 2)
    assert rollouts(tmp_path / "two") == rollouts(tmp_path / "one")
    # Each process has a server of its own, which answers what the process was dealt.
    assert [len(server.asked) - before for server, before in zip(servers, asked, strict=True)] == shares
    assert json.loads((tmp_path / "two" / "summary.json").read_text())["engine"]["largest_gap"] < 1e-4


def test_every_ratio_is_to_the_server_that_sampled(tmp_path) -> None:
    with serving(tmp_path / "served") as servers:
        trainer = FastSlowTrainer(config(tmp_path, servers, mode="rl", reuse_fast_rollouts=False))
        seen = LastBatch(trainer)
        trainer.train()
        trainer.policy.close()
    assert seen.batch.off_policy


def test_adapters_train_on_servers_too(tmp_path) -> None:
    with serving(tmp_path / "served") as servers:
        summary = run(config(tmp_path, servers, lora_r=2, engine_sync="lora", mode="rl"))
    assert summary["status"] == "done"
    assert summary["engine"]["largest_gap"] < 1e-4


def test_a_server_killed_in_a_step_ends_the_run_in_one_line_and_a_resumed_one_makes_the_same_rollouts(tmp_path) -> None:
    shared = {"max_steps": 3, "save_steps": 1, "save_time_share": 1.0, "logged_groups": 3, "mode": "rl"}
    with serving(tmp_path / "served") as servers:
        run(config(tmp_path, servers, "whole", **shared))
    with serving(tmp_path / "served") as [server]:
        broken = config(tmp_path, [server], "broken", **shared)

        def crash(count: int) -> None:
            if server.label.endswith("-3"):  # pushed to before steps 0, 1 and 2
                server.crash()

        server.on_completion = crash
        with pytest.raises(FastSlowError, match=f"{server.url} cannot be reached") as ended:
            run(broken)
        assert not isinstance(ended.value, BadInput), "exit code 1"
        assert f"go on with: fastslow resume {tmp_path / 'broken'}" in str(ended.value)
        assert "\n" not in str(ended.value)
        port = int(server.url.rpartition(":")[2])
    with serving(tmp_path / "served", port=port):
        resume(tmp_path / "broken", display=SilentDisplay())
    assert rollouts(tmp_path / "broken") == rollouts(tmp_path / "whole")


def test_a_run_goes_on_at_servers_elsewhere(tmp_path) -> None:
    with serving(tmp_path / "served") as servers:
        first = config(tmp_path, servers, max_steps=2, mode="rl", save_steps=1, save_time_share=1.0)
        run(first)
    (tmp_path / "run" / "summary.json").unlink()
    with serving(tmp_path / "served") as [server], pytest.raises(BadInput, match="cannot be reached"):
        resume(tmp_path / "run", display=SilentDisplay())
    with serving(tmp_path / "served") as [server]:
        assert resume(tmp_path / "run", engine_urls=[server.url], display=SilentDisplay())["status"] == "done"


@pytest.mark.parametrize("fault", ["no_reset", "tied", "stale"])
def test_a_server_that_keeps_something_old_ends_the_run_before_it_trains_on_it(tmp_path, fault: str) -> None:
    long = "Add the numbers, and give nothing but their sum. " * 4  # the cache holds whole blocks of a context
    with serving(tmp_path / "served", faults=(fault,)) as servers:
        broken = config(tmp_path, servers, mode="rl", max_steps=3, seed_instruction=long)
        broken.learning_rate = 1e-2
        with pytest.raises(FastSlowError, match=r"engine_gap allows 0\.001"):
            run(broken)


def test_the_run_directory_is_not_made_where_no_server_answers(tmp_path, capsys) -> None:
    with serving(tmp_path / "served") as servers:
        refused = config(tmp_path, servers)
    with pytest.raises(BadInput, match="cannot be reached"):
        run(refused)
    assert not (tmp_path / "run").exists()


def test_doctor_says_before_a_run_what_samples_and_what_is_refused(tmp_path) -> None:
    with serving(tmp_path / "served") as servers:
        checked = config(tmp_path, servers)
        assert any(f"sampled by vllm 0.32.0-fake at {servers[0].url}" in line for line in dry_run(checked))
        assert not servers[0].pushes, "nothing is sent by a check"
    with pytest.raises(BadInput, match="cannot be reached"):
        dry_run(checked)


def test_a_folder_is_prepared_by_command_once(tmp_path, capsys) -> None:
    model = str(save_tiny(tmp_path / "model"))
    assert main(["engine", "prepare", "--model", model, "--output", str(tmp_path / "served")]) == 0
    told = capsys.readouterr().out
    assert f"vllm serve {tmp_path / 'served'}" in told
    with serving(tmp_path / "served") as servers:
        assert dry_run(config(tmp_path, servers))[-1] == "The run can begin."
    assert main(["engine", "prepare", "--model", model, "--output", str(tmp_path / "served")]) == 2
    assert "is not an empty folder" in capsys.readouterr().err


def test_the_prepared_model_is_the_model_with_its_head_apart(tmp_path) -> None:
    folder = prepared(tmp_path / "served")
    loaded: Any = load_model(ModelSource("served", str(folder)))
    assert loaded.lm_head.weight.data_ptr() != loaded.model.embed_tokens.weight.data_ptr()
    own = tiny_model(TOKENIZER).state_dict()
    assert all((loaded.state_dict()[name] == weight).all() for name, weight in own.items())
