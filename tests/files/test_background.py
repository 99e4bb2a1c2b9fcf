"""Checkpoints are written beside the next step: whole before the weights move, and as they were at the step's end."""

from __future__ import annotations

import hashlib
import threading
import time
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from transformers import TrainerCallback

from fastslow.config.settings import FastSlowConfig
from fastslow.core.errors import FastSlowError
from fastslow.files import snapshot
from fastslow.files.background import Background, SavingTime
from fastslow.files.sealed import Checkpoints, verify
from fastslow.files.tensors import KINDS, write_tensors
from fastslow.record.display import SilentDisplay
from fastslow.run.checkpoints import Checkpointing
from fastslow.run.train import train
from fastslow.slow.channel import is_finite
from tests.run.test_resume import assert_same
from tests.support.runs import tiny_settings

SLOW = 0.6
"""Seconds a slow disk takes for a file: longer than a step of the tiny model."""


def run(folder: Path, callbacks: Any = (), display: Any = None, **overrides: Any) -> Path:
    shape = {"mode": "rl", "max_steps": 3, "keep_every": 1, "save_bundle": False, "output_dir": str(folder / "run")}
    config = FastSlowConfig(**tiny_settings(folder, **{**shape, **overrides}))
    train(config, display=display or SilentDisplay(), callbacks=callbacks)
    return Path(str(config.output_dir))


def slow_disk(patches: Any) -> None:
    """Nothing of a file of tensors is read before the next step has had time to end."""

    def write(*args: Any) -> Any:
        time.sleep(SLOW)
        return write_tensors(*args)

    patches.setattr(snapshot, "write_tensors", write)


def test_a_checkpoint_written_beside_the_next_step_holds_the_step_before(tmp_path: Path, monkeypatch) -> None:
    whole = run(tmp_path, output_dir=str(tmp_path / "fast"))
    slow_disk(monkeypatch)
    assert_same(whole, run(tmp_path))


def test_the_checkpoint_before_is_whole_when_the_weights_move(tmp_path: Path, monkeypatch) -> None:
    """So that a kill, whenever it comes, loses one finished step at most."""
    slow_disk(monkeypatch)
    there = []

    class Watch(TrainerCallback):
        def on_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            there.append((state.global_step, Checkpoints(tmp_path / "run").steps()[-1:]))

    run(tmp_path, [Watch()])
    assert there == [(0, []), (1, [1]), (2, [2])]


def test_training_goes_on_while_a_checkpoint_is_written(tmp_path: Path, monkeypatch) -> None:
    slow_disk(monkeypatch)
    seen = []

    class Watch(TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            seen.append("checkpoint" in {thread.name for thread in threading.enumerate()})

    run(tmp_path, [Watch()])
    assert seen == [False, True, True]
    assert not [thread for thread in threading.enumerate() if thread.name == "checkpoint"]


class Meddler(TrainerCallback):
    """Changes a weight where only the optimiser should."""

    def on_step_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        with torch.no_grad():
            next(model.parameters()).mul_(1.0)


class Notes(SilentDisplay):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def test_a_weight_that_moves_while_it_is_written_leaves_that_checkpoint_out(tmp_path: Path, monkeypatch) -> None:
    slow_disk(monkeypatch)
    notes = Notes()
    path = run(tmp_path, [Meddler()], notes, max_steps=4)
    assert Checkpoints(path).steps() == [2, 3, 4], "the first is left out; the later ones are waited for"
    assert [verify(Checkpoints(path).folder(step))["step"] for step in (2, 3, 4)] == [2, 3, 4]
    assert [note for note in notes.notes if "one checkpoint is left out" in note]


def test_an_error_in_the_middle_of_a_step_leaves_the_checkpoint_before_it_whole(tmp_path: Path, monkeypatch) -> None:
    slow_disk(monkeypatch)

    class Broken(TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == 2:
                raise FastSlowError("oops")

    with pytest.raises(FastSlowError, match="oops"):
        run(tmp_path, [Broken()])
    assert Checkpoints(tmp_path / "run").steps() == [1, 2]
    verify(tmp_path / "run" / "checkpoint-2")


def test_an_interrupt_does_not_wait_for_the_disk(tmp_path: Path, monkeypatch) -> None:
    class Interrupt(TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == 2:
                raise KeyboardInterrupt

    slow_disk(monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, [Interrupt()])
    assert Checkpoints(tmp_path / "run").steps() == [1], "the second was given up"
    assert not [thread for thread in threading.enumerate() if thread.name == "checkpoint"]


def test_a_rollback_to_the_checkpoint_being_written_waits_for_it(tmp_path: Path, monkeypatch) -> None:
    slow_disk(monkeypatch)
    rolled = []

    class Back(TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == 1:
                trainers[0].roll_back(1)
                rolled.append(1)

    trainers: list[Any] = []
    begin = Checkpointing._begin
    monkeypatch.setattr(Checkpointing, "_begin", lambda self, *a: (trainers.append(self), begin(self, *a)))
    run(tmp_path, [Back()])
    assert rolled == [1]


def test_of_a_share_of_the_time_only_waiting_counts(monkeypatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: clock[0])
    saved = SavingTime(0.1)
    assert saved.allows_another()
    for wait in (saved.taking, saved.waiting):
        with wait():
            clock[0] += 1.0
        clock[0] += 3.0  # written beside the step
    clock[0] += 14.9
    assert not saved.allows_another(), "2 s of waiting are more than a tenth of 19.9 s"
    clock[0] += 0.2
    assert saved.allows_another()
    assert SavingTime(1.0).allows_another()


def test_work_in_the_background_hands_its_error_to_whoever_waits_and_only_once() -> None:
    background = Background()
    background.start(cast(Any, lambda proceed: 1 / 0))
    with pytest.raises(ZeroDivisionError):
        background.wait()
    background.wait()


@given(st.dictionaries(st.text(max_size=8), st.tuples(st.sampled_from(list(KINDS)), st.lists(st.integers(0, 4)))))
@settings(max_examples=50, deadline=None)
def test_a_file_of_tensors_reads_back_bit_for_bit_with_the_hash_it_was_given(tmp_path_factory, kinds: Any) -> None:
    path = tmp_path_factory.mktemp("tensors") / "t.safetensors"
    kinds.pop("__metadata__", None)
    tensors = {
        name: torch.randint(0, 100, (*shape[:3], kind.itemsize), dtype=torch.uint8).view(kind).transpose(0, -1)
        if kind is not torch.bool
        else torch.ones(shape[:3], dtype=kind)
        for name, (kind, shape) in kinds.items()
    }
    written = write_tensors(path, tensors)
    content = path.read_bytes()
    assert written == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    found = load_file(path)
    assert set(found) == set(tensors)
    for name, tensor in tensors.items():
        assert (found[name].dtype, found[name].shape) == (tensor.dtype, tensor.shape)
        ours, theirs = (t.contiguous().reshape(-1).view(torch.uint8) for t in (found[name], tensor))
        assert ours.equal(theirs)


def test_a_tensor_of_a_kind_the_format_does_not_know_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FastSlowError, match=r"'x' cannot be saved: .* has no torch.complex128"):
        write_tensors(tmp_path / "t", {"x": torch.zeros(1, dtype=torch.complex128)})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_one_number_that_is_not_finite_is_found_among_many(dtype: torch.dtype, value: float) -> None:
    weight = torch.linspace(-3, 3, 1001, dtype=dtype)
    assert is_finite(weight)
    weight[500] = value
    assert not is_finite(weight)
    assert is_finite(torch.empty(0, dtype=dtype))
