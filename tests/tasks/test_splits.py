"""Splits are disjoint by content and do not depend on the order or the number of questions drawn."""

from __future__ import annotations

import itertools
import logging
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastslow.core.errors import BadInput
from fastslow.core.texts import folded
from fastslow.tasks.splits import (
    Candidate,
    Divided,
    Sizes,
    Split,
    allot,
    canonical,
    divide,
    draw,
    example_id,
    position,
    split_at,
)

SPLITS = ("train", "validation", "test")


def candidate(text: str) -> Candidate:
    return Candidate(({"role": "user", "content": text},), {"text": text})


def endless(seed: int = 0):
    rng = random.Random(seed)
    return (candidate(f"question {rng.randrange(10**9)}") for _ in itertools.count())


def contents(divided: Divided, split) -> set[str]:
    return {c.payload["text"] for c in divided.splits[split]}


@given(st.integers(1, 40), st.integers(0, 20), st.integers(0, 20), st.integers(0, 10))
@settings(max_examples=40, deadline=None)
def test_an_endless_source_fills_every_split_exactly(train, validation, test, seed):
    divided = draw(endless(seed), Sizes(train, validation, test), "t")
    got = tuple(len(divided.splits[split]) for split in SPLITS)
    assert got == (train, validation, test), "splits of an endless source must have the sizes asked for"


@given(st.integers(0, 5), st.integers(0, 5), st.integers(1, 60), st.integers(1, 60))
@settings(max_examples=40, deadline=None)
def test_no_sizes_and_no_seeds_move_a_question_between_splits(seed_a, seed_b, size_a, size_b):
    a = draw(endless(seed_a), Sizes(size_a, 10, 10), "t")
    b = draw(endless(seed_b), Sizes(size_b, 20, 5), "t")
    for one, other in itertools.permutations(SPLITS, 2):
        assert not contents(a, one) & contents(b, other), f"a question is {one} in one task and {other} in another"


def test_a_larger_training_set_begins_with_the_smaller_one():
    small = draw(endless(), Sizes(10, 5, 5), "t").splits
    large = draw(endless(), Sizes(100, 5, 5), "t").splits
    assert large["train"][:10] == small["train"], "train must grow at its end"
    assert large["test"] == small["test"], "train_size must not touch the test split"
    assert large["validation"] == small["validation"], "train_size must not touch the validation split"


def test_an_exhausted_source_is_drawn_completely_and_said_to_be_short(caplog):
    rng = random.Random(0)
    source = (candidate(str(rng.randrange(100))) for _ in itertools.count())
    with caplog.at_level(logging.WARNING):
        divided = draw(source, Sizes(1000, 64, 64), "small task")
    assert divided.distinct == 100, "all 100 questions must have been found"
    assert sum(len(divided.splits[split]) for split in SPLITS) == 100, "no question of a small source may be wasted"
    assert "only 100 distinct questions found" in caplog.text, "a short task must be announced"
    assert "small task" in caplog.text, "the announcement must name the task"
    assert divided.duplicates > 0, "repeats must be counted"


@pytest.mark.parametrize("n", [3, 4, 5, 7, 10])
def test_even_a_handful_of_questions_makes_three_splits(n):
    source = itertools.islice(itertools.cycle(candidate(f"q{i}") for i in range(n)), 100_000)
    divided = draw(source, Sizes(1000, 64, 64), "t")
    assert all(divided.splits[split] for split in SPLITS), f"{n} questions must fill all three splits"
    assert len(set().union(*(contents(divided, split) for split in SPLITS))) == n, "and lose none"


def test_fewer_than_three_questions_are_refused():
    with pytest.raises(BadInput, match="2 distinct questions are too few"):
        draw(itertools.islice(itertools.cycle([candidate("a"), candidate("b")]), 100_000), Sizes(10, 1, 1), "t")


@given(st.lists(st.text(max_size=8), min_size=3, max_size=60, unique_by=folded), st.integers(0, 30), st.integers(0, 30))
@settings(max_examples=60, deadline=None)
def test_dividing_a_file_loses_nothing_and_ignores_the_order_of_its_lines(texts, validation, test):
    sizes = Sizes(len(texts), validation, test)
    divided = divide([candidate(t) for t in texts], sizes, "t")
    again = divide([candidate(t) for t in reversed(texts)], sizes, "t")
    assert divided.splits == again.splits, "the order of lines must not matter"
    together = [t for split in SPLITS for t in contents(divided, split)]
    assert sorted(together) == sorted(texts), "every row must be in exactly one split"
    assert len(divided.splits["train"]) >= len(texts) // 3, "training must keep a fair part of a small file"


VARIANTS = ("what is {}?", "What is {}?", "WHAT IS {}?", "what  is {}?")


