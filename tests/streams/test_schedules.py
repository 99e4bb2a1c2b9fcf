"""Streams over several tasks: who comes when, the same at every call, at any step without the ones before."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastslow.cli.compare import check_stages
from fastslow.config.settings import FastSlowConfig
from fastslow.core.errors import BadInput, FastSlowError
from fastslow.core.types import Example
from fastslow.report.reading.data import RunData
from fastslow.streams import ArrivalStream, ScheduledStream, Setting, make_schedule
from fastslow.streams.labels import Labels
from fastslow.tasks.resolve import resolve_task

SPECS = ["", "sequence", "recur", "recur:3", "interleave", "interleave:4", "mixture", "mixture:0.5,0.3,0.2", "drift",
         "overlap", "overlap:0.5"]  # fmt: skip
TASKS = ("a", "b", "c")


def examples(task: str, count: int = 20) -> list[Example]:
    return [
        Example(f"{task}{i}", task, "train", ({"role": "user", "content": f"{task} {i}"},), {}) for i in range(count)
    ]


def stream(spec: str, *, stage_steps: int = 10, batch_size: int = 4, seed: int = 0, count: int = 20):
    setting = Setting(len(TASKS), stage_steps, batch_size, seed)
    return ScheduledStream(make_schedule(spec, setting), [examples(task, count) for task in TASKS], setting)


def steps_of(spec: str, *, stage_steps: int = 10) -> int:
    return make_schedule(spec, Setting(len(TASKS), stage_steps, 4, 0)).steps


def tasks_at(stream, steps) -> list[str]:
    """The tasks of each step's batch, in alphabetical order: 'aaab'."""
    return ["".join(sorted(e.task for e in stream.batch(step))) for step in steps]


@pytest.mark.parametrize("spec", SPECS)
@given(seed=st.integers(0, 20), batch_size=st.integers(1, 6))
def test_any_step_can_be_asked_for_without_the_ones_before(spec: str, seed: int, batch_size: int) -> None:
    walked = stream(spec, seed=seed, batch_size=batch_size)
    in_order = [[e.id for e in walked.batch(step)] for step in range(40)]
    for step in (39, 17, 0):
        fresh = stream(spec, seed=seed, batch_size=batch_size)
        assert [e.id for e in fresh.batch(step)] == in_order[step], f"step {step} depends on what was asked before"
    assert {len(batch) for batch in in_order} == {batch_size}


@pytest.mark.parametrize("spec", ["mixture", "drift", "overlap"])
def test_who_comes_when_depends_on_the_seed(spec: str) -> None:
    one, other = stream(spec, seed=1), stream(spec, seed=2)
    assert [[e.id for e in one.batch(s)] for s in range(20)] != [[e.id for e in other.batch(s)] for s in range(20)]


def test_a_sequence_learns_one_task_after_another() -> None:
    assert tasks_at(stream(""), range(30)) == ["aaaa"] * 10 + ["bbbb"] * 10 + ["cccc"] * 10
    assert tasks_at(stream(""), (45,)) == ["cccc"], "after its end the last task goes on"


def test_recur_brings_every_task_back_where_it_had_stopped() -> None:
    s = stream("recur:2")
    assert steps_of("recur:2") == 60
    assert tasks_at(s, range(0, 60, 10)) == ["aaaa", "bbbb", "cccc", "aaaa", "bbbb", "cccc"]
    first, back = [e.id for t in range(10) for e in s.batch(t)], [e.id for t in range(30, 40) for e in s.batch(t)]
    assert len(set(first)) == len(set(back)) == 20, "two whole epochs of twenty examples in forty places"
    assert first[:20] != back[:20], "the third epoch is not the first"


def test_interleave_takes_turns_in_blocks() -> None:
    assert tasks_at(stream("interleave:4"), range(13)) == ["aaaa"] * 4 + ["bbbb"] * 4 + ["cccc"] * 4 + ["aaaa"]
    assert steps_of("interleave") == 30
    assert steps_of("interleave:4") == 24, "whole rounds of 12 steps, as near to 30 as they come"


