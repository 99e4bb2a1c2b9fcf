"""Small edits of the compiled rules below an instruction that stays as it is."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import Any

import pytest

from fastslow.fast.proposers import (
    PROPOSERS,
    HeldOut,
    InstructionsProposer,
    MixedProposer,
    make_proposer,
    proposal_problem,
)
from fastslow.fast.proposers.instructions import HEADER, MAX_FIRST, MAX_RULES, Instruction

from .helpers import example, inputs, parent, request, trace

RULES = ["Use capital letters.", "Keep the tone polite.", "Write one line.", "Do not explain.", "Never apologise.",
         "End with a full stop.", "Show no working."]  # fmt: skip
FEEDBACK = [rule.rstrip(".").lower() for rule in RULES]
TRACES = [trace(f"Problem {i}{a}", f"reply {i}", 0.0, FEEDBACK[i]) for i in range(len(RULES)) for a in "ab"]
SEEDS = range(120)
WRITTEN = "Answer.\n- in verse\n- and in rhyme"


def propose(*rules: str, written: str = WRITTEN, traces=TRACES, seed: int = 0, edits: Any = "small", **changes) -> Any:
    """The instruction after one edit of one with these rules; None for no proposal."""
    context = parent(instruction=Instruction(written, rules).text())
    asked = request(context, component="instruction", traces=traces, seed=seed, **changes)
    proposal = InstructionsProposer(edits=edits).propose(asked)
    assert set(proposal) <= {"instruction"}
    return Instruction.parse(proposal["instruction"]) if proposal else None


def test_the_registered_names_are_made_of_these_proposers():
    mix: Any = PROPOSERS.factory("offline")(inputs(edits="full"))
    assert isinstance(mix, MixedProposer)
    parts: Any = mix.proposers
    assert [(part.name, part.edits) for part in parts] == [("demonstrations", "full"), ("instructions", "full")]
    assert isinstance(make_proposer("instructions", inputs()), InstructionsProposer)


def test_a_proposal_is_a_function_of_the_request():
    for seed in SEEDS:
        first, second = (propose(*RULES[:2], seed=seed) for _ in range(2))
        assert first == second
    assert len({propose(*RULES[:2], seed=seed) for seed in SEEDS}) > 5


def test_what_was_written_stays_to_the_letter():
    for written in ("", WRITTEN, "Answer.\n\n", f"Say '{HEADER}'.", "ends with a blank "):
        for seed in SEEDS[:20]:
            assert propose(written=written, seed=seed).written == written
            assert propose(*RULES[:3], written=written, seed=seed).written == written


def test_a_list_that_someone_else_wrote_or_changed_is_not_ours():
    ours = Instruction("Answer.", ("Use capital letters.",)).text()
    for text in (WRITTEN, f"{ours}\nThat is all.", f"Answer. {HEADER}\n- x", f"Answer.\n\n{HEADER}\nx", f"{HEADER}"):
        assert Instruction.parse(text) == Instruction(text, ())
        edited = InstructionsProposer().propose(request(parent(instruction=text), traces=TRACES))["instruction"]
        assert edited.startswith(f"{text}\n\n{HEADER}\n- ")


def test_an_instruction_without_rules_gets_one_to_three():
    sizes = Counter(len(propose(seed=seed).rules) for seed in SEEDS)
    assert set(sizes) == set(range(1, MAX_FIRST + 1))


def test_an_edit_adds_replaces_drops_or_moves_one_rule():
    before, edits = RULES[:3], Counter()
    for seed in SEEDS:
        after = propose(*before, seed=seed).rules
        differing = sum(a != b for a, b in zip(before, after, strict=False))
        if len(after) == 4:
            assert after[:3] == tuple(before)
            edits["add"] += 1
        elif len(after) == 2:
            assert set(after) < set(before)
            edits["drop"] += 1
        elif set(after) == set(before):
            assert differing == 2
            edits["reorder"] += 1
        else:
            assert differing == 1
            edits["replace"] += 1
    assert set(edits) == {"add", "drop", "reorder", "replace"}
    assert edits["add"] > edits["drop"]


def test_there_are_never_more_rules_than_the_bound():
    for seed in SEEDS:
        assert len(propose(*RULES[:MAX_RULES], seed=seed).rules) <= MAX_RULES
        assert len(propose(seed=seed, edits="full").rules) == MAX_RULES


def test_a_rule_that_the_parents_own_rollouts_break_goes_first():
    context = parent(instruction=Instruction("", tuple(RULES[:3])).text())
    own = [dataclasses.replace(one, context_id=context.id) for one in TRACES if one.verdict.feedback == FEEDBACK[1]]
    gone = Counter()
    for seed in range(400):
        asked = request(context, traces=own, experience=TRACES, seed=seed)
        after = Instruction.parse(InstructionsProposer().propose(asked)["instruction"]).rules
        gone.update(set(RULES[:3]) - set(after))
    assert gone[RULES[1]] > 2 * max(gone[RULES[0]], gone[RULES[2]]), gone


def test_nothing_new_is_no_proposal():
    assert propose(traces=()) is None
    assert propose(RULES[0], traces=TRACES[:2]) is None, "the only rule that there is stands there"
    assert propose(traces=TRACES[:2], written="use  CAPITAL letters.") is None, "in the words of someone else"
    unscored = [trace(one.example.question, "x", None) for one in TRACES]
    assert propose(traces=unscored) is None
    assert propose(RULES[0], traces=(), edits="full") is None


def test_full_edits_compile_all_rules_anew_the_heaviest_first():
    often = [trace(f"More {i}", "x", 0.0, FEEDBACK[6]) for i in range(3)]
    after = propose("Sing.", traces=[*TRACES[:8], *TRACES[12:], *often], edits="full").rules
    assert after == (RULES[6], *RULES[:4])


def test_experience_of_slow_steps_counts_like_traces():
    assert propose(traces=TRACES[:1], experience=TRACES[1:2]).rules == (RULES[0],)


def test_a_context_without_an_instruction_component_is_left_alone():
    bare = dataclasses.replace(parent(), components={"examples": ""})
    assert InstructionsProposer().propose(request(bare, traces=TRACES)) == {}


def test_proposals_pass_the_checks_of_a_run():
    held_out = HeldOut([example("Problem 1", "validation", "the capital of France is Paris")])
    known = parent(instruction=WRITTEN)
    for seed in SEEDS[:20]:
        edited = InstructionsProposer().propose(request(known, traces=TRACES, seed=seed))
        child = dataclasses.replace(known, components={**known.components, **edited})
        problem = proposal_problem(
            child, parent=known, known_ids={known.id}, count_tokens=len, max_tokens=1024, held_out=held_out,
            special_tokens=["<|im_start|>"],
        )  # fmt: skip
        assert problem is None


@pytest.mark.parametrize(
    "feedback", ["x" * 100_000, "use. " * 50_000, "'" * 50_000, "a1, " * 30_000, "\n- \n" * 30_000]
)
def test_endless_feedback_is_read_at_its_edges(feedback):
    traces = [trace(f"Problem {a}", "x", 0.0, feedback) for a in "abcd"]
    assert propose(traces=traces) is None
