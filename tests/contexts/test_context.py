"""Contexts: identity, lineage, the JSON of worked examples, and what a policy reads of them."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastslow.contexts.context import (
    EXAMPLES,
    INSTRUCTION,
    Context,
    WorkedExample,
    dump_examples,
    load_examples,
    seed_context,
)
from fastslow.contexts.rendering import render, with_instruction
from fastslow.core.types import Example, Verdict
from fastslow.run.assemble import verified_demonstrations

TEXT = st.text()


def example(question: str, *before: tuple[str, str]) -> Example:
    turns = [{"role": role, "content": text} for role, text in before]
    return Example("e", "t", "train", (*turns, {"role": "user", "content": question}))


def context(instruction: str = "", *worked: tuple[str, str], **kwargs) -> Context:
    examples = dump_examples([WorkedExample(*pair) for pair in worked])
    return Context({INSTRUCTION: instruction, EXAMPLES: examples}, **kwargs)


def turns(*pairs: tuple[str, str]) -> list[dict[str, str]]:
    return [{"role": role, "content": text} for role, text in pairs]


def test_a_context_reads_as_system_turn_then_worked_examples_then_the_question() -> None:
    rendered = render(context("Add.", ("1+1?", "2"), ("2+2?", "4")), example("3+3?"))
    assert rendered == turns(
        ("system", "Add."),
        ("user", "1+1?"), ("assistant", "2"),
        ("user", "2+2?"), ("assistant", "4"),
        ("user", "3+3?"),
    )  # fmt: skip


def test_without_a_system_role_the_instruction_opens_the_first_user_turn_only() -> None:
    rendered = render(context("Add.", ("1+1?", "2")), example("3+3?"), system_role=False)
    assert rendered == turns(("user", "Add.\n\n1+1?"), ("assistant", "2"), ("user", "3+3?"))


@pytest.mark.parametrize("system_role", [True, False])
def test_the_empty_seed_context_leaves_the_question_as_it_is(system_role: bool) -> None:
    asked = example("3+3?", ("user", "Hello."), ("assistant", "Hi."))
    assert render(seed_context(""), asked, system_role=system_role) == [dict(m) for m in asked.messages]


@pytest.mark.parametrize("system_role", [True, False])
def test_an_instruction_is_merged_into_a_system_turn_that_is_already_there(system_role: bool) -> None:
    existing = turns(("system", "Old."), ("user", "Hi."))
    merged = with_instruction(existing, "New.", system_role=system_role)
    assert merged == turns(("system", "New.\n\nOld."), ("user", "Hi."))
    assert existing == turns(("system", "Old."), ("user", "Hi.")), "the caller's turns were changed"


def test_an_example_never_sees_its_own_worked_answer() -> None:
    worked = context("", (" 3+3?\n", "6"), ("2+2?", "4"))
    assert render(worked, example("3+3? ")) == turns(("user", "2+2?"), ("assistant", "4"), ("user", "3+3? "))
    assert len(render(worked, example("4+4?"))) == 5, "other questions see every worked example"


def test_the_own_worked_example_is_known_by_the_whole_conversation() -> None:
    asked = example("last", ("user", "first"))
    worked = context("", ("last", "A"), (asked.question, "B"), ("other\n\nlast", "C"))
    rendered = render(worked, asked)
    assert rendered == turns(
        ("user", "last"), ("assistant", "A"),
        ("user", "other\n\nlast"), ("assistant", "C"),
        ("user", "first"), ("user", "last"),
    )  # fmt: skip


def test_the_own_worked_example_is_known_in_other_case_and_spacing() -> None:
    worked = context("", ("WHAT is\n 3+3?", "6"), ("What is 3+4?", "7"))
    assert len(render(worked, example("What is 3+3?"))) == 3


def test_the_question_of_a_conversation_says_who_spoke() -> None:
    asked = example("Why?", ("user", "2+2?"), ("assistant", "4"))
    assert asked.question == "2+2?\n\nassistant: 4\n\nWhy?"


def test_rendering_changes_neither_example_nor_context() -> None:
    asked, worked = example("3+3?"), context("Add.", ("1+1?", "2"))
    first = render(worked, asked, system_role=False)
    first[-1]["content"] = "changed"
    first[0]["content"] = "changed"
    assert asked.question == "3+3?"
    assert render(worked, asked, system_role=False)[0]["content"] == "Add.\n\n1+1?"


@given(st.dictionaries(TEXT, TEXT, max_size=4), st.randoms())
def test_the_id_does_not_depend_on_order_lineage_or_proposer(components: dict[str, str], rng) -> None:
    items = list(components.items())
    rng.shuffle(items)
    assert Context(dict(items), ("p",), "reflection").id == Context(components).id


@given(st.dictionaries(TEXT, TEXT, max_size=3), st.dictionaries(TEXT, TEXT, max_size=3))
def test_ids_differ_where_any_component_differs(one: dict[str, str], other: dict[str, str]) -> None:
    assert (Context(one).id == Context(other).id) == (one == other)


def test_the_id_cannot_be_confused_by_moving_text_between_components() -> None:
    assert context("ab").id != Context({INSTRUCTION: "a", EXAMPLES: "b"}).id
    assert Context({"a": "1", "b": ""}).id != Context({"a": "", "b": "1"}).id


def test_the_id_survives_versions_because_run_files_name_contexts_by_it() -> None:
    assert seed_context("Be brief.").id == "881cc2316a19"


def test_half_a_surrogate_pair_still_has_an_identity() -> None:
    assert seed_context("\ud800").id != seed_context("\ud801").id


@given(st.dictionaries(TEXT, TEXT, max_size=3), st.lists(TEXT, max_size=3), TEXT)
def test_lineage_survives_the_json_round_trip(components: dict[str, str], parents: list[str], proposer: str) -> None:
    before = Context(components, tuple(parents), proposer)
    after = Context.from_json(json.loads(json.dumps(before.to_json())))
    assert after == before
    assert after.id == before.id == before.to_json()["id"]


def test_the_seed_context_has_no_parents_and_says_that_it_is_the_seed() -> None:
    seed = seed_context("Be brief.")
    assert (seed.parents, seed.proposer, seed.worked_examples) == ((), "seed", ())


@given(st.lists(st.builds(WorkedExample, TEXT, TEXT), max_size=4))
def test_worked_examples_survive_the_round_trip(examples: list[WorkedExample]) -> None:
    assert load_examples(dump_examples(examples)) == examples
    assert list(Context({EXAMPLES: dump_examples(examples)}).worked_examples) == examples


@pytest.mark.parametrize("text", ["", "  \n", "[]"])
def test_no_worked_examples_are_written_in_several_ways(text: str) -> None:
    assert load_examples(text) == []


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("not json", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ('{"question": "q", "answer": "a"}', "array"),
        ('"text"', "array"),
        ('[{"question": "q", "answer": "a"}, "x"]', "item 1"),
        ('[{"question": "q"}]', "item 0"),
        ('[{"question": "q", "answer": "a", "hint": "h"}]', "item 0"),
        ('[{"question": "q", "answer": 4}]', "item 0"),
        ("[null]", "item 0"),
    ],
)
def test_malformed_worked_examples_are_refused_with_the_place(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        load_examples(text)


def test_proposers_are_offered_training_answers_only_where_the_task_has_one() -> None:
    class Task:
        name = "t"

        def split(self, name):
            assert name == "train", f"looked at {name}"
            return [example("1+1?"), example("unknown"), example("2+2?")]

        def answer(self, asked):
            return {"1+1?": "2", "2+2?": "4"}.get(asked.question)

        def score(self, asked, completion):
            return Verdict(0.0, "")

    found = [worked for _, worked in verified_demonstrations(cast(Any, Task()))]
    assert found == [WorkedExample("1+1?", "2"), WorkedExample("2+2?", "4")]