@pytest.mark.parametrize("weights", [(0.5, 0.3, 0.2), (1.0, 1.0, 2.0), (0.0, 0.9, 0.1)])
def test_a_mixture_has_its_weights(weights) -> None:
    s = stream("mixture:" + ",".join(map(str, weights)), batch_size=8)
    counts = Counter(e.task for step in range(500) for e in s.batch(step))
    for task, weight in zip(TASKS, weights, strict=True):
        share = weight / sum(weights)
        assert counts[task] / 4000 == pytest.approx(share, abs=4 * (share * (1 - share) / 4000) ** 0.5)


def test_no_example_of_a_mixture_comes_twice_within_an_epoch() -> None:
    s = stream("mixture", batch_size=4, count=20)
    for epoch in range(5):
        seen = [e.id for step in range(5 * epoch, 5 * epoch + 5) for e in s.batch(step)]
        assert len(set(seen)) == len(seen)


def test_drift_goes_from_each_task_to_the_next_and_mixes_only_neighbours() -> None:
    s = stream("drift", stage_steps=100, batch_size=8)
    seen = tasks_at(s, range(300))
    assert set(seen[0]) == {"a"}
    assert set(seen[299]) == {"c"}
    assert all(len(set(batch)) <= 2 and set(batch) != {"a", "c"} for batch in seen)
    share = [sum(batch.count("b") for batch in seen[i : i + 50]) / 400 for i in range(0, 300, 50)]
    assert share == pytest.approx([1 / 6, 1 / 2, 5 / 6, 5 / 6, 1 / 2, 1 / 6], abs=0.08), "up, then down again"


def test_overlap_shares_a_fixed_share_with_its_neighbours() -> None:
    s = stream("overlap:0.5", stage_steps=30, batch_size=4, count=20)
    stages = [{e.id for t in range(30 * i, 30 * i + 30) for e in s.batch(t)} for i in range(3)]
    common = stages[0] & stages[1]
    assert Counter(e[0] for e in common) == {"a": 10, "b": 10}, "half of each, in both stages"
    assert Counter(e[0] for e in stages[1]) == {"a": 10, "b": 20, "c": 10}
    assert not any(e.startswith("c") for e in stages[0]), "only neighbours overlap"
    assert tasks_at(stream("overlap:0"), range(30)) == tasks_at(stream(""), range(30))


