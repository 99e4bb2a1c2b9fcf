"""The stream: every example once an epoch, in an order that depends on the seed alone."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from fastslow.core.types import Example
from fastslow.streams.epochs import EpochStream, lookahead

SHAPES = {"n": st.integers(1, 12), "batch_size": st.integers(1, 5), "seed": st.integers(0, 50)}


def stream(n: int, batch_size: int, seed: int = 0) -> EpochStream:
    examples = [Example(f"e{i}", "t", "train", ({"role": "user", "content": str(i)},)) for i in range(n)]
    return EpochStream(examples, batch_size=batch_size, seed=seed)


def ids(examples) -> list[str]:
    return [e.id for e in examples]


@given(**SHAPES)
def test_every_example_comes_once_an_epoch(n: int, batch_size: int, seed: int) -> None:
    s = stream(n, batch_size, seed)
    seen = [i for step in range(2 * n) for i in ids(s.batch(step))]  # 2 x batch_size whole epochs
    for start in range(0, len(seen), n):
        assert len(set(seen[start : start + n])) == n, f"epoch at {start}: {seen[start : start + n]}"


@given(**SHAPES)
def test_any_step_can_be_asked_for_without_the_ones_before(n: int, batch_size: int, seed: int) -> None:
    walked = stream(n, batch_size, seed)
    in_order = [ids(walked.batch(step)) for step in range(8)]
    assert [ids(stream(n, batch_size, seed).batch(step)) for step in reversed(range(8))] == in_order[::-1]


@given(**SHAPES)
def test_a_batch_holds_as_many_examples_as_a_step_has_problems(n: int, batch_size: int, seed: int) -> None:
    assert len(stream(n, batch_size, seed).batch(3)) == batch_size


@given(whole=st.integers(1, 4), batch_size=st.integers(1, 5), seed=st.integers(0, 50), step=st.integers(0, 20))
def test_examples_of_one_batch_are_distinct_where_batches_tile_the_epoch(
    whole: int, batch_size: int, seed: int, step: int
) -> None:
    batch = ids(stream(whole * batch_size, batch_size, seed).batch(step))
    assert len(set(batch)) == batch_size


def test_the_order_changes_with_the_seed_and_with_the_epoch() -> None:
    a, b = stream(20, 20, seed=0), stream(20, 20, seed=1)
    assert ids(a.batch(0)) != ids(b.batch(0))
    assert ids(a.batch(0)) != ids(a.batch(1))
    assert ids(a.batch(0)) != [f"e{i}" for i in range(20)], "not shuffled"


def test_the_order_does_not_depend_on_the_batch_size() -> None:
    one, three = stream(7, 1, seed=5), stream(7, 3, seed=5)
    singles = [i for step in range(15) for i in ids(one.batch(step))]
    assert singles == [i for step in range(5) for i in ids(three.batch(step))]


@given(**SHAPES, step=st.integers(0, 9), steps=st.integers(0, 6))
def test_the_lookahead_is_what_the_next_steps_will_use_without_repeats(n, batch_size, seed, step, steps) -> None:
    s = stream(n, batch_size, seed)
    used = [i for k in range(step, step + steps) for i in ids(s.batch(k))]
    assert ids(lookahead(s, step, steps)) == list(Counter(used))  # a Counter keeps the order of first arrival
