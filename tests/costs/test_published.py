"""The formulas against measurements of others. The constants may not be bent until one number of one paper fits."""

from __future__ import annotations

import dataclasses

import pytest

from fastslow.costs import seconds
from fastslow.costs.machines import GPUS
from fastslow.costs.published import EFFICIENCY, MOST_PREFILL, NEMO, SERVED, Served, geometric_mean
from fastslow.costs.shape import shape_of
from fastslow.costs.work import Range
from tests.costs.given import LLAMA, estimate, on_meta, qwen

H100 = GPUS["H100"]
BOUND = 1.35
PAPER_SECONDS = 60.0


def predicted(row: Served, efficiency: float) -> float:
    """Tokens a second of all users together."""
    step = seconds.decode_step(qwen(), H100, rows=row.users, context=row.context, efficiency=efficiency)
    return row.users / step


def bound_by_decoding(row: Served) -> bool:
    share = seconds.prefill_share(qwen(), H100, rows=row.users, prompt=row.prompt, answer=row.answer)
    return share <= MOST_PREFILL


def off(row: Served, efficiency: float) -> float:
    ratio = predicted(row, efficiency) / row.tokens_per_second
    return max(ratio, 1 / ratio)


def test_two_of_the_four_rows_are_bound_by_decoding_and_two_are_outside_the_model() -> None:
    assert [bound_by_decoding(row) for row in SERVED] == [True, True, False, False]


@pytest.mark.parametrize("row", SERVED[:2], ids=str)
def test_rows_that_are_bound_by_decoding_are_predicted_within_the_bound(row: Served) -> None:
    assert off(row, EFFICIENCY.typical) <= BOUND


def test_the_efficiency_is_what_the_rows_reach_and_nothing_else() -> None:
    reached = sorted(row.tokens_per_second / predicted(row, 1.0) for row in SERVED if bound_by_decoding(row))
    assert pytest.approx((reached[0], geometric_mean(*reached), reached[1]), abs=6e-4) == EFFICIENCY


def nemo(efficiency: Range = EFFICIENCY) -> Range:
    """A step of NeMo-RL's published run, without whatever it does not have: a fast phase, recomputation."""
    made = estimate(
        "2x8xH100", shape_of(on_meta(LLAMA)), problems=NEMO["rollouts"] // 32, group=32, contexts=1, phases=0,
        longest=NEMO["longest"], packed=False, checkpointing=False, prompt=Range.exactly(150),
        answer=Range.exactly(NEMO["answer"]), reused=Range.exactly(0), live=Range.exactly(1), efficiency=efficiency,
    )  # fmt: skip
    assert made.place.trainers == NEMO["gpus"]
    return Range.of(made.step)


def test_the_published_step_of_nemo_rl_lies_in_the_range() -> None:
    step = nemo()
    assert step.low < NEMO["seconds"] < step.high
    assert step.high < 3 * step.low, "a range that holds everything says nothing"


def paper(efficiency: Range) -> Range:
    """A step of the paper's size, if its answers had a mean of 6,000 tokens: no source states their length."""
    return Range.of(estimate(answer=Range.exactly(6000), efficiency=efficiency).generation)


def test_constants_that_fit_the_papers_step_alone_fail_the_published_rows() -> None:
    """Bend the efficiency until the paper's step comes out: the other measurements must notice."""
    bent = EFFICIENCY.typical * paper(EFFICIENCY).typical / PAPER_SECONDS
    assert paper(Range.exactly(bent)).typical == pytest.approx(PAPER_SECONDS, rel=0.05)
    assert any(off(row, bent) > BOUND for row in SERVED[:2])


def test_the_model_notices_a_larger_batch_longer_rows_and_a_faster_memory() -> None:
    row, base = SERVED[0], predicted(SERVED[0], 1.0)
    assert predicted(dataclasses.replace(row, users=2 * row.users), 1.0) > base
    assert predicted(dataclasses.replace(row, prompt=2 * row.prompt), 1.0) < base
    step = {name: seconds.decode_step(qwen(), GPUS[name], rows=8, context=1000, efficiency=1) for name in GPUS}
    assert sorted(step, key=step.__getitem__) == ["B200", "H200", "H100", "A100", "L40S"]