def test_a_file_is_read_in_the_order_of_its_lines(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text("".join(json.dumps({"question": f"q{i}", "answer": str(i)}) + "\n" for i in range(30)))
    task = resolve_task(f"jsonl:{path}", validation_size=4, test_size=4)
    s = ArrivalStream(task, batch_size=4)
    seen = [e.payload["line"] for step in range(5) for e in s.batch(step)]
    assert seen == sorted(seen)
    assert len(set(seen)) == 20
    again = [e.payload["line"] for step in range(11) for e in s.batch(step)]
    assert again[22:44] == again[:22], "after the last line it starts over"


def test_only_a_file_has_an_order_of_arrival() -> None:
    task = resolve_task("reasoning_gym:gcd", train_size=4, validation_size=2, test_size=2)
    with pytest.raises(BadInput, match="reads the lines of a file"):
        ArrivalStream(task, batch_size=2)


class Backwards:
    """A user's own schedule."""

    def __init__(self, arguments: str, setting: Setting):
        self.steps = int(arguments or 7) * setting.tasks
        self._setting = setting

    def place(self, step: int, slot: int) -> tuple[int, int]:
        return (self._setting.tasks - 1 - step) % self._setting.tasks, step

    def pools(self, tasks):
        return tasks


class Own(Backwards):
    """A user's own schedule, parts of which are replaced by `spoilt`."""

    spoilt: dict = {}  # noqa: RUF012

    def __init__(self, arguments: str, setting: Setting):
        super().__init__(arguments, setting)
        for name, value in self.spoilt.items():
            setattr(self, name, value)


def missing(arguments: str, setting: Setting):
    return object()


def raising(arguments: str, setting: Setting):
    raise KeyError("no such thing")


@pytest.mark.parametrize(
    ("spoilt", "says"),
    [
        ({"steps": 0}, "its steps must be a whole number, at least 1, got 0"),
        ({"steps": 2.5}, "at least 1, got 2.5"),
        ({"steps": True}, "at least 1, got True"),
        ({"place": lambda step, slot: 1}, r"place\(step=0, slot=0\) must return two whole numbers"),
        ({"pools": lambda tasks: tasks[:2]}, "one for each of the 3 tasks, none of them empty; they hold 20, 20"),
        ({"pools": lambda tasks: [*tasks[:2], []]}, "they hold 20, 20, 0"),
        ({"pools": lambda tasks: [["x"]] * 3}, "its pools hold a str"),
        ({"pools": lambda tasks: tasks["a"]}, "its pools raised TypeError"),
    ],
)
def test_a_stream_of_the_users_own_that_cannot_work_is_refused_before_the_run(monkeypatch, spoilt, says) -> None:
    monkeypatch.setattr(Own, "spoilt", spoilt)
    with pytest.raises(BadInput, match=f"stream 'tests.streams.test_schedules:Own': .*{says}"):
        stream("tests.streams.test_schedules:Own")


def test_a_factory_that_fails_or_makes_no_schedule_is_refused_before_the_run() -> None:
    with pytest.raises(BadInput, match=r"'tests\.streams\.test_schedules:raising' cannot be made: KeyError"):
        stream("tests.streams.test_schedules:raising")
    with pytest.raises(BadInput, match=r"'tests\.streams\.test_schedules:missing': it lacks steps, place, pools"):
        stream("tests.streams.test_schedules:missing")


@pytest.mark.parametrize("place", [(3, 0), (-1, 0), (0, -1), (0, 1.0), ("0", 0), None, ()])
def test_a_place_that_is_none_ends_the_run_with_the_streams_name_and_the_step(monkeypatch, place) -> None:
    monkeypatch.setattr(Own, "spoilt", {"place": lambda step, slot: (0, 0) if step < 5 else place})
    s = stream("tests.streams.test_schedules:Own")
    s.batch(4)
    where = r"stream 'tests\.streams\.test_schedules:Own': place\(step=5, slot=0\)"
    with pytest.raises(FastSlowError, match=where) as raised:
        s.batch(5)
    assert not isinstance(raised.value, BadInput)


def test_a_stream_of_the_users_own_is_a_dotted_path() -> None:
    s = stream("tests.streams.test_schedules:Backwards")
    assert tasks_at(s, range(4)) == ["cccc", "bbbb", "aaaa", "cccc"]
    several = {"tasks": ["a:x", "b:x"], "stage_steps": 5, "bf16": False}
    assert FastSlowConfig(stream="tests.streams.test_schedules:Backwards", **several).max_steps == 14
    assert FastSlowConfig(stream="tests.streams.test_schedules.Backwards:3", **several).max_steps == 6


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("mixtur", "Did you mean 'mixture'"),
        ("mixture:1,2", "a weight of at least 0, with a finite sum above 0, for each of the 3 tasks"),
        ("mixture:1,2,-1", "a weight of at least 0, with a finite sum above 0, for each of the 3 tasks"),
        ("mixture:0,0,0", "a weight of at least 0, with a finite sum above 0, for each of the 3 tasks"),
        ("mixture:nan,1,1", "a weight of at least 0, with a finite sum above 0, for each of the 3 tasks"),
        ("mixture:1e308,1e308,1e308", "a finite sum"),
        ("mixture:a,b,c", "give numbers"),
        ("interleave:0", "a whole number, at least 1 .* got '0'"),
        ("interleave:x1", "a whole number, at least 1 .* got 'x1'"),
        ("interleave:11", r"turns of 11 steps are longer than the stage_steps \(10\)"),
        ("recur:1", "at least 2 and of at most 9 digits, got '1'"),
        ("recur:" + "9" * 5000, "at most 9 digits, got '9{40}'"),
        ("overlap:1.5", "a share from 0 to 1"),
        ("drift:3", "'drift' takes no arguments"),
        ("sequence:3", "'sequence' takes no arguments"),
    ],
)
def test_a_stream_that_makes_no_sense_is_refused(spec: str, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        stream(spec)


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        ({"stream": "drift"}, "'drift' is for several tasks"),
        ({"stream": "arrival", "tasks": ["a:x", "b:x"], "stage_steps": 2}, "is for one task, a file"),
        ({"stream": "mixtur", "tasks": ["a:x", "b:x"], "stage_steps": 2}, "Did you mean 'mixture'"),
        ({"labels": "noisy:0.2"}, "needs several tasks"),
        ({"labels": "hiden"}, r"labels are 'visible', 'hidden' or 'noisy:SHARE' .*\. Did you mean 'hidden'\?"),
        ({"labels": "nosy:0.2"}, r"Did you mean 'noisy'\?"),
        ({"clusters": "infered"}, r"'none', 'inferred' or 'labels', got 'infered'\. Did you mean 'inferred'\?"),
        ({"labels": "noisy:" + "9" * 5000}, "a share from 0 to 1"),
        ({"labels": "noisy:2", "tasks": ["a:x", "b:x"], "stage_steps": 2}, "a share from 0 to 1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(overrides: dict, says: str) -> None:
    settings: dict[str, Any] = {"bf16": False, **overrides}
    with pytest.raises(BadInput, match=says):
        FastSlowConfig(**settings)


def test_a_number_of_steps_that_contradicts_the_stream_is_refused() -> None:
    several = {"tasks": ["a:x", "b:x"], "stage_steps": 6, "stream": "recur:3", "bf16": False}
    assert FastSlowConfig(max_steps=36, **several).max_steps == 36, "as config.yaml has it for a resume"
    with pytest.raises(BadInput, match=r"max_steps is 12, .* stage_steps 6 and stream 'recur:3' make 36"):
        FastSlowConfig(max_steps=12, **several)


@pytest.mark.parametrize(("spec", "steps"), [("", 10), ("drift", 10), ("recur:3", 30), ("interleave:2", 8)])
def test_the_length_of_a_run_follows_from_its_stream(spec: str, steps: int) -> None:
    config = FastSlowConfig(tasks=["a:x", "b:x"], stage_steps=5, stream=spec, bf16=False)
    assert config.max_steps == steps


def test_visible_labels_are_true_and_hidden_ones_say_nothing() -> None:
    some = [e for task in TASKS for e in examples(task)]
    visible, hidden = (Labels(spec, tasks=TASKS, seed=0) for spec in ("visible", "hidden"))
    assert [visible.of(e) for e in some] == [e.task for e in some]
    assert {hidden.of(e) for e in some} == {""}


def test_noisy_labels_are_wrong_for_their_share_and_always_the_same_ones() -> None:
    some = [e for task in TASKS for e in examples(task, 500)]
    noisy = Labels("noisy:0.2", tasks=TASKS, seed=0)
    wrong = [e for e in some if noisy.of(e) != e.task]
    assert len(wrong) / len(some) == pytest.approx(0.2, abs=0.04)
    assert {noisy.of(e) for e in wrong} == set(TASKS)
    assert [noisy.of(e) for e in some] == [Labels("noisy:0.2", tasks=TASKS, seed=0).of(e) for e in some]
    assert [noisy.of(e) for e in some] != [Labels("noisy:0.2", tasks=TASKS, seed=1).of(e) for e in some]


def test_a_continual_run_needs_a_stage_for_each_task() -> None:
    settings = {"tasks": ["a", "b"], "stage_steps": 4, "eval_steps": 2}
    for stream_ in ("", "sequence", "overlap:0.3"):
        check_stages([{**settings, "stream": stream_}])
    with pytest.raises(BadInput, match="stream 'recur:2' has not; 'fastslow compare' runs it"):
        check_stages([{**settings, "stream": "recur:2"}])


def test_a_run_is_judged_under_what_it_would_ship() -> None:
    def shipped(**config: str) -> tuple[str, str]:
        run = RunData(Path("x"), config=config)
        return run.shipped("accuracy"), run.shipped("kl")

    assert shipped(mode="fst") == ("lead", "lead")
    assert shipped(mode="fst", clusters="none") == ("lead", "lead")
    assert shipped(mode="fst", clusters="inferred") == ("cluster", "lead")
    assert shipped(mode="rl", clusters="inferred") == ("seed", "seed")
