"""A task of the user's is held to the protocol, and can change nothing of a run."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

from fastslow.core import foreign
from fastslow.core.errors import BadInput
from fastslow.core.types import Example, Verdict
from fastslow.tasks.families.rows import Rows, RowsTask
from fastslow.tasks.own import OwnTask, own_task
from fastslow.tasks.verdicts import as_reward, checked_verdict


def example(number: int = 0, **changes: Any) -> Example:
    parts: dict[str, Any] = {"id": f"e{number}", "task": "toy", "split": "train", "payload": {"answer": ["1"]},
             "messages": ({"role": "user", "content": f"q{number}"},), **changes}  # fmt: skip
    return Example(**parts)


class Toy:
    """A task whose methods a test replaces."""

    name = "toy"

    def __init__(self, **methods: Any):
        self.examples = [example(i) for i in range(3)]
        self.__dict__.update(methods)

    def split(self, name: str) -> Sequence[Example]:
        return self.examples

    def score(self, example: Example, completion: str) -> Verdict:
        return Verdict(1.0, "fine")

    def answer(self, example: Example) -> str | None:
        return None


def exits(*_: Any) -> Any:
    raise SystemExit(0)


ENDS = [exits, lambda *_: (_ for _ in ()).throw(asyncio.CancelledError()), lambda *_: next(iter(()))]


def test_our_own_tasks_are_left_as_they_are() -> None:
    ours = RowsTask("t", "t", Rows([(i, {"question": f"q{i}", "answer": "1"}) for i in range(9)]))
    assert own_task(ours) is ours
    wrapped = own_task(Toy())
    assert isinstance(wrapped, OwnTask)
    assert own_task(wrapped) is wrapped


@pytest.mark.parametrize("end", ENDS)
def test_a_split_an_answer_or_a_name_that_ends_python_is_bad_input(end: Any) -> None:
    for call in (
        lambda: own_task(Toy(split=end)).split("train"),
        lambda: own_task(Toy(answer=end)).answer(example()),
        lambda: own_task(type("Nameless", (Toy,), {"name": property(end)})()).split("train"),
    ):
        with pytest.raises((BadInput, foreign.Failed)) as caught:
            call()
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("end", ENDS)
def test_scoring_that_ends_python_fails_as_an_exception(end: Any) -> None:
    with pytest.raises(foreign.Failed):
        own_task(Toy(score=end)).score(example(), "1")


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        "right",
        1.0,
        (1.0, "fine"),
        Verdict(0.5, b"bytes"),  # type: ignore[arg-type]
        Verdict(0.5, "x", ["no mapping"]),  # type: ignore[arg-type]
    ],
    ids=repr,
)
def test_what_is_no_verdict_is_a_failure_of_scoring(wrong: Any) -> None:
    with pytest.raises(foreign.Failed, match="ValueError: "):
        own_task(Toy(score=lambda *_: wrong)).score(example(), "1")


@pytest.mark.parametrize(
    ("reward", "plain"),
    [(np.float32(0.5), 0.5), (np.bool_(True), 1.0), (torch.tensor(0.25), 0.25), (True, 1.0), (1, 1.0)],
)
def test_the_reward_of_a_verdict_becomes_a_plain_number(reward: Any, plain: float) -> None:
    verdict = own_task(Toy(score=lambda *_: Verdict(reward, ""))).score(example(), "1")
    assert (verdict.reward, type(verdict.reward)) == (plain, float)


def test_an_unscored_verdict_stays_one() -> None:
    assert checked_verdict(Verdict.unscored("judge down")) == Verdict.unscored("judge down")


@pytest.mark.parametrize(
    ("score", "reward"),
    [
        (np.float64(0.5), 0.5), (np.array(0.5), 0.5), (np.int8(1), 1.0), (torch.tensor(1), 1.0), (Decimal("0.5"), 0.5),
        (torch.tensor(0.5, dtype=torch.bfloat16, requires_grad=True), 0.5), (Fraction(1, 4), 0.25), (-0.0, 0.0),
    ],
    ids=repr,
)  # fmt: skip
def test_every_kind_of_a_single_number_is_a_reward(score: Any, reward: float) -> None:
    assert (as_reward(score), type(as_reward(score))) == (reward, float)


class Evil(float):
    def __float__(self) -> float:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    "score",
    [
        "0.5", b"1", None, [], [1.0], {}, (1.0,), np.array([1.0]), torch.tensor([1.0]), np.array("1"), 1j,
        np.complex64(1), math.inf, -math.inf, math.nan, Decimal("nan"), Decimal("sNaN"), torch.tensor(math.nan),
        1.01, -0.01, 10**400, Fraction(3, 2), torch.empty((), device="meta"), np.datetime64("2020"), Evil(0.5),
        object(), lambda: 1.0,
    ],
    ids=lambda score: f"{type(score).__name__} {score!r:.30}",
)  # fmt: skip
def test_whatever_is_no_single_number_in_range_is_refused_with_a_reason(score: Any) -> None:
    with pytest.raises((ValueError, ArithmeticError), match=r"the scorer returned"):
        as_reward(score)


def spoils(given: Example, *_: Any) -> Any:
    """Change everything of an example that can be changed."""
    given.messages[0]["content"] = "spoilt"  # type: ignore[index]
    given.payload["answer"].append("spoilt")
    given.payload["more"] = 1  # type: ignore[index]
    return Verdict(1.0, "fine")


def test_a_task_that_changes_what_it_is_given_changes_neither_prompts_nor_later_calls() -> None:
    toy = Toy(score=spoils, answer=lambda given: spoils(given) and "1")
    task = own_task(toy)
    (first, *_) = task.split("train")
    task.score(first, "1")
    task.answer(first)
    assert first == example(0)
    toy.examples[0].messages[0]["content"] = "spoilt"  # type: ignore[index]
    toy.examples.clear()
    assert list(task.split("train")) == [example(i) for i in range(3)]


def test_a_scorer_of_rows_cannot_change_what_lies_deep_in_a_row() -> None:
    rows = [(i, {"question": f"q{i}", "tests": [{"in": [1]}]}) for i in range(9)]
    seen: list[Any] = []

    def scorer(completion: str, row: Any) -> float:
        seen.append(row["tests"][0]["in"].copy())
        row["tests"][0]["in"].append("spoilt")
        return 1.0

    task = RowsTask("t", "t", Rows(rows), scorer=scorer)
    for _ in range(2):
        task.score(task.split("train")[0], "1")
    assert seen == [[1], [1]]


@pytest.mark.parametrize("end", ENDS)
def test_a_scorer_of_rows_that_ends_python_leaves_the_rollout_unscored_and_is_logged_once(end: Any, caplog) -> None:
    rows = [(i, {"question": f"q{i}", "answer": "1"}) for i in range(9)]
    task = RowsTask("t", "t", Rows(rows), scorer=end)
    verdicts = [task.score(task.split("train")[0], text) for text in ("1", "2")]
    assert not any(verdict.scored for verdict in verdicts)
    assert len(caplog.records) == 1
    assert "the scorer raised " in caplog.text


@pytest.mark.parametrize(
    ("examples", "said"),
    [
        ((e for e in [example()]), "raised TypeError"),
        ([{"question": "q"}], "holds a dict, not fastslow.core.types.Example"),
        ([example(id=3)], "whose id is no text"),
        ([example(messages=())], "messages are no conversation"),
        ([example(messages=({"role": "system", "content": "s"},))], "messages are no conversation"),
        ([example(messages=({"role": "user", "content": None},))], "messages are no conversation"),
        ([example(messages=({"role": "assistant", "content": "a"},))], "messages are no conversation"),
        ([example(messages="q")], "messages are no conversation"),
    ],
    ids=["generator", "dict", "id", "no turns", "system", "no text", "assistant", "text"],
)
def test_a_split_that_holds_no_examples_is_bad_input_that_says_what_it_holds(examples: Any, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        own_task(Toy(split=lambda name: examples)).split("train")


def test_an_answer_that_is_no_text_is_bad_input() -> None:
    with pytest.raises(BadInput, match="its answer to example e0 is int"):
        own_task(Toy(answer=lambda example: 3)).answer(example())


def test_further_attributes_are_those_of_the_users_task() -> None:
    assert getattr(own_task(Toy(duplicates=3)), "duplicates", 0) == 3
