"""Data sets larger than memory: a deterministic order, any position at once, and memory that does not grow."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fastslow.core.errors import BadInput, FastSlowError
from fastslow.tasks.families import streamed
from fastslow.tasks.families.rows import Columns
from fastslow.tasks.families.streamed import StreamedTask
from fastslow.tasks.resolve import resolve_task
from fastslow.tasks.splits import identity

COLUMNS = Columns(id="", split="")


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streamed, "HEAD", 60)
    monkeypatch.setattr(streamed, "BLOCK", 16)


def rows(count: int, *, padding: str = "") -> list[dict[str, Any]]:
    return [{"question": f"What is {i} + {i}?{padding}", "answer": str(2 * i)} for i in range(count)]


class Source:
    """Rows in memory, with a note of where reading began."""

    def __init__(self, rows: list[dict[str, Any]], **others: list[dict[str, Any]]):
        self.rows, self.others, self.began = rows, others, []

    def __call__(self, split: str | None, skip: int) -> Iterator[dict[str, Any]]:
        self.began.append(skip)
        yield from (self.rows if split is None else self.others[split])[skip:]


def task(source: Any, **options: Any) -> StreamedTask:
    sizes: dict[str, Any] = {"validation_size": 8, "test_size": 4, **options}
    return StreamedTask("hf:x?streaming=1", "hf:x", source, columns=COLUMNS, **sizes)


def epoch(made: StreamedTask, count: int, *, seed: int | None = 3, start: int = 0) -> list[str]:
    return [made.at(position, seed=seed).question for position in range(start, start + count)]


def test_the_order_follows_from_seed_and_position_alone() -> None:
    one, other = task(Source(rows(100))), task(Source(rows(100)))
    whole = epoch(one, 250)
    assert [other.at(p, seed=3).question for p in (240, 7, 99, 100, 3)] == [whole[p] for p in (240, 7, 99, 100, 3)]
    assert epoch(task(Source(rows(100))), 100, seed=4) != whole[:100]


def test_an_epoch_has_every_row_but_the_held_out_and_the_next_one_is_shuffled_anew() -> None:
    made = task(Source(rows(100)))
    first, second = epoch(made, 100), epoch(made, 100, start=100)
    held_out = {e.question for split in ("validation", "test") for e in made.split(split)}
    assert len(held_out) == 12
    assert set(first) == set(second) == {row["question"] for row in rows(100)} - held_out
    assert first != second


def test_without_a_seed_rows_come_in_their_own_order() -> None:
    made = task(Source(rows(100)), validation_size=1, test_size=0)
    numbers = [made.at(position, seed=None).payload["line"] for position in range(100)]
    held_out = made.split("validation")[0].payload["line"]
    expected = [number for number in range(1, 101) if number != held_out]
    assert [n for n, before in zip(numbers, [0, *numbers], strict=False) if n != before] == expected


@pytest.mark.parametrize("seed", [None, 3])
@pytest.mark.parametrize("positions", [1, 16, 17, 64, 100, 250])
def test_the_rows_up_to_a_position_hold_every_example_before_it(seed: int | None, positions: int) -> None:
    made = task(Source(rows(96)))
    numbers = [example.payload["line"] for example in made.up_to(positions)]
    assert {made.at(p, seed=seed).payload["line"] for p in range(positions)} <= set(numbers)
    assert len(numbers) == len(set(numbers))
    assert max(numbers) <= 16 * -(-positions // 16)
    assert [e.payload["line"] for e in task(Source(rows(96))).up_to(None)] == [
        e.payload["line"] for e in task(Source(rows(96))).up_to(10_000)
    ]


def test_no_more_rows_than_those_of_an_epoch_are_read() -> None:
    assert max(example.payload["line"] for example in task(Source(rows(96)), train_size=40).up_to(None)) <= 40


def test_a_resumed_run_skips_to_its_block() -> None:
    source = Source(rows(1000))
    assert epoch(task(source), 1, start=900) == epoch(task(Source(rows(1000))), 901)[900:]
    assert source.began == [0, 896]


def test_a_lookahead_and_the_steps_after_it_read_each_block_once() -> None:
    source = Source(rows(1000))
    made = task(source)
    for cycle in range(10):
        epoch(made, 24, start=24 * cycle)
        epoch(made, 24, start=24 * cycle)
    assert source.began == [0, 0]  # the head, and one reading


def test_an_example_is_found_again_by_its_id_even_when_its_block_is_gone() -> None:
    made = task(Source(rows(500)))
    early = made.at(2, seed=3)
    epoch(made, 400)
    assert made.find(early.id) == early
    assert [made.find(name) for name in ("row-0", "row-501", "row-x", "validation-1", "")] == [None] * 5


def test_memory_does_not_grow_with_the_data_set() -> None:
    def peak(count: int) -> int:
        def endless(split: str | None, skip: int) -> Iterator[dict[str, Any]]:
            return ({"question": f"What is {i}?" + "x" * 2000, "answer": str(i)} for i in range(skip, count))

        tracemalloc.start()
        made = task(endless)
        for position in range(0, count, 4):
            made.at(position, seed=1)
        return tracemalloc.get_traced_memory()[1]

    few = peak(400)
    tracemalloc.stop()
    many = peak(8000)
    tracemalloc.stop()
    assert many < 1.25 * few, f"{few:,} bytes for 400 rows, {many:,} for 8,000"
    assert many < 8000 * 2000 / 10


def test_held_out_splits_that_are_named_come_from_the_beginning_of_those_splits() -> None:
    checked = [{"question": f"Name number {i}.", "answer": str(i)} for i in range(50)]
    made = task(Source(rows(100), dev=checked), held_out={"validation": "dev"}, test_size=0)
    assert {e.question for e in made.split("validation")} <= {row["question"] for row in checked}
    assert len(made.split("validation")) == 8
    assert set(epoch(made, 100)) == {row["question"] for row in rows(100)}
    assert not made.split("validation")[0].id.startswith("row-")
    assert set(made.split("validation")[0].payload["row"]) == {"question", "answer"}


def test_no_training_example_asks_a_held_out_question_in_other_case_or_spacing() -> None:
    again = [{**row, "question": f" {row['question'].upper()} "} for row in rows(60)]
    made = task(Source(rows(60) + again))
    held_out = {identity(e.messages) for split in ("validation", "test") for e in made.split(split)}
    assert not [p for p in range(120) if identity(made.at(p, seed=1).messages) in held_out]


def test_a_row_of_a_wrong_form_beyond_the_head_is_passed_over_and_said(caplog) -> None:
    damaged = rows(100)
    for place in (70, 71, 90):
        damaged[place] = {"question": "What?", "answer": None}
    made = task(Source(damaged))
    assert "What?" not in epoch(made, 200)
    assert len([record for record in caplog.records if "passed over" in record.message]) == 1
    assert "row 71 " in caplog.text or "row 72 " in caplog.text or "row 91 " in caplog.text


def test_a_row_of_a_wrong_form_in_the_head_is_refused_before_a_run() -> None:
    damaged = rows(100)
    damaged[30] = {"question": "What?", "answer": None}
    with pytest.raises(BadInput, match="row 31 "):
        task(Source(damaged))


def test_a_block_without_a_usable_row_ends_the_run_in_one_line() -> None:
    made = task(Source(rows(64) + [{"question": "", "answer": "1"}] * 16 + rows(100)[80:]))
    with pytest.raises(FastSlowError, match="none of the rows 65 to 80"):
        made.at(70, seed=1)


def test_a_stream_that_breaks_off_ends_the_run_in_one_line_and_can_be_read_again() -> None:
    class Broken(Source):
        broken = True

        def __call__(self, split: str | None, skip: int) -> Iterator[dict[str, Any]]:
            for number, row in enumerate(super().__call__(split, skip), start=skip):
                if self.broken and number >= 80:
                    raise ConnectionError("the hub is\ngone")
                yield row

    source = Broken(rows(100))
    made = task(source)
    with pytest.raises(FastSlowError, match=r"broke off at row 81 \(ConnectionError: the hub is gone\)") as caught:
        made.at(85, seed=1)
    assert "\n" not in str(caught.value)
    source.broken = False
    assert made.at(85, seed=1) == task(Source(rows(100))).at(85, seed=1)


def test_train_size_bounds_an_epoch() -> None:
    made = task(Source(rows(1000)), train_size=80, validation_size=1, test_size=0)
    assert max(made.at(position, seed=2).payload["line"] for position in range(300)) == 80


def test_a_position_in_a_late_epoch_needs_no_earlier_ones() -> None:
    assert task(Source(rows(100))).at(10_000_007, seed=3) == task(Source(rows(100))).at(10_000_007, seed=3)


# Local files in the layout of the hub, by `datasets`


def write(folder: Path, kind: str, name: str, rows: list[dict[str, Any]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if kind == "jsonl":
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.Table.from_pylist(rows), folder / f"{name}.parquet", row_group_size=32)


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_a_folder_of_files_in_the_layout_of_the_hub_is_streamed(tmp_path: Path, kind: str) -> None:
    halves = rows(100)[:50], rows(100)[50:]
    for number, half in enumerate(halves):
        write(tmp_path / "data", kind, f"train-0000{number}-of-00002", half)
    checked = [{"question": f"Q{i}?", "answer": "1"} for i in range(20)]
    write(tmp_path / "data", kind, "validation-00000-of-00001", checked)
    sizes = {"validation_size": 8, "test_size": 4}
    made: Any = resolve_task(f"hf:{tmp_path}?streaming=1&validation=validation", **sizes)
    assert isinstance(made, StreamedTask)
    assert all(e.question.startswith("Q") for e in made.split("validation"))
    assert len({made.at(p, seed=1).question for p in range(100)}) == 100
    assert made.at(90, seed=1) == resolve_task(made.name, **sizes).at(90, seed=1)  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_a_single_file_is_streamed_and_scored_like_any_other(tmp_path: Path, kind: str) -> None:
    write(tmp_path, kind, "mine", rows(100))
    made: Any = resolve_task(f"hf:{tmp_path}/mine.{kind}?streaming=1&scorer=number", validation_size=8, test_size=4)
    example = made.at(77, seed=1)
    assert made.score(example, made.answer(example)).reward == 1.0
    assert made.score(example, "-1").reward == 0.0


WRONG = [
    ("streaming=maybe", "true or false"),
    ("split=dev", "has no splits"),
    ("streaming=1&id=question", "leave 'id' out"),
    ("streaming=1&test=dev", "has no splits"),
    ("streaming=1&question=quest", "quest"),
    ("streaming=1&config=x", "config"),
]


@pytest.mark.parametrize(("params", "named"), WRONG)
def test_bad_input_is_refused_in_one_line(tmp_path: Path, params: str, named: str) -> None:
    write(tmp_path, "jsonl", "mine", rows(100))
    with pytest.raises(BadInput, match=named) as caught:
        resolve_task(f"hf:{tmp_path}/mine.jsonl?{params}")
    assert "\n" not in str(caught.value)


def test_a_file_of_another_kind_and_a_damaged_one_are_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("question,answer\n1,2\n")
    with pytest.raises(BadInput, match="cannot be streamed"):
        resolve_task(f"hf:{tmp_path}/mine.csv?streaming=1")
    (tmp_path / "mine.jsonl").write_text("{broken\n")
    with pytest.raises(BadInput, match="cannot read the stream") as caught:
        resolve_task(f"hf:{tmp_path}/mine.jsonl?streaming=1")
    assert "\n" not in str(caught.value)


def test_test_rows_of_a_named_split_need_validation_rows_of_one(tmp_path: Path) -> None:
    write(tmp_path / "data", "jsonl", "train", rows(100))
    with pytest.raises(BadInput, match="name both, or neither"):
        resolve_task(f"hf:{tmp_path}?streaming=1&test=train")
