"""A gate asks what nobody trained or selected on."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from fastslow.bundles.bundle import open_task
from fastslow.core.errors import BadInput
from fastslow.core.types import Example, Split, Verdict
from fastslow.gate.met import Met
from fastslow.gate.questions import Questions, choose_questions
from fastslow.tasks.families import streamed
from fastslow.tasks.families.rows import Columns

SIZES = {"train_size": None, "validation_size": 6, "test_size": 5, "data_seed": 0}
GENERATOR = "reasoning_gym:chain_sum"


def write(path: Path, numbers: range) -> str:
    rows = [json.dumps({"question": f"What is {i} + 1?", "answer": str(i + 1)}) for i in numbers]
    path.write_text("\n".join(rows))
    return f"jsonl:{path}"


def choose(name: str, most: int = 20, seed: int = 0, bundles: tuple[dict[str, Any], ...] = ()) -> Questions:
    return choose_questions(name, most, seed, Met(bundles, trusted=lambda task: False))


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


TABLE = [f"What is entry {i} of the table?" for i in range(100)]


class Shuffled:
    """A table whose rows each seed deals out anew: a train split of two thirds, the rest for test."""

    name = "shuffled"

    def __init__(self, data_seed: int):
        rows = random.Random(data_seed).sample(TABLE, len(TABLE))
        self._splits = {"train": rows[:66], "validation": [], "test": rows[66:]}

    def split(self, name: Split) -> list[Example]:
        return [Example(row, self.name, name, ({"role": "user", "content": row},)) for row in self._splits[name]]

    def score(self, example: Example, completion: str) -> Verdict:
        return Verdict(0.0, "")

    def answer(self, example: Example) -> str | None:
        return None


def shuffled(data_seed: int) -> Shuffled:
    return Shuffled(data_seed)


def test_a_task_that_deals_out_a_table_by_its_seed_is_not_asked_what_a_run_was_trained_on() -> None:
    """Another seed gives other questions, so that it passes for a generator; the table is the same all the time."""
    name = "tests.gate.test_questions:shuffled"
    met = Met([run_of(name)], trusted=lambda task: True)
    trained = {e.question for e in Shuffled(0).split("train")}
    for seed in range(3):
        chosen = choose_questions(name, 100, seed, met)
        assert not {e.question for e in chosen.examples} & trained
        assert chosen.left_out >= 10
        assert len(chosen.examples) + chosen.left_out == 34


def test_a_generators_questions_that_stand_in_a_file_of_training_are_left_out(tmp_path: Path) -> None:
    asked = choose(GENERATOR, seed=1).examples
    lines = [json.dumps({"question": example.question, "answer": "1"}) for example in asked]
    (tmp_path / "copied.jsonl").write_text("\n".join(lines))
    run = {**run_of(f"jsonl:{tmp_path / 'copied.jsonl'}"), "validation_size": 0, "test_size": 0}
    with pytest.raises(BadInput, match="no question left"):
        choose(GENERATOR, seed=1, bundles=(run,))
    assert choose(GENERATOR, seed=2, bundles=(run,)).left_out < 20


def test_a_generator_of_ours_is_asked_though_a_file_of_training_is_gone_and_a_note_says_so(tmp_path: Path) -> None:
    """It holds its test split apart from its own training; of a file, and of a user's code, nobody knows."""
    run = run_of(f"jsonl:{tmp_path / 'gone.jsonl'}")
    met = Met([run], trusted=lambda task: True)
    assert len(choose_questions(GENERATOR, 20, 1, met).examples) == 20
    (note,) = met.notes
    assert "not every question of training could be left out" in note
    assert "gone.jsonl" in note
    for name in (write(tmp_path / "gate.jsonl", range(12)), "tests.gate.test_questions:shuffled"):
        with pytest.raises(BadInput, match=r"gone\.jsonl"):
            choose_questions(name, 20, 1, met)


def test_what_runs_were_trained_on_is_asked_for_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two bundles of one run, and a policy with several tasks."""
    opened: list[str] = []

    def spy(name: str, *rest: Any, **named: Any) -> Any:
        opened.append(name)
        return open_task(name, *rest, **named)

    monkeypatch.setattr("fastslow.gate.met.open_task", spy)
    run = run_of(write(tmp_path / "trained.jsonl", range(40)))
    met = Met([run, {**run, "steps": 7}], trusted=lambda task: False)
    assert opened == []
    for number in range(3):
        choose_questions(write(tmp_path / f"gate{number}.jsonl", range(30, 50)), 20, 0, met)
    assert opened == [run["task"]]


@pytest.mark.parametrize(("taken", "read"), [(None, 200), (0, 60), (1, 60), (61, 64), (100, 112), (10_000, 200)])
def test_of_a_stream_the_rows_that_a_run_may_have_read_are_left_out(
    taken: int | None, read: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the head, which is all that its train split shows; to the end where an older bundle does not say."""
    monkeypatch.setattr(streamed, "HEAD", 60)
    monkeypatch.setattr(streamed, "BLOCK", 16)
    file = write(tmp_path / "rows.jsonl", range(200)).partition(":")[2]
    run = {**run_of(f"hf:{file}?streaming=1"), "tasks": None, **({} if taken is None else {"questions_taken": taken})}
    gate = write(tmp_path / "gate.jsonl", range(250))
    asked = {int(e.question.split()[2]) for e in choose(gate, 400, bundles=(run,)).examples}
    assert set(range(max(read, 60), 250)) <= asked
    held_out = asked & set(range(max(read, 60)))
    assert len(held_out) <= SIZES["test_size"]


def test_a_stream_from_elsewhere_whose_run_does_not_say_how_far_it_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"question": f"What is {i} + 1?", "answer": str(i + 1)} for i in range(100)]
    far = streamed.StreamedTask("hf:far/away?streaming=1", "hf:far/away", lambda split, skip: iter(rows[skip:]),
                                columns=Columns(id="", split=""), validation_size=6, test_size=5)  # fmt: skip
    monkeypatch.setattr("fastslow.gate.met.open_task", lambda *_, **__: far)
    gate = write(tmp_path / "gate.jsonl", range(90, 120))
    with pytest.raises(BadInput, match="how far a run read the stream"):
        choose(gate, bundles=(run_of(far.name),))
    assert len(choose(gate, bundles=({**run_of(far.name), "questions_taken": 100},)).examples) >= 20


def test_code_that_a_bundle_names_is_not_run_to_find_its_questions(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="trust_task"):
        choose(write(tmp_path / "gate.jsonl", range(12)), bundles=(run_of("os.path:join"),))