@given(
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 3)), min_size=3, unique=True),
    st.integers(0, 9),
    st.integers(0, 9),
)
@settings(max_examples=100, deadline=None)
def test_wordings_that_differ_in_form_alone_are_never_divided(picks, validation, test):
    texts = [VARIANTS[how].format(number) for number, how in picks]
    sizes = Sizes(len(texts), validation, test)
    if len({number for number, _ in picks}) < 3:
        with pytest.raises(BadInput, match="distinct questions are too few"):
            divide([candidate(t) for t in texts], sizes, "t")
        return
    divided = divide([candidate(t) for t in texts], sizes, "t")
    again = divide([candidate(t) for t in reversed(texts)], sizes, "t")
    assert {s: contents(divided, s) for s in SPLITS} == {s: contents(again, s) for s in SPLITS}, "in any order"
    homes = {(folded(text), split) for split in SPLITS for text in contents(divided, split)}
    assert len(homes) == len({folded(text) for text in texts}), "one split for each question"
    assert sum(len(divided.splits[split]) for split in SPLITS) == len(texts), "and no row is lost"
    assert len(divided.splits["test"]) <= test
    assert len(divided.splits["validation"]) <= validation


def test_what_a_generator_draws_into_a_second_split_in_other_case_is_left_out():
    def drawn():
        rng = random.Random(0)
        for _ in itertools.count():
            yield candidate(rng.choice(VARIANTS).format(rng.randrange(10**4)))

    for divided in (
        draw(drawn(), Sizes(300, 60, 60), "t"),
        allot(drawn(), {"train": 300, "validation": 60, "test": 60}, "t"),
    ):
        assert [len(divided.splits[split]) for split in SPLITS] == [300, 60, 60]
        kinds = [{folded(text) for text in contents(divided, split)} for split in SPLITS]
        assert not any(one & other for one, other in itertools.combinations(kinds, 2))
    small, large = (draw(drawn(), Sizes(n, 20, 20), "t").splits["train"] for n in (50, 200))
    assert large[:50] == small, "a larger training set still begins with the smaller one"


def test_held_out_sizes_too_large_for_a_file_shrink_in_proportion(caplog):
    with caplog.at_level(logging.WARNING):
        splits = divide([candidate(str(i)) for i in range(100)], Sizes(1000, 60, 40), "t").splits
    assert [len(splits[s]) for s in SPLITS] == [50, 30, 20], "half stays for training, the rest keeps its ratio"
    assert "cannot fill test 40 and validation 60" in caplog.text, "shrinking must be announced"


def test_questions_of_one_group_are_allotted_to_one_split_in_the_order_given():
    def grouped(suffix: str) -> list[Candidate]:
        return [Candidate(candidate(f"{i} {suffix}").messages, {"text": f"{i}"}, group=f"g{i}") for i in range(60)]

    sizes: dict[Split, int | None] = dict.fromkeys(SPLITS)
    a, b = allot(grouped("forwards"), sizes, "a"), allot(grouped("backwards"), sizes, "b")
    for split in SPLITS:
        texts = [c.payload["text"] for c in a.splits[split]]
        assert texts == [c.payload["text"] for c in b.splits[split]], "two tasks agree about every group"
        assert texts == sorted(texts, key=int), "the order given is kept"
        assert all(split_at(position(f"g{text}")) == split for text in texts)
    few = allot(itertools.chain(grouped("x"), grouped("x")), {"train": 5, "validation": 0, "test": None}, "t")
    assert [len(few.splits[split]) for split in SPLITS] == [5, 0, len(a.splits["test"])]
    assert (few.distinct, few.duplicates) == (60, 60), "repeats are dropped and counted"
    source = itertools.chain(grouped("x"), (candidate("never") for _ in itertools.count()))
    full = allot(source, {"train": 5, "validation": 1, "test": 1}, "t")
    assert [len(full.splits[split]) for split in SPLITS] == [5, 1, 1], "full splits end the reading"


def test_so_few_questions_that_a_split_stays_empty_are_allotted_by_rank(caplog):
    with caplog.at_level(logging.WARNING):
        divided = allot([candidate("a"), candidate("b"), candidate("c")], dict.fromkeys(SPLITS), "t")
    assert [len(divided.splits[split]) for split in SPLITS] == [1, 1, 1]
    assert "only 3 distinct questions, cut by rank" in caplog.text
    with pytest.raises(BadInput, match="2 distinct questions are too few"):
        allot([candidate("a"), candidate("b")], dict.fromkeys(SPLITS), "t")


def test_ids_depend_on_family_and_messages_only():
    messages = ({"role": "user", "content": "2 * 3"},)
    assert example_id("products", messages) == example_id("products", ({"content": "2 * 3", "role": "user"},))
    assert example_id("products", messages) != example_id("gcd", messages), "two families share no ids"
    assert len(example_id("products", messages)) == 16


def test_positions_spread_evenly_over_the_three_splits():
    counts = dict.fromkeys(SPLITS, 0)
    for i in range(5_000):
        counts[split_at(position(canonical([{"role": "user", "content": str(i)}])))] += 1
    shares = {split: count / 5_000 for split, count in counts.items()}
    assert shares == pytest.approx({"train": 0.6, "validation": 0.2, "test": 0.2}, abs=0.03), shares


@pytest.mark.parametrize("sizes", [Sizes(0, 1, 1), Sizes(1, -1, 1), Sizes(1, 1, -1)])
def test_impossible_sizes_are_refused_by_name(sizes):
    with pytest.raises(BadInput, match="_size must be at least"):
        sizes.check("t")
