"""A gate asks what nobody trained or selected on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fastslow.core.errors import BadInput
from fastslow.gate.questions import Questions, choose_questions

SIZES = {"train_size": None, "validation_size": 6, "test_size": 5, "data_seed": 0}
GENERATOR = "reasoning_gym:chain_sum"


def write(path: Path, numbers: range) -> str:
    rows = [json.dumps({"question": f"What is {i} + 1?", "answer": str(i + 1)}) for i in numbers]
    path.write_text("\n".join(rows))
    return f"jsonl:{path}"


def choose(name: str, most: int = 20, seed: int = 0, bundles: tuple[dict[str, Any], ...] = ()) -> Questions:
    return choose_questions(name, most, seed, bundles, trusted=lambda task: False)


def run_of(*tasks: str) -> dict[str, Any]:
    return {"task": tasks[0], "tasks": list(tasks), **SIZES}


def test_a_generator_is_asked_for_other_questions_by_every_gate() -> None:
    first, again, second = choose(GENERATOR, seed=1), choose(GENERATOR, seed=1), choose(GENERATOR, seed=2)
    assert first.seed is not None
    assert first.digest == again.digest != second.digest
    assert (len(first.examples), first.all) == (20, False)
    assert not {e.question for e in first.examples} & {e.question for e in second.examples}


def test_a_file_that_no_run_had_is_asked_as_a_whole(tmp_path: Path) -> None:
    chosen = choose(write(tmp_path / "gate.jsonl", range(12)), bundles=(run_of(GENERATOR),))
    assert (chosen.seed, len(chosen.examples), chosen.all) == (None, 12, True)


def test_of_a_file_that_a_run_had_only_its_test_split_is_asked(tmp_path: Path) -> None:
    name = write(tmp_path / "task.jsonl", range(40))
    chosen = choose(name, bundles=(run_of(name),))
    assert len(chosen.examples) == SIZES["test_size"]
    assert {e.split for e in chosen.examples} == {"test"}


def test_questions_that_stand_in_a_file_of_training_as_well_are_left_out(tmp_path: Path) -> None:
    trained = write(tmp_path / "trained.jsonl", range(40))
    chosen = choose(write(tmp_path / "gate.jsonl", range(30, 50)), bundles=(run_of(trained),))
    assert chosen.left_out >= 5
    assert len(chosen.examples) + chosen.left_out == 20
    assert {f"What is {i} + 1?" for i in range(40, 50)} <= {e.question for e in chosen.examples}


def test_a_file_of_training_questions_alone_is_refused(tmp_path: Path) -> None:
    trained = write(tmp_path / "trained.jsonl", range(40))
    run = {**run_of(trained), "test_size": 0}
    with pytest.raises(BadInput, match="no question left"):
        choose(write(tmp_path / "gate.jsonl", range(20)), bundles=(run,))


def test_code_that_a_bundle_names_is_not_run_to_find_its_questions(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="trust_task"):
        choose(write(tmp_path / "gate.jsonl", range(12)), bundles=(run_of("os.path:join"),))
