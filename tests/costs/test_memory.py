"""Memory by part: exact where it can be, and against torch's own sharding."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from fastslow.costs.memory import Training, passing, standing
from fastslow.costs.shape import shape_of, sharded
from tests.costs.given import qwen
from tests.support.nursery import Nursery
from tests.support.tiny import tiny_model, tiny_tokenizer

WHOLE = Training(1, 1, trains=True, moments=2, references=1)
EIGHTH = Training(8, 8, trains=True, moments=2, references=1)


def test_whole_copies_of_qwen3_8b_take_16_bytes_a_parameter_and_4_for_the_base() -> None:
    parts, shape = standing(qwen(), WHOLE), qwen()
    assert parts["base for the KL"] == 4 * shape.every
    assert sum(parts.values()) == 20 * shape.every


def test_eight_processes_hold_an_eighth_each() -> None:
    shape = qwen()
    assert sum(standing(shape, EIGHTH).values()) == pytest.approx(20 * shape.every / 8, rel=1e-3)


def test_zero_2_shares_gradients_and_optimiser_and_keeps_whole_weights() -> None:
    parts, shape = standing(qwen(), Training(1, 8, trains=True, moments=2, references=1)), qwen()
    assert parts["weights"] == 4 * shape.every
    assert parts["optimiser"] == pytest.approx(8 * shape.every / 8, rel=1e-3)


def test_adapters_leave_no_gradients_of_the_weights_and_no_second_base() -> None:
    shape = qwen(lora_r=16)
    parts = standing(shape, replace(WHOLE, references=0))
    assert parts["gradients"] == 4 * shape.trained
    assert parts["base for the KL"] == 0


def test_without_a_slow_channel_only_weights_stand() -> None:
    parts = standing(qwen(), Training(1, 1, trains=False, moments=0, references=1))
    assert parts["gradients"] == parts["optimiser"] == 0


def test_checkpointing_keeps_the_inputs_of_layers_and_one_layer() -> None:
    shape = qwen()
    kept = passing(shape, Training(8, 8, True, 2, 1, checkpointing=True), 1000)["activations"]
    all_kept = passing(shape, EIGHTH, 1000)["activations"]
    inputs = 1000 * 2 * 4096 * 36
    assert inputs < kept < all_kept / 8
    assert passing(shape, EIGHTH, 2000)["activations"] == 2 * all_kept


@pytest.mark.parametrize(("shape", "processes", "elements"), [((259, 64), 2, 130 * 64), ((3, 5), 8, 5), ((8,), 4, 2)])
def test_a_parameter_is_cut_along_its_first_dimension_and_padded(shape: tuple, processes: int, elements: int) -> None:
    assert sharded((shape,), processes) == elements


@pytest.mark.processes
def test_local_shards_of_a_tiny_model_are_those_of_torchs_fully_shard(tmp_path: Path) -> None:
    """Two gloo processes wrap a tiny Llama as accelerate does, layer by layer and then the root."""
    with Nursery(tmp_path) as nursery:
        codes = nursery.call("tests.costs.shards", "held_by", str(tmp_path))
    assert codes == [0, 0], nursery.log()[-2000:]
    measured = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2)]
    predicted = 4 * sharded(shape_of(tiny_model(tiny_tokenizer())).shapes, 2)
    assert all(rank["sharded"] for rank in measured), "the model was not sharded: this would test DDP"
    assert predicted == pytest.approx(max(rank["bytes"] for rank in measured), rel=0.02)
    assert predicted == pytest.approx(max(rank["held"] for rank in measured), rel=0.02)
