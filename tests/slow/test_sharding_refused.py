"""Sharding that does not work is refused by name, before a model is loaded or anything is written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.state import AcceleratorState

from fastslow.cli.main import main
from fastslow.core.errors import BadInput
from fastslow.slow.sharding import Sharding, asked_for, refuse_sharding
from tests.support.runs import tiny_settings
from tests.support.sharding import FSDP2

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def a_process_of_its_own() -> Iterator[None]:
    AcceleratorState._reset_state(True)
    yield
    AcceleratorState._reset_state(True)


def settings(**overrides: Any) -> Any:
    usual = {"deepspeed_plugin": None, "fsdp_plugin_args": None, "optim": "adamw_torch", "fp16": False,
             "sync_ref_model": False, "lora_r": 0, "adapter": "lora", "adapter_stages": "one",
             "mode": "fst", "advantages": "group", "critic_warmup_steps": 5, "consolidation_rate": 1.0}  # fmt: skip
    return SimpleNamespace(**{**usual, **overrides})


@pytest.fixture
def launched(monkeypatch) -> Any:
    """As a launcher that shards by FSDP2 starts a process."""
    for name, value in {**FSDP2, "RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_what_is_asked_for_is_read_from_settings_and_environment(launched) -> None:
    assert asked_for(settings()) is Sharding.FSDP2
    launched.delenv("ACCELERATE_USE_FSDP")
    assert asked_for(settings()) is Sharding.NONE
    assert asked_for(settings(fsdp_plugin_args={"fsdp_version": 2})) is Sharding.FSDP2
    assert asked_for(settings(deepspeed_plugin=SimpleNamespace(zero_stage=2))) is Sharding.ZERO2


def test_steps_that_zero_would_make_too_early_are_refused(launched) -> None:
    zero = {"deepspeed_plugin": SimpleNamespace(zero_stage=2)}
    with pytest.raises(BadInput, match="set critic_warmup_steps to 0"):
        refuse_sharding(settings(**zero, advantages="critic"))
    with pytest.raises(BadInput, match="consolidation_rate would come too late"):
        refuse_sharding(settings(**zero, mode="consolidate", consolidation_rate=4.0))


@pytest.mark.parametrize("version", ["1", "two", "22", ""])
def test_another_version_of_fsdp_is_refused_by_name(launched, version: str) -> None:
    launched.setenv("FSDP_VERSION", version)
    with pytest.raises(BadInput, match=f"FSDP{version or 1} is not supported"):
        asked_for(settings())


@pytest.mark.parametrize("stage", [0, 1, 3])
def test_another_stage_of_zero_is_refused_by_name(stage: int) -> None:
    with pytest.raises(BadInput, match=f"ZeRO-{stage} is not supported: take stage 2"):
        refuse_sharding(settings(deepspeed_plugin=SimpleNamespace(zero_stage=stage)))


@pytest.mark.parametrize(
    ("environment", "args", "words"),
    [
        ({"FSDP_VERSION": "1"}, {}, "FSDP1 is not supported: set fsdp_version to 2"),
        ({}, {"fsdp_plugin_args": {"fsdp_version": 1}}, "FSDP1 is not supported"),
        ({"RANK": None}, {}, "FSDP2 was asked for, and there is one process alone"),
        ({}, {"optim": "adafactor"}, "optim 'adafactor' does not work under FSDP2"),
        ({}, {"fp16": True}, "fp16 does not work under FSDP2; take bf16"),
        ({}, {"sync_ref_model": True}, "sync_ref_model does not work under FSDP2"),
        ({}, {"lora_r": 2, "adapter": "osf"}, "adapter 'osf' does not work under FSDP2"),
        ({}, {"lora_r": 2, "adapter_stages": "stack"}, "adapter_stages 'stack' does not work under FSDP2"),
    ],
)
def test_what_sharding_cannot_do_is_refused(launched, environment: dict[str, Any], args: Any, words: str) -> None:
    for name, value in environment.items():
        launched.delenv(name) if value is None else launched.setenv(name, value)
    with pytest.raises(BadInput, match=words):
        refuse_sharding(settings(**args))


@pytest.mark.parametrize("command", ["train", "doctor"])
def test_fsdp1_is_one_line_and_leaves_nothing(launched, tmp_path: Path, capsys, command: str) -> None:
    launched.setenv("FSDP_VERSION", "1")
    config = tiny_settings(tmp_path)
    flags = [f"--{name}={config[name]}" for name in ("model", "task", "output_dir", "max_steps")]
    (tmp_path / "empty.yaml").write_text("mode: fst\n")
    assert main([command, "--config", str(tmp_path / "empty.yaml"), *flags]) == 2
    assert "FSDP1 is not supported" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_deepspeed_that_is_not_installed_is_one_line(launched) -> None:
    launched.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(BadInput, match=r"not installed: pip install '\.\[deepspeed\]'"):
        refuse_sharding(settings(deepspeed_plugin=SimpleNamespace(zero_stage=2)))


@pytest.mark.parametrize("name", ["ddp-8gpu", "fsdp2-8gpu", "fsdp2-2x8gpu", "zero2-8gpu"])
def test_the_configurations_for_accelerate_are_read_by_it_and_ask_for_what_works(name: str) -> None:
    config: Any = load_config_from_file(str(ROOT / f"recipes/accelerate/{name}.yaml"))
    kind = name.partition("-")[0]
    assert str(config.distributed_type.value) == {"ddp": "MULTI_GPU", "fsdp2": "FSDP", "zero2": "DEEPSPEED"}[kind]
    assert config.num_processes == (16 if "2x8" in name else 8)
    if kind == "fsdp2":
        given = config.fsdp_config
        assert given["fsdp_version"] == 2
        assert not given["fsdp_cpu_ram_efficient_loading"]
        assert not given["fsdp_activation_checkpointing"]
    if kind == "zero2":
        assert config.deepspeed_config["zero_stage"] == 2
