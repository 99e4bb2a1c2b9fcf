"""A share of every batch comes from before, and the past is never read as a whole."""

from __future__ import annotations

import pytest

from fastslow.streams.epochs import EpochStream
from fastslow.streams.rehearsal import TRIES, RehearsalStream
from tests.streams.helpers import Counted, examples


def rehearsed(share: float = 0.5, size: int = 1000, batch_size: int = 4) -> RehearsalStream:
    return RehearsalStream(EpochStream(examples(size), batch_size=batch_size, seed=0), share=share, seed=0)


def test_the_first_batch_has_nothing_to_rehearse() -> None:
    assert rehearsed().batch(0) == EpochStream(examples(1000), batch_size=4, seed=0).batch(0)


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5])
def test_the_share_of_past_examples_is_as_set(share: float) -> None:
    stream = rehearsed(share)
    seen: set[str] = set()
    repeated = 0
    for step in range(100):
        batch = [e.id for e in stream.batch(step)]
        repeated += sum(name in seen for name in batch)
        seen.update(batch)
    assert repeated / (99 * 4) == pytest.approx(share, abs=0.02)


def test_no_batch_holds_an_example_twice() -> None:
    stream = rehearsed()
    for step in range(60):
        ids = [e.id for e in stream.batch(step)]
        assert len(set(ids)) == len(ids)


def test_a_change_leaves_earlier_batches_as_they_were() -> None:
    stream = rehearsed(0.0)
    before = [stream.batch(step) for step in range(20)]
    stream.change(0.5, step=20)
    assert [stream.batch(step) for step in range(20)] == before
    assert stream.share_at(19) == 0.0
    assert stream.share_at(20) == 0.5


def test_a_stream_resumed_from_its_state_goes_on_exactly() -> None:
    stream = rehearsed(0.25)
    stream.change(0.5, step=7)
    resumed = rehearsed(0.25)
    resumed.load_state_dict(stream.state_dict())
    assert [resumed.batch(step) for step in range(15)] == [stream.batch(step) for step in range(15)]


def test_the_cost_of_a_batch_does_not_grow_with_its_step() -> None:
    counted = Counted(EpochStream(examples(1000), batch_size=4, seed=0))
    stream = RehearsalStream(counted, share=0.5, seed=0)
    for step in (10, 100, 10_000):
        counted.calls = 0
        stream.batch(step)
        assert counted.calls <= 1 + 4 * TRIES, f"step {step} read {counted.calls} batches"
