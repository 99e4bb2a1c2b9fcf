"""What a run needs is compared with what there is before anything is written."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from fastslow.cli.main import main
from fastslow.config.settings import FastSlowConfig
from fastslow.core import machine as memory
from fastslow.core.errors import BadInput, FastSlowError
from fastslow.core.machine import is_out_of_memory, memory_of
from fastslow.costs.shape import shape_of
from fastslow.files.sealed import Checkpoints
from fastslow.policy.loading import load_model, resolve_model
from fastslow.record.display import SilentDisplay
from fastslow.run import preflight
from fastslow.run.costing import disk_needs, without_weights
from fastslow.run.preflight import gigabytes, needs_of
from fastslow.run.train import resume, train
from tests.files.test_background import Notes
from tests.support.nursery import ROOT
from tests.support.runs import stream_settings, tiny_settings, tiny_trainer


def settings(folder: Path, **overrides: Any) -> FastSlowConfig:
    return FastSlowConfig(**tiny_settings(folder, **{"mode": "rl", "max_steps": 4, **overrides}))


@pytest.mark.parametrize("lora", [0, 2])
def test_parameters_are_counted_without_loading_them_as_the_trainer_has_them(tmp_path: Path, lora: int) -> None:
    config = settings(tmp_path, lora_r=lora)
    shape = shape_of(without_weights(config), lora_r=lora)
    every, trained = shape.every, shape.trained
    model = tiny_trainer(tmp_path, mode="rl", lora_r=lora).model
    counts = [(p.numel(), p.requires_grad) for p in model.parameters()]
    assert trained == sum(n for n, trains in counts if trains)
    assert every == sum(n for n, _ in counts) - (trained if lora else 0)
    assert shape_of(load_model(resolve_model(config.model)), lora_r=lora) == shape


SHAPES: list[dict[str, Any]] = [
    {}, {"keep_last": 1}, {"keep_every": 1}, {"save_bundle": False, "keep_every": 2}, {"lora_r": 2},
    {"lora_r": 2, "adapter": "shira"},
    {"save_strategy": "no"}, {"mode": "prompt", "max_steps": 2},
]  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_disk_a_run_really_takes_at_its_fullest_is_what_was_estimated(tmp_path: Path, shape, monkeypatch) -> None:
    """Up to the small files, which are not counted."""
    most, config = [0], settings(tmp_path, **shape)

    def look(*args: Any) -> None:
        files = [path for path in (tmp_path / "run").rglob("*.safetensors") if path.exists()]
        most[0] = max(most[0], sum(path.stat().st_size for path in files))

    prune, bundle = Checkpoints.prune, "fastslow.run.closing.write_bundle"
    monkeypatch.setattr(Checkpoints, "prune", lambda *a, **k: (look(), prune(*a, **k)))
    from fastslow.run.closing import write_bundle

    monkeypatch.setattr(bundle, lambda *a, **k: (write_bundle(*a, **k), look()))
    train(config, display=SilentDisplay())
    look()
    estimated = needs_of(config).disk
    assert estimated <= most[0] <= estimated * 1.1 + 100_000


def test_a_checkpoint_of_an_adapter_that_changes_the_weights_holds_those_of_the_layers(tmp_path: Path) -> None:
    plain, moved = (needs_of(settings(tmp_path, lora_r=2, adapter=kind)).on_disk() for kind in ("shira", "jumplora"))
    assert "3 checkpoints of 0.0 MB and a bundle of 0.4 MB" in plain
    assert "3 checkpoints of 0.3 MB and a bundle of 0.4 MB" in moved


def test_a_checkpoint_holds_the_adapters_of_all_stages(tmp_path: Path) -> None:
    sizes = []
    for stages in ("one", "stack"):
        config = FastSlowConfig(**stream_settings(tmp_path, mode="rl", lora_r=2, adapter_stages=stages))
        sizes.append(disk_needs(config, shape_of(without_weights(config), lora_r=2)).checkpoint)
    assert sizes[1] == 3 * sizes[0]


def free(monkeypatch: Any, size: int) -> None:
    monkeypatch.setattr(preflight.shutil, "disk_usage", lambda path: SimpleNamespace(free=size))


def test_a_disk_that_is_too_small_is_refused_before_anything_is_written(tmp_path: Path, monkeypatch) -> None:
    config = settings(tmp_path)
    needed = needs_of(config).disk
    free(monkeypatch, needed - 1)
    with pytest.raises(BadInput) as caught:
        train(config, display=SilentDisplay())
    assert "\n" not in str(caught.value)
    for part in ("of disk (3 checkpoints of 1.1 MB and a bundle of 0.4 MB)", str(tmp_path), "--keep_last 1"):
        assert part in str(caught.value)
    assert not (tmp_path / "run").exists()
    free(monkeypatch, needed)
    assert train(settings(tmp_path), display=SilentDisplay())["status"] == "done"


def given(monkeypatch: Any, free: int, total: int) -> None:
    monkeypatch.setattr(preflight, "memory_of", lambda device: (free, total))


def test_memory_that_is_not_there_is_refused_and_memory_that_is_taken_is_said(tmp_path: Path, monkeypatch) -> None:
    config = settings(tmp_path, max_steps=1, mode="fst", router="variance", num_generations=2)
    needed = sum(needs_of(config).memory.values())
    given(monkeypatch, 0, needed - 1)
    with pytest.raises(BadInput, match=r"needs at least 1\.8 MB of memory \(weights .*, optimiser .*--lora_r 16"):
        train(config, display=SilentDisplay())
    assert not (tmp_path / "run").exists()
    given(monkeypatch, needed - 1, needed)
    notes = Notes()
    assert train(config, display=notes)["status"] == "done"
    assert any(note.startswith("warning: router 'variance' cannot tell text from luck") for note in notes.notes)
    assert [
        note for note in notes.notes if note.startswith("warning: memory may run out: this run needs at least 1.8 MB")
    ]
    given(monkeypatch, needed, needed)
    assert preflight.preflight(config) is None
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    with pytest.raises(BadInput, match="2 times"):
        preflight.preflight(config)


def test_memory_is_what_the_system_its_group_and_the_limit_of_the_process_leave(tmp_path: Path, monkeypatch) -> None:
    cpu = torch.device("cpu")
    (tmp_path / "meminfo").write_text("MemTotal: 1000 kB\nMemAvailable: 600 kB\nSwapTotal: 500 kB\n")
    monkeypatch.setattr(memory, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    monkeypatch.setattr(memory.resource, "getrlimit", lambda which: (resource.RLIM_INFINITY,) * 2)
    assert memory_of(cpu) == (600 * 1024, 1500 * 1024)
    (tmp_path / "memory.max").write_text("400000\n")
    (tmp_path / "memory.current").write_text("300000\n")
    assert memory_of(cpu) == (100_000, 400_000)
    (tmp_path / "memory.max").write_text("max\n")
    monkeypatch.setattr(memory.resource, "getrlimit", lambda which: (200_000, 200_000))
    assert memory_of(cpu) == (200_000, 200_000)


def test_doctor_shows_what_a_recipe_needs_and_says_no_where_train_would(tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")  # words of a narrow table are broken
    (tmp_path / "recipe.yaml").write_text(json.dumps(tiny_settings(tmp_path, mode="rl", max_steps=4)))
    assert main(["doctor", "--config", str(tmp_path / "recipe.yaml")]) == 0
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for part in (f"{gigabytes(needs_of(settings(tmp_path)).disk)}: 3", "optimiser 0.7 MB", "ok"):
        assert part in shown
    free(monkeypatch, 1000)
    assert main(["doctor", "--config", str(tmp_path / "recipe.yaml"), "--keep_last", "1"]) == 1
    assert "train refuses" in " ".join(capsys.readouterr().out.replace("│", " ").split())


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a small file system")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)  # tensors that were read may still be mapped


def test_a_real_disk_too_small_for_a_run_is_refused_and_one_that_fills_up_loses_nothing(
    tmp_path: Path, small_disk: Path
) -> None:
    with pytest.raises(BadInput, match="make room"):
        train(settings(tmp_path, output_dir=str(small_disk / "run")), display=SilentDisplay())
    assert not list(small_disk.iterdir())
    config = settings(tmp_path, output_dir=str(small_disk / "run"), keep_last=1, save_bundle=False)
    other = small_disk / "other"

    class Filling(SilentDisplay):
        def step(self, step: int, logs: dict[str, Any]) -> None:
            if step == 2:
                other.write_bytes(bytes(1_200_000))

    with pytest.raises(FastSlowError, match=r"No space left on device\. .*checkpoint-1 is whole") as caught:
        train(config, display=Filling())
    assert "\n" not in str(caught.value)
    assert not list((small_disk / "run").glob("*.tmp"))
    other.unlink()
    assert resume(small_disk / "run", display=SilentDisplay())["status"] == "done"


ALLOCATOR = "[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8"
OUT_OF_MEMORY = [
    MemoryError(), torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), OSError(12, "no memory"),
    RuntimeError(ALLOCATOR), RuntimeError("not enough memory: you tried to allocate 8 bytes."),
    RuntimeError("std::bad_alloc"),
]  # fmt: skip


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=repr)
def test_memory_that_runs_out_in_a_step_ends_the_run_in_one_line(tmp_path: Path, monkeypatch, error) -> None:
    from fastslow.loop.groups import GroupMaker

    roll_out, config = GroupMaker.roll_out, settings(tmp_path, max_steps=3)

    def greedy(self: Any, *args: Any) -> Any:
        if self.policy.version == 2:
            raise error
        return roll_out(self, *args)

    with monkeypatch.context() as patches:
        patches.setattr(GroupMaker, "roll_out", greedy)
        with pytest.raises(FastSlowError) as caught:
            train(config, display=SilentDisplay())
    message = str(caught.value)
    assert "\n" not in message
    for part in (
        "out of memory at step 3",
        "per_device_train_batch_size (",
        "checkpoint-2 is whole",
        "fastslow resume",
    ):
        assert part in message
    assert resume(tmp_path / "run", display=SilentDisplay())["status"] == "done"


def test_other_errors_are_not_taken_for_a_lack_of_memory() -> None:
    assert not any(map(is_out_of_memory, (ValueError("out of memory"), RuntimeError("shape"), OSError(28, "full"))))


GREEDY = """
import resource, sys
from fastslow.cli.main import main
from fastslow.loop.groups import GroupMaker
import fastslow.cli.train, fastslow.run.train
real = GroupMaker.roll_out

def greedy(self, *args):
    if self.policy.version == 1:  # what a batch too large would do: ask torch for more than the process may have
        import torch
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + 2**28, resource.RLIM_INFINITY))
        self.kept = [torch.ones(2**24) for _ in range(64)]
    return real(self, *args)

GroupMaker.roll_out = greedy
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.processes
def test_a_real_process_whose_memory_runs_out_ends_with_1_in_one_line_and_goes_on(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(json.dumps(tiny_settings(tmp_path, mode="rl", max_steps=3)))
    env = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    ended = subprocess.run(
        [sys.executable, "-c", GREEDY, "train", "--config", str(tmp_path / "recipe.yaml")],
        env=env, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert ended.returncode == 1, ended.stderr[-2000:]
    assert "Traceback" not in ended.stderr
    last = ended.stderr.strip().splitlines()[-1]
    assert last.startswith("fastslow train: out of memory at step 2 (asked for 67108864 bytes)")
    assert "checkpoint-1 is whole" in last
    assert resume(tmp_path / "run", display=SilentDisplay())["status"] == "done"
