"""A fast phase gets less while phases bring nothing, and all of it again once one does."""

from __future__ import annotations

import pytest

from fastslow.fast.effort import MOST_RESTS, Effort
from fastslow.fast.gepa import BudgetPlan

PLAN = BudgetPlan(budget=192, anchor_size=16, minibatch_size=4, proposals_per_iteration=4)
LEAST = 5 * 16 + 24
"""What five contexts and one proposal cost."""


def test_the_first_phase_gets_the_whole_budget() -> None:
    assert Effort().budget(PLAN, 5) == 192


def test_barren_phases_halve_the_share_and_a_fruitful_one_gives_it_all_back() -> None:
    effort = Effort()
    effort.after(kept=False)
    assert effort.budget(PLAN, 1) == 96
    effort.after(kept=False)
    assert effort.budget(PLAN, 1) == 48
    effort.after(kept=True)
    assert effort.budget(PLAN, 1) == 192


def test_what_does_not_pay_for_a_proposal_is_not_spent_and_tried_again_after_a_rest() -> None:
    effort = Effort()
    effort.after(kept=False)
    spent = []
    for _ in range(MOST_RESTS + 1):
        spent.append(effort.budget(PLAN, 5))
        effort.rest()
    assert spent == [0] * MOST_RESTS + [LEAST]


@pytest.mark.parametrize(
    ("level", "rise", "rested", "budget"),
    [
        (0.6, 0.0, MOST_RESTS, 192),
        (0.6, -0.1, MOST_RESTS, 192),
        (0.6, 0.05, MOST_RESTS, LEAST),  # the weights still learn
        (0.97, 0.0, MOST_RESTS, LEAST),  # little is left to be won
        (0.6, 0.0, MOST_RESTS - 1, 0),  # it rests first
    ],
)
def test_a_plateau_wakes_it_after_its_rests(level: float, rise: float, rested: int, budget: int) -> None:
    assert Effort(0.25, rested).budget(PLAN, 5, (level, rise)) == budget


def test_a_change_of_the_stream_wakes_it() -> None:
    effort = Effort(share=0.125)
    assert effort.budget(PLAN, 5) == 0
    effort.wake()
    assert effort.budget(PLAN, 5) == 192


@pytest.mark.parametrize("share", [1.0, 0.5, 0.01])
@pytest.mark.parametrize("budget", [0, 8, 60, 500])
def test_the_budget_is_a_ceiling(share: float, budget: int) -> None:
    plan = BudgetPlan(budget=budget, anchor_size=16, minibatch_size=4, proposals_per_iteration=4)
    for rested in range(MOST_RESTS + 1):
        assert 0 <= Effort(share, rested).budget(plan, 5) <= budget


def test_it_survives_a_checkpoint() -> None:
    effort, again = Effort(0.25, 1), Effort()
    again.load_state_dict(effort.state_dict())
    assert again == effort
