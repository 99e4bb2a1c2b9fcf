"""What is left at the end of a stream, on curves with known answers."""

from __future__ import annotations

import pytest

from fastslow.metrics.streams import measure_stream, paired_difference


def test_forgetting_is_the_part_of_the_peak_that_is_gone():
    end = measure_stream({"a": [0.2, 0.8, 0.6], "b": [0.0, 0.5, 0.5]}, {"a": 0.1, "b": 0.0})

    assert end.average == pytest.approx(0.55)
    assert end.forgotten == pytest.approx({"a": 0.25, "b": 0.0})


def test_what_was_never_learned_is_not_forgotten():
    assert measure_stream({"a": [0.35, 0.2], "b": [0.05, 0.0]}, {"a": 0.3, "b": 0.0}).forgotten == {}


@pytest.mark.parametrize(("curves", "base"), [({}, {}), ({"a": []}, {"a": 0.0}), ({"a": [0.1]}, {})])
def test_a_stream_that_was_not_measured_has_no_end(curves, base):
    with pytest.raises(ValueError, match="every task"):
        measure_stream(curves, base)


def test_the_interval_of_paired_seeds_is_students():
    found = paired_difference({"1": 0.5, "2": 0.7, "3": 0.6, "9": 0.0}, {"1": 0.4, "2": 0.4, "3": 0.4})

    assert found is not None
    assert found.value == pytest.approx(0.2)
    assert (found.low, found.high) == pytest.approx((0.2 - 0.2484, 0.2 + 0.2484), abs=1e-3)  # t = 4.3027, sd 0.1


def test_one_pair_has_a_difference_without_an_interval_and_none_has_none():
    one = paired_difference({"1": 0.5}, {"1": 0.25})

    assert one is not None
    assert (one.value, one.low, one.high) == (0.25, None, None)
    assert paired_difference({"1": 0.5}, {"2": 0.25}) is None


def test_equal_differences_leave_no_doubt():
    found = paired_difference({"1": 0.5, "2": 0.75}, {"1": 0.25, "2": 0.5})

    assert found is not None
    assert found.low == found.high == pytest.approx(0.25)
