"""Which rows can move the weights, how they spread over micro-batches, and that the parts add up to the whole."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fastslow.slow.batches import (
    Counts,
    MicroBatch,
    RowPlan,
    advantages_within,
    loss_scale,
    micro_batches,
    plan_rows,
    term_scales,
)
from tests.support.present import present

NAN = float("nan")


def plan(
    rewards: list[list[float]],
    lengths: list[list[int]] | None = None,
    slow: list[bool] | None = None,
    *,
    per_problem: bool = False,
    regularised: bool = False,
) -> RowPlan:
    lengths = lengths or [[1] * len(group) for group in rewards]
    return plan_rows(
        rewards_N=torch.tensor(rewards).flatten(),
        lengths_N=torch.tensor(lengths).flatten(),
        slow_B=torch.tensor(slow or [True] * len(rewards)),
        per_problem=per_problem,
        regularised=regularised,
    )


@st.composite
def batches(draw) -> tuple[list[list[float]], list[list[int]], list[bool]]:
    group, problems = draw(st.integers(2, 4)), draw(st.integers(1, 4))
    rewards = st.lists(st.sampled_from([0.0, 0.5, 1.0, NAN]), min_size=group, max_size=group)
    lengths = st.lists(st.integers(0, 5), min_size=group, max_size=group)
    return (
        draw(st.lists(rewards, min_size=problems, max_size=problems)),
        draw(st.lists(lengths, min_size=problems, max_size=problems)),
        draw(st.lists(st.booleans(), min_size=problems, max_size=problems)),
    )


def test_only_groups_routed_to_the_slow_channel_count() -> None:
    got = plan([[0.0, 1.0], [0.0, 1.0]], slow=[False, True])
    assert got.counted_N.tolist() == got.live_N.tolist() == [False, False, True, True]
    assert got.items == 2


def test_an_unscored_rollout_counts_for_nothing_and_its_neighbours_still_do() -> None:
    got = plan([[0.0, NAN, 1.0]], [[2, 100, 3]])
    assert got.counted_N.tolist() == got.live_N.tolist() == [True, False, True]
    assert got.items == 5


def test_an_unscored_rollout_is_no_reward_of_its_own() -> None:
    got = plan([[1.0, NAN, 1.0], [0.0, NAN, 0.0], [NAN, NAN, NAN]])
    assert not got.live_N.any(), "equal scored rewards beside an unscored row are no spread"
    assert got.counted_N.tolist() == [True, False, True] * 2 + [False] * 3


def test_equal_rewards_move_nothing_however_they_round() -> None:
    got = plan([[0.1, 0.1, 0.1], [0.1, 0.1, 0.2]])
    assert got.live_N.tolist() == [False] * 3 + [True] * 3
    assert got.counted_N.all(), "a group without spread still counts in the denominator"
    assert got.weight_N[:3].tolist() == [0.0] * 3, "a rounding residue must not become an advantage"


def test_a_regularised_row_is_worth_its_forward_without_any_spread() -> None:
    got = plan([[1.0, 1.0, NAN], [1.0, 1.0, 1.0]], slow=[True, False], regularised=True)
    assert got.live_N.tolist() == [True, True, False, False, False, False]


@pytest.mark.parametrize("regularised", [True, False])
def test_a_row_without_tokens_is_never_worth_a_forward(regularised: bool) -> None:
    got = plan([[0.0, 1.0, 0.5]], [[0, 2, 3]], regularised=regularised)
    assert got.live_N.tolist() == [False, True, True]


def test_every_token_weighs_the_same_unless_told_otherwise() -> None:
    got = plan([[0.0, 1.0], [0.5, 1.0]], [[1, 1], [9, 9]])
    assert got.weight_N.tolist() == [1.0] * 4


def test_per_problem_every_problem_weighs_the_same_whatever_its_length() -> None:
    got = plan([[0.0, 1.0], [0.5, 1.0]], [[1, 1], [9, 9]], per_problem=True)
    # TRL divides by 20 tokens: 2 tokens x 5 = 18 tokens x 5/9 = 10, half of 20 each.
    assert got.weight_N.tolist() == pytest.approx([5.0, 5.0, 5 / 9, 5 / 9])


def test_per_problem_a_problem_without_spread_keeps_its_share_of_the_denominator() -> None:
    got = plan([[0.0, 1.0], [1.0, 1.0]], [[2, 2], [3, 3]], per_problem=True)
    share = (got.weight_N * torch.tensor([2, 2, 3, 3])).view(2, 2).sum(1) / got.items
    assert share.tolist() == pytest.approx([0.5, 0.0])


def test_per_problem_a_problem_that_counts_nothing_takes_no_share() -> None:
    got = plan([[0.0, 1.0], [NAN, NAN], [0.0, 1.0]], [[2, 2], [3, 3], [4, 4]], [True, True, False], per_problem=True)
    assert got.weight_N[:2].tolist() == pytest.approx([1.0, 1.0])
    assert torch.isfinite(got.weight_N).all()


@given(batches())
def test_per_problem_the_shares_of_spread_problems_are_equal_and_fit_in_one(batch) -> None:
    rewards, lengths, slow = batch
    got = plan(rewards, lengths, slow, per_problem=True)
    weighted_B = (got.weight_N * got.counted_N * torch.tensor(lengths).flatten()).view(len(rewards), -1).sum(1)
    shares = [share / got.items for share in weighted_B.tolist() if share]
    assert sum(shares) <= 1 + 1e-5
    assert all(share == pytest.approx(shares[0], rel=1e-4) for share in shares)


@given(batches(), st.booleans(), st.booleans())
def test_a_live_row_is_scored_routed_and_holds_tokens_that_count(batch, per_problem: bool, regularised: bool) -> None:
    rewards, lengths, slow = batch
    got = plan(rewards, lengths, slow, per_problem=per_problem, regularised=regularised)
    flat, tokens = torch.tensor(rewards).flatten(), torch.tensor(lengths).flatten()
    routed = torch.tensor(slow).repeat_interleave(len(rewards[0]))
    assert got.counted_N.tolist() == (~flat.isnan() & routed).tolist()
    assert not (got.live_N & ~(got.counted_N & (tokens > 0))).any()
    assert got.items == int(tokens[got.counted_N].sum())


@given(batches())
def test_a_group_routed_away_changes_no_number_of_the_others(batch) -> None:
    rewards, lengths, slow = batch
    kept = [i for i, s in enumerate(slow) if s]
    if not kept:
        assert not plan(rewards, lengths, slow, per_problem=True).counted_N.any()
        return
    whole = plan(rewards, lengths, slow, per_problem=True)
    alone = plan([rewards[i] for i in kept], [lengths[i] for i in kept], per_problem=True)
    assert whole.items == alone.items
    for got, want in ((whole.live_N, alone.live_N), (whole.weight_N, alone.weight_N)):
        assert torch.equal(got.view(len(rewards), -1)[kept].flatten(), want)


@given(shares=st.lists(st.lists(st.integers(0, 99), max_size=4), max_size=6), spare=st.integers(0, 4))
def test_every_share_is_one_micro_batch_in_the_last_slots(shares: list[list[int]], spare: int) -> None:
    batches = micro_batches(shares, slots=len(shares) + spare)
    assert batches[:spare] == [None] * spare, "the last slots are the used ones: gradients are exchanged there"
    used = [present(batch) for batch in batches[spare:]]
    assert [[] if batch.placeholder else batch.rows for batch in used] == shares
    assert all(batch.rows for batch in used), "a forward needs at least one row"


def test_a_rank_without_live_rows_runs_placeholders_where_another_rank_works() -> None:
    assert micro_batches([[], []], slots=3) == [None, MicroBatch([0], True), MicroBatch([0], True)]
    assert micro_batches([], slots=2) == [None, None]


@pytest.mark.parametrize("loss_type", ["cispo", "dapo", "vespo", "bnpo", "grpo", "dr_grpo"])
def test_nothing_left_out_and_an_even_split_scale_by_exactly_one(loss_type: str) -> None:
    # 2 processes x 4 slots x 8 rows of 5 tokens.
    assert loss_scale(loss_type, rows=8, tokens=40, counted_rows=64, items=320, slots=4, processes=2) == 1.0


@pytest.mark.parametrize("loss_type", ["cispo", "dapo", "vespo"])
def test_token_sum_losses_are_already_divided_by_the_batch(loss_type: str) -> None:
    assert loss_scale(loss_type, rows=1, tokens=3, counted_rows=64, items=320, slots=4, processes=2) == 1.0


@given(
    lengths=st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=5), min_size=1, max_size=4),
    spare=st.integers(0, 3),
    values=st.randoms(use_true_random=False),
)
def test_scaled_means_over_micro_batches_add_up_to_the_mean_over_the_batch(lengths, spare: int, values) -> None:
    """`lengths`: completion tokens of every row of every micro-batch in use; `spare` slots do nothing."""
    losses = [[[values.random() for _ in range(n)] for n in rows] for rows in lengths]
    flat_rows = [row for rows in losses for row in rows]
    items, slots = sum(len(row) for row in flat_rows), len(lengths) + spare

    def total(loss_type: str, of) -> float:
        parts = [
            of(rows)
            * loss_scale(
                loss_type,
                rows=len(rows),
                tokens=sum(map(len, rows)),
                counted_rows=len(flat_rows),
                items=items,
                slots=slots,
                processes=1,
            )
            for rows in losses
        ]
        return sum(parts) / slots

    def token_mean(rows) -> float:
        return sum(map(sum, rows)) / sum(map(len, rows))

    def row_mean(rows) -> float:
        return sum(sum(row) / len(row) for row in rows) / len(rows)

    assert total("bnpo", token_mean) == pytest.approx(token_mean(flat_rows))
    assert total("grpo", row_mean) == pytest.approx(row_mean(flat_rows))


def test_a_batch_in_which_nothing_counts_has_a_finite_scale() -> None:
    for loss_type in ("bnpo", "grpo"):
        assert loss_scale(loss_type, rows=0, tokens=0, counted_rows=0, items=0, slots=4, processes=2) == 0.0


def test_advantages_within_parts_compare_only_their_rows() -> None:
    rewards_N = torch.tensor([0.0, 1.0, 1.0, 1.0, NAN, 1.0, 0.0, 0.0])
    parts_N = torch.tensor([0, 1, 0, 1, 0, 2, 3, 3])
    found = advantages_within(rewards_N, parts_N, scaled=True)
    one = 0.5 / (0.5**0.5 + 1e-4)  # TRL's: the unbiased standard deviation of 0 and 1
    assert found.tolist() == pytest.approx([-one, 0.0, one, 0.0, 0.0, 0.0, 0.0, 0.0])
    assert advantages_within(rewards_N, parts_N, scaled=False).tolist()[:3] == pytest.approx([-0.5, 0.0, 0.5])
    got = plan_rows(
        rewards_N=rewards_N, lengths_N=torch.ones(8, dtype=torch.long), slow_B=torch.tensor([True, True]),
        per_problem=False, regularised=False, parts_N=parts_N.tolist(),
    )  # fmt: skip
    assert got.live_N.tolist() == [True, False, True, False, False, False, False, False], "spread across parts is none"


def test_advantages_within_parts_may_be_scaled_by_the_spread_of_the_batch() -> None:
    rewards_N, parts_N = torch.tensor([0.0, 1.0, 0.4, 0.6, NAN, 1.0]), torch.tensor([0, 0, 1, 1, 1, 2])
    found = advantages_within(rewards_N, parts_N, scaled=True, by_batch=True)
    std = float(torch.tensor([0.0, 1.0, 0.4, 0.6, 1.0]).std()) + 1e-4
    assert found.tolist() == pytest.approx([-0.5 / std, 0.5 / std, -0.1 / std, 0.1 / std, 0.0, 0.0])


def test_a_row_whose_prompt_counts_is_live_without_an_answer() -> None:
    rewards_N, lengths_N = torch.tensor([0.0, 1.0, NAN, 1.0]), torch.tensor([0, 2, 2, 2])
    got = plan_rows(
        rewards_N=rewards_N, lengths_N=lengths_N, slow_B=torch.tensor([True]), per_problem=False, regularised=True,
        prompts_count=True,
    )  # fmt: skip
    assert got.live_N.tolist() == [True, True, False, True]


@pytest.mark.parametrize("loss_type", ["cispo", "grpo", "bnpo", "dr_grpo"])
def test_the_scales_of_the_entropy_bonus_add_up_over_unequal_parts_of_whatever_loss(loss_type: str) -> None:
    """Means over 6 and 2 acting tokens, of 8, in 2 of 4 slots on one process."""
    whole = Counts(rows=5, tokens=20, acting=8)
    parts = [(Counts(3, 12, 6), 0.5), (Counts(2, 8, 2), 1.5)]
    total = sum(mean * term_scales(loss_type, part, whole, slots=4, processes=1).entropy / 4 for part, mean in parts)
    assert total == pytest.approx((6 * 0.5 + 2 * 1.5) / 8)
