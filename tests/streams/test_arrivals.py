"""What has arrived is known for every step, and each batch is read once."""

from __future__ import annotations

from fastslow.streams.arrivals import Arrivals
from fastslow.streams.epochs import EpochStream
from fastslow.streams.rehearsal import RehearsalStream
from tests.streams.helpers import Counted, Listed, example, examples


def known(arrivals: Arrivals, step: int, names: str) -> str:
    return "".join(name for name in names if arrivals.before(step, name))


def test_an_example_has_arrived_before_the_steps_after_its_own() -> None:
    arrivals = Arrivals(Listed([[example("a")], [example("b")], [example("a")]]))
    assert [known(arrivals, step, "abc") for step in range(4)] == ["", "a", "ab", "ab"]


def test_an_earlier_step_is_answered_as_if_it_had_been_asked_about_first() -> None:
    arrivals = Arrivals(Listed([[example("a")], [example("b")], [example("c")]]))
    assert [known(arrivals, step, "abc") for step in (3, 1, 2, 0)] == ["abc", "a", "ab", ""]


def test_each_batch_is_read_once_however_often_it_is_asked() -> None:
    stream = Counted(EpochStream(examples(10), batch_size=2, seed=0))
    arrivals = Arrivals(stream)
    for step in range(50):
        for name in ("toy0", "toy9"):
            arrivals.before(step, name)
    assert stream.calls == 49


def test_a_stream_whose_share_has_changed_is_read_again() -> None:
    def stream() -> RehearsalStream:
        return RehearsalStream(EpochStream(examples(400), batch_size=4, seed=0), share=0.0, seed=0)

    changed = stream()
    arrivals = Arrivals(changed)
    arrivals.before(40, "toy0")
    changed.change(0.5, step=10)
    fresh = stream()
    fresh.change(0.5, step=10)
    expected = {e.id for step in range(40) for e in fresh.batch(step)}
    assert {e.id for e in examples(400) if arrivals.before(40, e.id)} == expected
    assert len(expected) < 160, "half of the later places are rehearsed"
