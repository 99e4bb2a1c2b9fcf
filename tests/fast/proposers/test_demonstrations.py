import dataclasses
from collections import Counter
from typing import Any

import pytest

from fastslow.contexts.context import WorkedExample, load_examples
from fastslow.core.errors import BadInput
from fastslow.fast.proposers import PROPOSERS, DemonstrationsProposer

from .helpers import inputs, parent, request, trace

POOL = [(f"What is {i} * 2?", str(2 * i)) for i in range(20)]
SEEDS = range(60)


def questions(proposal: dict[str, str]) -> list[str]:
    return [worked.question for worked in load_examples(proposal["examples"])]


def test_it_is_registered_as_demonstrations():
    proposer: Any = PROPOSERS.factory("demonstrations")(inputs(max_worked_examples=2))
    assert proposer.max_examples == 2


def test_equal_seeds_give_equal_proposals():
    traces = [trace("What is 3 * 2?", "7", 0.0), trace("Say hi", " hi\n", 1.0)]
    for seed in SEEDS:
        first, second = (
            DemonstrationsProposer().propose(
                request(parent(POOL[0]), traces=traces, demonstrations=POOL, seed=seed),
            )
            for _ in range(2)
        )
        assert first == second


def test_an_empty_context_jumps_to_between_two_and_the_maximum():
    sizes = {
        len(questions(DemonstrationsProposer(4).propose(request(parent(), demonstrations=POOL, seed=seed))))
        for seed in SEEDS
    }
    assert sizes == {2, 3, 4}


def test_an_empty_context_takes_what_there_is_when_sources_are_scarce():
    proposal = DemonstrationsProposer(4).propose(request(parent(), demonstrations=POOL[:1]))
    assert load_examples(proposal["examples"]) == [WorkedExample(*POOL[0])]


def test_a_context_with_room_keeps_its_examples_and_adds_some():
    for seed in SEEDS:
        asked = questions(DemonstrationsProposer(4).propose(request(parent(*POOL[:2]), demonstrations=POOL, seed=seed)))
        assert asked[:2] == [q for q, _ in POOL[:2]]
        assert 3 <= len(asked) <= 4


def test_a_full_context_is_changed_by_one_replacement_one_drop_or_one_swap():
    before = [q for q, _ in POOL[:4]]
    edits = Counter()
    for seed in range(200):
        after = questions(DemonstrationsProposer(4).propose(request(parent(*POOL[:4]), demonstrations=POOL, seed=seed)))
        differing = sum(a != b for a, b in zip(before, after, strict=False))
        if len(after) == 3:
            assert set(after) < set(before)
            edits["drop"] += 1
        elif set(after) == set(before):
            assert differing == 2
            edits["reorder"] += 1
        else:
            assert differing == 1
            edits["replace"] += 1
    assert edits["replace"] > edits["drop"] > 0
    assert edits["reorder"] > 0


def test_no_question_comes_twice_even_when_only_its_spacing_differs():
    again = [("  What is  0 * 2?\n", "0"), *POOL[:3]]
    for seed in SEEDS:
        asked = questions(DemonstrationsProposer(4).propose(request(parent(POOL[0]), demonstrations=again, seed=seed)))
        assert len({" ".join(q.split()) for q in asked}) == len(asked)


def test_examples_are_edited_even_when_the_instruction_was_asked_for():
    proposal = DemonstrationsProposer().propose(request(parent(), component="instruction", demonstrations=POOL))
    assert set(proposal) == {"examples"}


def test_without_any_source_nothing_is_proposed():
    traces = [trace("q", "wrong", 0.0), trace("q2", "half", 0.5), trace("q3", "unscored", None), trace("q4", " ", 1.0)]
    assert DemonstrationsProposer().propose(request(parent(*POOL[:2]), traces=traces)) == {}


def test_a_single_example_with_nothing_to_replace_it_is_left_alone():
    assert DemonstrationsProposer(1).propose(request(parent(POOL[0]), demonstrations=POOL[:1])) == {}


def test_own_correct_rollouts_are_used_stripped():
    traces, experience = [trace("q1", " right \n", 1.0)], [trace("q2", "also right", 1.0)]
    proposal = DemonstrationsProposer(2).propose(request(parent(), traces=traces, experience=experience))
    assert set(load_examples(proposal["examples"])) == {WorkedExample("q1", "right"), WorkedExample("q2", "also right")}


@pytest.mark.parametrize(
    "unusable",
    [
        trace("q", "partly", 0.99),
        trace("q", "held out", 1.0, split="validation"),
        trace("q", "held out", 1.0, split="test"),
        trace("q", "x" * 2001, 1.0),
    ],
    ids=["partial", "validation", "test", "too long"],
)
def test_unusable_rollouts_are_no_source(unusable):
    assert DemonstrationsProposer().propose(request(parent(), traces=[unusable], experience=[unusable])) == {}


def test_a_conversation_is_shown_whole():
    right = trace("and then?", "right", 1.0, turns=2)
    proposal = DemonstrationsProposer().propose(request(parent(), traces=[right]))
    assert load_examples(proposal["examples"]) == [WorkedExample("an earlier turn\n\nand then?", "right")]


def test_the_verified_answer_to_a_failed_question_is_preferred():
    failed = POOL[7][0]
    chosen = Counter(
        questions(
            DemonstrationsProposer(4).propose(
                request(parent(*POOL[:3]), traces=[trace(failed, "?", 0.0)], demonstrations=POOL, seed=seed)
            )
        )[-1]
        for seed in range(400)
    )
    others = [chosen[q] for q, _ in POOL[3:] if q != failed]
    assert chosen[failed] > 2 * max(others), chosen


def test_a_failed_question_is_shown_with_its_verified_answer_and_not_with_a_lucky_rollout():
    asked, verified = POOL[0]
    traces = [trace(asked, "lucky", 1.0), trace(asked, "unlucky", 0.0)]
    for seed in SEEDS:
        proposal = DemonstrationsProposer(1).propose(
            request(parent(), traces=traces, demonstrations=POOL[:1], seed=seed)
        )
        assert load_examples(proposal["examples"]) == [WorkedExample(asked, verified)]


def test_a_failed_question_without_a_verified_answer_adds_nothing():
    assert DemonstrationsProposer().propose(request(parent(), traces=[trace("unknown", "?", 0.0)])) == {}


def test_a_context_without_an_examples_component_is_left_alone():
    bare = dataclasses.replace(parent(), components={"instruction": "x"})
    assert DemonstrationsProposer().propose(request(bare, demonstrations=POOL)) == {}


def test_a_maximum_below_one_is_bad_input():
    with pytest.raises(BadInput, match="max_examples"):
        DemonstrationsProposer(0)


def test_full_edits_draw_all_examples_anew():
    whole = DemonstrationsProposer(3, edits="full")
    asked = [questions(whole.propose(request(parent(*POOL[:3]), demonstrations=POOL, seed=seed))) for seed in range(30)]
    small = DemonstrationsProposer(3)
    kept = [questions(small.propose(request(parent(*POOL[:3]), demonstrations=POOL, seed=seed))) for seed in range(30)]

    def shared(found) -> float:
        return sum(len({q for q, _ in POOL[:3]} & set(one)) for one in found if one) / len(
            [one for one in found if one]
        )

    assert shared(kept) >= 2 > shared(asked)
    assert {len(one) for one in asked} == {2, 3}
