"""What transformers, accelerate, TRL or a tracker would refuse late is refused before anything is written."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from accelerate.state import AcceleratorState
from transformers import trainer_optimizer
from transformers.integrations.deepspeed import unset_hf_deepspeed_config
from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

from fastslow.cli.main import main
from fastslow.config.settings import FastSlowConfig, foreign_settings
from fastslow.core.errors import BadInput
from fastslow.run import train as running
from fastslow.run.preflight import refusals
from fastslow.slow.rehearsal import TRACKERS, check_trackers
from tests.cli.test_cli import recipe
from tests.support.runs import tiny_trainer
from tests.support.zoo import save_zoo


@pytest.fixture(autouse=True)
def a_process_of_its_own() -> Iterator[None]:
    """accelerate keeps the precision of the first trainer of a process, transformers a half-made configuration of
    deepspeed; a command is a process."""
    AcceleratorState._reset_state(True)
    yield
    AcceleratorState._reset_state(True)
    unset_hf_deepspeed_config()


LATE: list[tuple[dict[str, Any], str]] = [
    ({"report_to": "wandb"}, "wandb"),
    ({"report_to": "mlflow"}, "mlflow"),
    ({"report_to": "tensorboard,comet_ml"}, "comet"),
    ({"report_to": "nothing_like_it"}, "nothing_like_it"),
    ({"optim": "adamw_8bit"}, "bitsandbytes"),
    ({"optim": "paged_lion_8bit"}, "bitsandbytes"),
    ({"optim": "galore_adamw", "optim_target_modules": ["attn"]}, "galore"),
    ({"optim": "apollo_adamw", "optim_target_modules": "all-linear"}, "apollo"),
    ({"optim": "adamw_torch_8bit"}, "torchao"),
    ({"optim": "adamw_anyprecision"}, "torchdistx"),
    ({"optim": "schedule_free_adamw"}, "schedulefree"),
    ({"optim": "lomo"}, "lomo"),
    ({"optim_args": "x"}, "optim_args 'x'"),
    ({"optim": "sgd", "optim_args": "momentum=fast"}, "momentum=fast"),
    ({"optim": "sgd", "optim_args": "momentum=-1"}, "momentum"),
    ({"adam_beta1": 2.0}, "beta"),
    ({"use_liger_kernel": True}, "liger"),
    ({"lr_scheduler_type": "cosine_with_min_lr"}, "min_lr"),
    ({"lr_scheduler_type": "warmup_stable_decay"}, "num_decay_steps"),
    ({"lr_scheduler_type": "cosine", "lr_scheduler_kwargs": {"num_cycles": "many"}}, "num_cycles"),
    ({"lr_scheduler_type": "cosine", "lr_scheduler_kwargs": {"cycles": 1}}, "cycles"),
    ({"lr_scheduler_type": "linear", "lr_scheduler_kwargs": {"power": 2}}, "power"),
    ({"lr_scheduler_type": "polynomial", "lr_scheduler_kwargs": {"lr_end": 1.0}}, "lr_end"),
    ({"lr_scheduler_type": "reduce_lr_on_plateau"}, "metric_for_best_model"),
    ({"metric_for_best_model": "loss"}, "metric_for_best_model"),
    ({"importance_sampling_level": "word"}, "importance_sampling_level"),
    ({"scale_rewards": "sometimes"}, "scale_rewards"),
    ({"log_level": "loud"}, "loud"),
    ({"accelerator_config": {"dispatch_batches": "x"}}, "accelerator_config"),
    ({"accelerator_config": {"gradient_accumulation_kwargs": {"nothing": 1}}}, "nothing"),
    ({"dataloader_num_workers": -1}, "num_workers"),
    ({"sync_ref_model": True, "ref_model_sync_steps": 0}, "ref_model_sync_steps must be at least 1"),
    ({"fsdp": "full_shard"}, "FSDP2 was asked for"),
]


@pytest.mark.parametrize(("settings", "names"), LATE, ids=[json.dumps(settings) for settings, _ in LATE])
def test_what_a_library_refuses_late_is_refused_in_one_line_at_once(settings: dict[str, Any], names: str) -> None:
    with pytest.raises(BadInput) as refused:
        refusals(FastSlowConfig(bf16=False, **settings))
    assert names in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", INTEGRATION_TO_CALLBACK)
def test_a_tracker_that_is_not_installed_is_named_with_the_command_that_mends_it(name: str, monkeypatch: Any) -> None:
    module, package = TRACKERS[name]
    if name == "kubeflow":  # comes with transformers, and wants a variable
        said = "the tracker 'kubeflow' cannot be used: .*KUBEFLOW_TRAINER_SERVER_URL"
    else:
        said = f"the tracker '{name}' is not installed; pip install {package}, or leave it out"

        def missing() -> None:
            raise RuntimeError(f"{name} requires {module} to be installed")

        monkeypatch.setitem(INTEGRATION_TO_CALLBACK, name, missing)
        monkeypatch.setattr("importlib.util.find_spec", lambda asked: None)
    with pytest.raises(BadInput, match=f"^report_to: {said}"):
        check_trackers([name])


EARLY: list[tuple[dict[str, Any], str]] = [
    ({"accelerator_config": "nowhere.json"}, "nowhere.json"),
    ({"accelerator_config": {"nothing": 1}}, "nothing"),
    ({"deepspeed": "nowhere.json"}, "deepspeed"),
    ({"tf32": True}, "tf32"),
    ({"optim": "nothing_like_it"}, "nothing_like_it"),
    ({"push_to_hub": True}, "push_to_hub"),
    ({"use_vllm": True}, "use_vllm"),
    ({"parallelism_config": {"tp_size": 2}}, "parallelism_config"),
    ({"adam_epsilon": "small"}, "adam_epsilon must be a number"),
    ({"full_determinism": 1}, "full_determinism must be true or false"),
    ({"reward_weights": ["a"]}, "reward_weights must be a list of numbers"),
]


@pytest.mark.parametrize(("settings", "names"), EARLY, ids=[json.dumps(settings) for settings, _ in EARLY])
def test_what_a_library_refuses_of_the_settings_alone_is_one_line(settings: dict[str, Any], names: str) -> None:
    with pytest.raises(BadInput) as refused:
        FastSlowConfig(bf16=False, **settings)
    assert names in str(refused.value)
    assert "\n" not in str(refused.value)


def test_an_optimiser_that_steps_in_the_backward_pass_is_refused(monkeypatch) -> None:
    name = "galore_adamw_layerwise"  # its package is not here: transformers' own layers around a plain optimiser

    def handler(context: Any) -> Any:
        return trainer_optimizer._setup_low_rank_optimizer(
            context.args, context.model, name, {name: torch.optim.SGD}, {}, context.optimizer_kwargs
        )

    monkeypatch.setitem(trainer_optimizer._OPTIMIZER_HANDLERS, name, handler)
    with pytest.raises(BadInput, match=f"optim '{name}' steps within the backward pass"):
        refusals(FastSlowConfig(bf16=False, optim=name, optim_target_modules="all-linear"))


@pytest.mark.parametrize(
    "settings",
    [
        {"optim": "sgd", "optim_args": "momentum=0.9"},
        {"optim": "adafactor"},
        {"lr_scheduler_type": "cosine", "max_steps": 1_000_000},
        {"lr_scheduler_type": "reduce_lr_on_plateau", "metric_for_best_model": "lead_accuracy"},
        {"sync_ref_model": True},
        {"lora_r": 2, "weight_decay": 0.1},
        {"mode": "rl", "metric_for_best_model": "eval_seed_accuracy"},
    ],
    ids=json.dumps,
)
def test_what_the_libraries_take_is_taken(settings: dict[str, Any]) -> None:
    config = FastSlowConfig(bf16=False, **settings)
    assert foreign_settings(config)
    refusals(config)


def test_settings_that_are_ours_need_no_rehearsal() -> None:
    assert foreign_settings(FastSlowConfig(bf16=False, mode="rl", beta=0.5, top_p=0.9, eval_strategy="no")) == []


def test_a_rehearsal_changes_no_random_numbers_and_leaves_no_file(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def drawn() -> list[float]:
        return [random.random(), float(numpy.random.rand()), float(torch.rand(()))]

    for seed in (random.seed, numpy.random.seed, torch.manual_seed):
        seed(3)
    expected = drawn()
    for seed in (random.seed, numpy.random.seed, torch.manual_seed):
        seed(3)
    refusals(FastSlowConfig(bf16=False, optim="sgd"))
    assert drawn() == expected
    assert list(tmp_path.iterdir()) == []


def test_nowhere_for_temporary_files_is_one_line(monkeypatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/nowhere/at/all")
    with pytest.raises(BadInput, match="set TMPDIR"):
        refusals(FastSlowConfig(bf16=False, optim="sgd"))


@pytest.mark.parametrize("command", ["train", "doctor"])
def test_train_and_doctor_refuse_alike_and_write_nothing(tmp_path: Path, capsys, command: str) -> None:
    folder = tmp_path / "deep" / "down"
    argv = [command, "--config", recipe(tmp_path, output_dir=str(folder)), "--optim", "adamw_8bit"]
    assert main(argv) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith(f"fastslow {command}: ")]
    assert len(lines) == 1
    assert "optim 'adamw_8bit' cannot be trained with" in lines[0]
    assert "bitsandbytes" in lines[0]
    assert not (tmp_path / "deep").exists()


def test_a_refusal_by_the_trainer_itself_leaves_no_folders(tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(running, "refusals", lambda config: None)  # as on several processes, which do not rehearse
    folder = tmp_path / "deep" / "down"
    assert main(["train", "--config", recipe(tmp_path, output_dir=str(folder)), "--report_to", "wandb"]) == 2
    assert "WandbCallback requires wandb" in capsys.readouterr().err
    assert not (tmp_path / "deep").exists()


def test_a_refusal_after_the_libraries_have_made_their_folder_removes_it(tmp_path: Path, capsys) -> None:
    folder = tmp_path / "deep" / "down"
    model = save_zoo("rwkv", tmp_path / "rwkv")
    flags = ["--model", str(model), "--packing", "on"]
    assert main(["train", "--config", recipe(tmp_path, output_dir=str(folder)), *flags]) == 2
    assert "packing=on, but" in capsys.readouterr().err
    assert not (tmp_path / "deep").exists()


def test_resume_refuses_what_is_missing_on_its_machine(tmp_path: Path, capsys) -> None:
    assert main(["train", "--config", recipe(tmp_path, max_minutes=1e-9)]) == 0
    config = tmp_path / "run" / "config.yaml"
    config.write_text(config.read_text().replace("report_to: []", "report_to: [wandb]"))
    before = sorted((tmp_path / "run").rglob("*"))
    capsys.readouterr()
    assert main(["resume", str(tmp_path / "run"), "--checkpoint", "none"]) == 2
    assert "report_to: the tracker 'wandb' is not installed; pip install wandb" in capsys.readouterr().err
    assert sorted((tmp_path / "run").rglob("*")) == before


def test_a_trainer_without_a_run_directory_leaves_no_folder_and_an_empty_one_of_the_users(tmp_path: Path) -> None:
    tiny_trainer(tmp_path, mode="rl", output_dir=str(tmp_path / "new" / "run"))
    assert not (tmp_path / "new").exists()
    (tmp_path / "mine").mkdir()
    tiny_trainer(tmp_path, mode="rl", output_dir=str(tmp_path / "mine"))
    assert (tmp_path / "mine").is_dir()
