"""The population: who is kept, who leads, who gets which slot."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from fastslow.contexts.context import Context, seed_context
from fastslow.contexts.population import Population, mean_score, pareto_frontier, select_top_k, shared_ids

SEED = seed_context("seed")


def table(**rows: list[float]) -> dict[str, dict[str, float]]:
    """Context name -> scores on examples e0, e1, ..."""
    return {name: {f"e{i}": score for i, score in enumerate(scores)} for name, scores in rows.items()}


@st.composite
def tables(draw) -> dict[str, dict[str, float]]:
    names = draw(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=6, unique=True))
    n = draw(st.integers(1, 6))
    score = st.sampled_from([0.0, 0.0, 0.25, 0.5, 1.0])
    return table(**{name: draw(st.lists(score, min_size=n, max_size=n)) for name in names})


def child(name: str, parent: Context = SEED) -> Context:
    return Context({"instruction": name}, (parent.id,), "test")


def test_the_frontier_names_every_context_that_is_best_on_an_example() -> None:
    scores = table(a=[1.0, 0.0, 0.5], b=[0.0, 1.0, 0.5], c=[0.9, 0.9, 0.4])
    assert pareto_frontier(scores) == {"e0": {"a"}, "e1": {"b"}, "e2": {"a", "b"}}


def test_levels_decide_who_leads_and_the_best_by_them_is_always_chosen() -> None:
    scores = table(a=[1.0, 1.0, 0.0], b=[0.0, 0.0, 1.0], c=[1.0, 0.0, 0.0])
    assert select_top_k(scores, 2) == ["a", "b"]
    assert select_top_k(scores, 2, {"a": 0.5, "b": 0.4, "c": 0.9}) == ["c", "a"], "c by level; a covers one more than b"
    assert select_top_k(scores, 3, {"b": 0.1}) == ["b", "a", "c"], "nothing is known of the others"


def test_members_take_the_order_of_what_is_known_of_them() -> None:
    first, second, third = child("1"), child("2"), child("3")
    population = Population(3, SEED, [first, second, third]).led_by({third.id: 0.9, first.id: 0.2})
    assert population.members == [third, first, second]
    assert population.lead == third


def test_between_members_that_stand_alike_what_is_known_beyond_the_anchor_set_decides() -> None:
    contexts = [child("1"), child("2"), child("3")]
    scores = {c.id: {"e0": right, "e1": 0.0} for c, right in zip(contexts, (0.5, 0.5, 0.0), strict=True)}
    population = Population(3, SEED).rescored(contexts, scores, policy_version=1)
    first, second, third = population.members
    assert population.tied == [first, second]
    assert third == contexts[2]
    known = {first.id: 0.1, second.id: 0.3, third.id: 0.9}
    assert population.untied_by(known).members == [second, first, third], "the third stands below them"
    assert population.untied_by({}).members == population.members
    assert Population(1, SEED).tied == [SEED], "before anything was scored"


def test_only_examples_scored_under_every_context_are_compared() -> None:
    scores = {"a": {"x": 1.0, "y": 0.0}, "b": {"y": 1.0, "z": 0.0}}
    assert shared_ids(scores) == {"y"}
    assert pareto_frontier(scores) == {"y": {"b"}}
    assert select_top_k(scores, 1) == ["b"], "a's x must not count for it"


def test_nothing_scored_is_no_frontier_and_no_choice() -> None:
    assert shared_ids({}) == set()
    assert pareto_frontier({}) == {}
    assert select_top_k({}, 4) == []
    assert mean_score({}) == 0.0


def test_the_only_context_that_solves_an_example_is_kept_over_better_means() -> None:
    scores = table(a=[1.0, 1.0, 1.0, 0.0], b=[0.9, 0.9, 0.9, 0.0], c=[0.0, 0.0, 0.0, 0.1])
    assert select_top_k(scores, 2) == ["a", "c"]


def test_once_all_is_covered_the_rest_is_chosen_by_mean() -> None:
    scores = table(a=[1.0, 1.0, 1.0], low=[0.1, 0.1, 0.1], high=[0.5, 0.5, 0.5])
    assert select_top_k(scores, 2) == ["a", "high"]


def test_coverage_counts_what_is_still_uncovered() -> None:
    scores = table(
        wide=[1, 1, 1, 1, 1, 0, 0],
        overlap=[1, 1, 1, 0, 0, 1, 0],  # three of its four are wide's already
        corner=[0, 0, 0, 0, 0, 1, 1],
    )
    assert set(select_top_k(scores, 2)) == {"wide", "corner"}


def test_the_lead_has_the_best_mean_though_another_covers_more() -> None:
    scores = table(covers=[0.3, 0.3, 0.3, 0.0], mean=[0.2, 0.2, 0.2, 1.0])
    assert select_top_k(scores, 2) == ["mean", "covers"]


@given(tables(), st.integers(1, 7))
def test_the_chosen_are_distinct_as_many_as_asked_and_led_by_the_best_mean(scores, k: int) -> None:
    chosen = select_top_k(scores, k)
    assert len(set(chosen)) == len(chosen) == min(k, len(scores))
    means = [mean_score(scores[c]) for c in chosen]
    assert means == sorted(means, reverse=True)


@given(tables())
def test_as_many_slots_as_solved_examples_cover_every_one_of_them(scores) -> None:
    solved = {e: best for e, best in pareto_frontier(scores).items() if any(scores[c][e] > 0 for c in best)}
    chosen = set(select_top_k(scores, max(1, len(solved))))
    assert all(best & chosen for best in solved.values())


@given(tables(), st.integers(1, 6), st.randoms())
def test_the_choice_does_not_depend_on_the_order_contexts_come_in(scores, k: int, rng) -> None:
    shuffled = list(scores)
    rng.shuffle(shuffled)
    assert select_top_k({c: scores[c] for c in shuffled}, k) == select_top_k(scores, k)


def test_a_new_population_is_the_seed_alone_and_led_by_it() -> None:
    population = Population(size=4, seed=SEED)
    assert population.members == [SEED]
    assert population.lead == SEED
    assert population.carried == [SEED]
    assert population.known == {SEED.id: SEED}


def test_rescoring_keeps_the_best_k_and_leads_with_the_best_mean() -> None:
    a, b, c = child("a"), child("b"), child("c")
    scores = {SEED.id: {"x": 0.0, "y": 0.1}, a.id: {"x": 0.5, "y": 0.0}, b.id: {"x": 1.0, "y": 0.9}, c.id: {}}
    scores[c.id] = {"x": 0.1, "y": 0.2}
    after = Population(size=2, seed=SEED).rescored([SEED, a, b, c], scores, policy_version=7)
    assert after.lead == b
    assert len(after.members) == 2
    assert after.policy_version == 7
    assert set(after.scores) == {m.id for m in after.members}
    assert after.scores[b.id] == scores[b.id]


def test_rescoring_replaces_all_scores_and_leaves_the_old_population_alone() -> None:
    a = child("a")
    first = Population(size=2, seed=SEED).rescored([SEED, a], {SEED.id: {"x": 0.0}, a.id: {"x": 1.0}}, policy_version=0)
    second = first.rescored([SEED, a], {SEED.id: {"y": 1.0}, a.id: {"y": 0.0}}, policy_version=6)
    assert second.lead == SEED
    assert second.scores == {SEED.id: {"y": 1.0}, a.id: {"y": 0.0}}
    assert (first.lead, first.policy_version) == (a, 0)
    assert first.scores == {SEED.id: {"x": 0.0}, a.id: {"x": 1.0}}


def test_the_seed_stays_reachable_when_better_contexts_fill_the_population() -> None:
    population = Population(size=1, seed=SEED)
    for version in range(3):
        better = child(f"better {version}")
        scores = {SEED.id: {"x": 0.0}, better.id: {"x": 1.0}}
        population = population.rescored([SEED, better], scores, policy_version=version)
        assert population.members == [better]
        assert population.carried == [SEED, better]
    assert set(population.known) == {SEED.id, *(child(f"better {v}").id for v in range(3))}


def test_a_seed_that_is_a_member_is_carried_once_and_first() -> None:
    a = child("a")
    scores = {SEED.id: {"x": 0.5}, a.id: {"x": 1.0}}
    population = Population(size=2, seed=SEED).rescored([a, SEED], scores, policy_version=0)
    assert population.members == [a, SEED]
    assert population.carried == [SEED, a]


def test_a_population_survives_its_json_with_lineage_and_scores() -> None:
    a = child("a")
    b = child("b", a)
    scores = {SEED.id: {"x": 0.5, "y": 0.0}, a.id: {"x": 0.25, "y": 0.25}, b.id: {"x": 1.0, "y": 1.0}}
    before = Population(size=2, seed=SEED).rescored([SEED, a, b], scores, policy_version=6)
    after = Population.from_json(json.loads(json.dumps(before.to_json())))
    assert after == before
    assert after.known[b.id].parents == (a.id,)
    assert after.lead == b


def test_who_leads_moves_no_slot() -> None:
    """An evaluation chooses the lead anew, and changes nothing of what is sampled."""
    by_id = {child(name).id: child(name) for name in "abc"}
    scores = {c: {f"e{i}": float(i == place) for i in range(3)} for place, c in enumerate(by_id)}
    population = Population(3, SEED).rescored(list(by_id.values()), scores, policy_version=0)
    other = population.led_by({population.members[-1].id: 0.9})
    assert other.lead == population.members[-1]
    assert other.dealt == population.dealt == population.members
    assert Population.from_json(json.loads(json.dumps(other.to_json()))).dealt == other.dealt
