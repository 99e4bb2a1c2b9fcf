"""Which answers a topic's proposals may show, and how much of the stream is read for that."""

from __future__ import annotations

import pytest

from fastslow.contexts.context import WorkedExample
from fastslow.core.types import Example
from fastslow.streams.epochs import EpochStream, Stream
from fastslow.streams.labels import Labels
from fastslow.topics.topics import Topics
from tests.streams.helpers import Counted, Listed, examples

A, B = examples(4, "a"), examples(4, "b")


def topics(stream: Stream, labels: str = "hidden") -> Topics:
    material = [(e, WorkedExample(e.question, e.id)) for e in [*A, *B]]
    return Topics(Labels(labels, tasks=["a", "b"], seed=0), stream, material=material)


def answers(of: Topics, asked: list[Example], until: int) -> set[str]:
    return {worked.answer for worked in of.demonstrations(asked, until=until)}


def test_without_labels_only_what_has_arrived_is_shown() -> None:
    of = topics(Listed([A[:2], B[:2], A[2:]]))
    assert [answers(of, A[:1], step) for step in range(4)] == [
        set(),
        {"a0", "a1"},
        {"a0", "a1", "b0", "b1"},
        {"a0", "a1", "b0", "b1", "a2", "a3"},
    ]


def test_a_rolled_back_run_is_shown_what_it_was_shown_at_that_step() -> None:
    of = topics(Listed([A[:2], B[:2], A[2:]]))
    before = answers(of, A[:1], 1)
    answers(of, A[:1], 3)
    assert answers(of, A[:1], 1) == before


def test_with_labels_every_answer_of_the_topic_is_shown_and_the_stream_is_not_read() -> None:
    stream = Counted(Listed([]))
    assert answers(topics(stream, "visible"), A[:1], 100) == {e.id for e in A}
    assert stream.calls == 0


@pytest.mark.parametrize("cycles", [10, 40])
def test_the_stream_is_read_once_however_many_phases_ask(cycles: int) -> None:
    stream = Counted(EpochStream([*A, *B], batch_size=2, seed=0))
    of = topics(stream)
    for cycle in range(cycles):
        of.demonstrations(A, until=6 * (cycle + 1))
    assert stream.calls == 6 * cycles, "one call of batch for each step"
