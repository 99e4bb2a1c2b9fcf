"""Slots are dealt evenly, or by what each context is expected to be worth."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastslow.contexts.evidence import Entry, Standings
from fastslow.contexts.slots import (
    TRIAL,
    even_slots,
    groups_on_trial,
    shares_by_worth,
    shares_if_earned,
    shares_on_trial,
    slots_by_share,
)

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from slots_sim import BEGIN, END, SCORED, WORLDS, table  # noqa: E402

SLOTS = {"contexts": st.integers(1, 8), "generations": st.integers(1, 17), "first": st.integers(0, 1000)}


@given(**SLOTS)
def test_each_group_splits_its_slots_evenly(contexts: int, generations: int, first: int) -> None:
    for picks in even_slots(contexts, range(first, first + 5), generations):
        counts = [Counter(picks)[c] for c in range(contexts)]
        assert len(picks) == generations
        assert sum(counts) == generations, f"a slot names no context: {picks}"
        assert max(counts) - min(counts) <= 1


@given(**SLOTS)
@settings(max_examples=50)
def test_leftover_slots_rotate_so_that_the_split_is_even_over_time(contexts: int, generations: int, first: int) -> None:
    rows = even_slots(contexts, range(first, first + contexts), generations)
    counts = Counter(c for picks in rows for c in picks)
    assert set(counts.values()) == {generations}, f"over {contexts} groups: {counts}"


def test_slots_depend_on_the_group_and_not_on_how_groups_are_batched() -> None:
    together = even_slots(3, range(10), 4)
    apart = [picks for group in range(10) for picks in even_slots(3, [group], 4)]
    assert together == apart


@pytest.mark.parametrize("generations", [4, 8])
def test_a_multiple_gives_every_group_the_same_slots(generations: int) -> None:
    first, *others = even_slots(4, range(5), generations)
    assert first == [0, 1, 2, 3] * (generations // 4)
    assert all(other == first for other in others)


def known(chances: dict[str, tuple[float, float]], *, steps: int = 10, questions: int = 16) -> Standings:
    """What is known of contexts whose chance to be right starts here and changes by this with a step."""
    rng = np.random.default_rng(0)
    entries = [
        Entry(c, f"{step}.{q}", step, float(rng.random() < start + change * step))
        for step in range(steps) for q in range(questions) for c, (start, change) in chances.items()
    ]  # fmt: skip
    return Standings(entries, now=steps, half_life=5)


def shares(standings: Standings, *ids: str, seed_id: str = "", floor: float = 0.125, ahead: float = 5) -> list[float]:
    return shares_by_worth(ids, standings, seed_id=seed_id, floor=floor, ahead=ahead, seed=1)


def test_a_context_that_is_sure_to_be_the_best_gets_the_slots() -> None:
    good, bad = shares(known({"good": (0.9, 0), "bad": (0.1, 0)}), "good", "bad")
    assert good > 0.99
    assert good + bad == pytest.approx(1)


def test_as_long_as_nothing_is_sure_all_get_some() -> None:
    even = shares(known({"a": (0.5, 0), "b": (0.5, 0), "c": (0.5, 0)}, steps=1), "a", "b", "c")
    assert min(even) > 0.15


def test_one_that_learns_faster_gets_slots_before_it_leads() -> None:
    standings = known({"still": (0.7, 0), "learns": (0.1, 0.045)}, questions=40)
    assert standings.edge("still", "learns")[0] > 0
    assert shares(standings, "still", "learns", ahead=0)[1] < 0.5
    assert shares(standings, "still", "learns", ahead=10)[1] > 0.8


def test_the_seed_context_keeps_its_floor_until_it_is_shown_to_be_dead() -> None:
    weak, dead = known({"lead": (0.9, 0), "seed": (0.2, 0)}), known({"lead": (0.9, 0), "seed": (0, 0)})
    assert shares(weak, "lead", "seed", seed_id="seed")[1] == pytest.approx(0.125)
    assert sum(shares(weak, "lead", "seed", seed_id="seed")) == pytest.approx(1)
    assert shares(dead, "lead", "seed", seed_id="seed")[1] < 0.01
    assert not known({"lead": (0.9, 0), "seed": (0, 0)}, steps=3).dead("seed"), "48 rollouts are too few to say so"


def test_a_context_that_nothing_is_known_of_is_tried() -> None:
    assert shares(known({"a": (0.5, 0), "b": (0.4, 0)}), "a", "b", "new")[2] > 0.2


def earned(standings: Standings, *ids: str) -> list[float]:
    return shares_if_earned(ids, standings, seed_id="seed", floor=0.125, ahead=5, seed=1)


def tried(standings: Standings, *ids: str) -> list[float]:
    return shares_on_trial(ids, standings, earned(standings, *ids), seed_id="seed", ahead=5, seed=1)


def test_contexts_earn_slots_by_being_surely_better_than_the_seed_context() -> None:
    assert earned(known({"seed": (0.4, 0), "near": (0.45, 0), "worse": (0.2, 0)}), "near", "seed", "worse") == [0, 1, 0]
    near, seed, good = earned(known({"seed": (0.2, 0), "near": (0.2, 0), "good": (0.8, 0)}), "near", "seed", "good")
    assert (near, seed) == (0, pytest.approx(0.125)), "the seed context keeps its floor"
    assert good == pytest.approx(0.875)


def test_those_in_doubt_are_tried_with_an_eighth_at_most_and_the_hopeless_are_not() -> None:
    doubt = known({"seed": (0.4, 0), "near": (0.45, 0), "worse": (0.1, 0)}, steps=2, questions=12)
    near, seed, worse = tried(doubt, "near", "seed", "worse")
    assert seed == 0
    assert near == pytest.approx(TRIAL)
    assert worse == 0, "it is more likely worse than better"
    assert tried(known({"seed": (0.4, 0)}), "new", "seed")[0] == pytest.approx(TRIAL), "nothing is known"
    good = known({"seed": (0.2, 0), "near": (0.2, 0), "good": (0.8, 0)})
    assert tried(good, "near", "seed", "good") == [pytest.approx(0, abs=0.01), 0, 0], "one that earned slots has them"
    assert tried(known({"seed": (0, 0), "dead": (0, 0)}), "seed", "dead") == [0, 0]


def test_a_trial_is_a_whole_group_and_over_time_as_many_as_the_shares_say() -> None:
    owed, given = [0.0, 0.0, 0.0], []
    for _ in range(40):
        of_step, owed = groups_on_trial([0.0, 0.1, 0.025], owed, [8] * 4)
        given += of_step
    counts = Counter(given)
    assert (counts[1], counts[2], counts[0]) == (16, 4, 0)
    assert groups_on_trial([0.0, 0.0], [5.0, 20.0], [8]) == ([None], [5.0, 20.0]), "nobody is on trial any more"
    assert groups_on_trial([0.0, 0.5], [0.0, 0.0], [0, 0]) == ([None, None], [0.0, 0.0]), "groups that rest"


def test_a_context_that_nothing_is_known_of_has_earned_nothing() -> None:
    assert earned(known({"seed": (0.4, 0)}), "new", "seed") == [0, 1]
    assert earned(known({"other": (0.9, 0)}), "other", "seed")[1] > 0, "nor is it lost where that is the seed context"


def test_beside_a_dead_seed_context_whatever_earns_anything_has_earned_slots() -> None:
    weak, seed, dead = earned(known({"weak": (0.06, 0), "seed": (0, 0), "dead": (0, 0)}), "weak", "seed", "dead")
    assert dead == 0
    assert weak > seed
    alive = known({"weak": (0.06, 0), "seed": (0.01, 0)})
    assert earned(alive, "weak", "seed") == [0, 1], "this one is not surely better than a living seed context"
    assert earned(known({"good": (0.9, 0), "seed": (0, 0)}), "good", "seed") == [pytest.approx(1), pytest.approx(0)]


def test_a_context_gets_its_share_to_within_a_slot_and_groups_are_mixed() -> None:
    dealt, _ = slots_by_share([0.5, 0.3, 0.2], [0.0] * 3, [8] * 8)
    counts = Counter(pick for group in dealt for pick in group)
    assert all(abs(counts[k] - 64 * share) <= 1 for k, share in enumerate([0.5, 0.3, 0.2]))
    assert all(set(group) == {0, 1, 2} for group in dealt)


def test_the_page_has_the_table_of_the_simulated_learning_and_adaptive_slots_win_it() -> None:
    results = json.loads((ROOT / "results/slots-sim.json").read_text(encoding="utf-8"))
    page = (ROOT / "docs/evidence.md").read_text(encoding="utf-8")
    assert page.partition(BEGIN)[2].partition(END)[0].strip() == table(results["rows"])
    shipped = {(row["scored"], row["world"], row["slots"]): row.get("shipped") for row in results["rows"]}
    assert all(
        shipped[scored, world, "adaptive"] > shipped[scored, world, "even"] for scored in SCORED for world in WORLDS
    )
    assert all(shipped[SCORED[0], world, "earned"] > shipped[SCORED[0], world, "even"] for world in WORLDS)
    for world in ("one is good", "contexts carry the task"):
        rests = SCORED[1], world
        assert shipped[*rests, "earned"] > 0.01 + shipped[*rests, "earned, none in doubt tried"]


def test_even_shares_deal_as_even_slots_do() -> None:
    assert slots_by_share([0.25] * 4, [0.0] * 4, [8] * 5)[0] == even_slots(4, range(5), 8)


def test_a_small_share_is_dealt_over_steps() -> None:
    """Of four slots a step, an eighth is one every other step."""
    owed, counts = [0.0, 0.0], Counter()
    for _ in range(8):
        picks, owed = slots_by_share([0.875, 0.125], owed, [4])
        counts.update(picks[0])
    assert counts == {0: 28, 1: 4}
