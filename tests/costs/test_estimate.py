"""The whole estimate: it must move the right way, and hold what its own parts say."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fastslow.core.errors import BadInput
from fastslow.costs.estimate import Placement
from fastslow.costs.machines import parse_machines
from fastslow.costs.memory import RUNTIME
from fastslow.costs.table import lines_of, notes_of, summary_of
from fastslow.costs.work import Range
from tests.costs.given import estimate, qwen


def test_every_number_has_a_formula_and_a_source() -> None:
    lines = lines_of(estimate())
    assert len({(line.part, line.name) for line in lines}) == len(lines)
    assert not [line for line in lines if not line.formula or not line.source]
    parts = dict.fromkeys(line.part for line in lines)
    assert list(parts) == ["model", "memory of each GPU", "tokens of a step", "seconds", "disk", "money"]


def test_low_is_never_above_typical_and_typical_never_above_high() -> None:
    for line in lines_of(estimate()):
        rises = list(line.value) == sorted(line.value)
        assert rises or line.name in ("rows at once", "reused"), line


def test_parts_of_the_memory_add_up_to_what_is_said_in_all() -> None:
    lines = [line for line in lines_of(estimate()) if line.part == "memory of each GPU"]
    parts = [line.value.typical for line in lines if line.name not in ("in all", "rows at once")]
    total = next(line.value.typical for line in lines if line.name == "in all")
    assert sum(parts) == pytest.approx(total)


def test_the_estimate_reproduces_the_numbers_that_were_worked_out_by_hand() -> None:
    """Qwen3-8B on eight GPUs: 16.4 GB of weights, gradients and moments, 4.1 GB of base, checkpoints of 98 GB."""
    made = estimate()
    memory = made.training_memory
    states = sum(memory[name].typical for name in ("weights", "gradients", "optimiser"))
    assert states / 1e9 == pytest.approx(16.4, abs=0.05)
    assert memory["base for the KL"].typical / 1e9 == pytest.approx(4.1, abs=0.05)
    assert made.server_weights / 1e9 == pytest.approx(16.4, abs=0.05)
    assert made.disk.checkpoint / 1e9 == pytest.approx(98.3, abs=0.05)
    # One row that runs to 8,192 tokens takes about 70 s, whatever the batch.
    assert made.tail(1) == pytest.approx(67, abs=5)


def test_whole_copies_of_8b_do_not_fit_one_gpu_and_1_7b_do() -> None:
    assert not estimate("1xH100").fits
    assert any("TOO SMALL" in note for note in notes_of(estimate("1xH100")))
    assert estimate("1xH100", qwen("Qwen/Qwen3-1.7B")).fits
    assert estimate("8xH100").fits


def test_twice_the_gpus_take_less_time_but_not_less_than_the_longest_answer() -> None:
    eight, sixteen = estimate("8xH100"), estimate("2x8xH100")
    assert sixteen.training(1) == pytest.approx(eight.training(1) / 2)
    assert sixteen.generation(1) >= sixteen.tail(1)
    assert sixteen.run(1) < eight.run(1)


def test_reused_rollouts_cheapen_a_step_and_idle_rows_are_not_trained_on() -> None:
    longest: dict[str, Any] = {"longest": 3000}  # so that the tail does not hide the throughput
    without = estimate(reused=Range(0, 0, 0), **longest)
    assert estimate(reused=Range.exactly(0.5), **longest).step_throughput(1) < 0.8 * without.step_throughput(1)
    assert estimate(live=Range.exactly(0.5)).training(1) == pytest.approx(
        estimate(live=Range.exactly(1)).training(1) / 2
    )


def test_several_updates_from_one_batch_train_as_often() -> None:
    once, thrice = estimate(), estimate(updates=3)
    assert thrice.training(1) == pytest.approx(3 * once.training(1))
    assert thrice.generation(1) == once.generation(1)


def test_gpus_set_apart_for_servers_have_a_table_of_their_own() -> None:
    made = estimate("8xH100", servers=2)
    assert (made.place.trainers, made.place.servers, made.place.shared) == (6, 2, False)
    parts = {line.part for line in lines_of(made)}
    assert {"memory of a training GPU", "memory of a serving GPU"} <= parts
    assert made.room(1) > estimate("8xH100").room(1)


@pytest.mark.parametrize(("processes", "servers"), [(None, 8), (7, 2), (9, 0)])
def test_more_processes_than_gpus_are_refused(processes: int | None, servers: int) -> None:
    with pytest.raises(BadInput, match="8xH100"):
        Placement.of(parse_machines("8xH100"), processes=processes, servers=servers)


def test_generation_in_the_trainer_is_called_outside_the_model() -> None:
    made = estimate(engine="transformers")
    assert any("outside the model" in note for note in notes_of(made))


def test_the_budget_bounds_what_the_reflection_lm_costs_and_unknown_prices_are_said() -> None:
    asked = {"reply": 4096, "reply_prices": (2.0, 8.0)}
    assert estimate(**asked, reply_budget=10.0).reflection(2) == 10.0
    free = estimate(**asked)
    assert free.reflection(1) == pytest.approx(free.replies * (6000 * 2 + 4096 * 8) / 1e6)
    assert any("not in the table" in note for note in notes_of(estimate(reply=4096)))


def test_without_contexts_there_is_no_fast_phase_and_without_weights_no_training() -> None:
    rl, prompt = estimate(phases=0, contexts=1), estimate(trains=False)
    assert rl.fast_phase(1) == 0
    assert prompt.training(1) == prompt.transport(1) == 0
    assert prompt.run(1) < estimate().run(1)
    assert "one fast phase" not in {line.name for line in lines_of(rl)}


def test_the_table_is_plain_data() -> None:
    rows = json.loads(json.dumps([line.to_json() for line in lines_of(estimate())]))
    parameters = next(row for row in rows if row["name"] == "parameters")
    assert parameters["value"] == dict.fromkeys(("low", "typical", "high"), 8_190_735_360)


def test_the_first_line_says_whether_it_fits_how_long_it_takes_and_what_it_costs() -> None:
    made = estimate()
    hours, paid = (
        line.value for line in lines_of(made) if line.name == "the run" or (line.part, line.name) == ("money", "in all")
    )
    assert summary_of(made).startswith(f"It fits. The run takes some {hours.typical:,.1f} h")
    assert f"${paid.typical:,.0f} (${paid.low:,.0f} to ${paid.high:,.0f})" in summary_of(made)
    assert summary_of(estimate("1xH100")).startswith("It does NOT fit.")


def test_servers_beside_training_are_given_the_memory_that_training_leaves() -> None:
    made = estimate()
    (note,) = (note for note in notes_of(made) if "--gpu-memory-utilization" in note)
    share = float(note.partition("--gpu-memory-utilization ")[2].split()[0])
    left = made.gpu.memory - max(map(made.trains_in, range(3))) - RUNTIME
    assert 0 < share * made.gpu.memory <= left
    assert "--max-model-len 11192" in note, "the longest prompt and the longest answer"
    assert not [note for note in notes_of(estimate("16xH100", servers=8)) if "--gpu-memory" in note]
