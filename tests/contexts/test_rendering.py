"""A conversation that a client began, under a context."""

from __future__ import annotations

import pytest

from fastslow.contexts.rendering import question_of, render, render_chat
from fastslow.core.types import Example
from tests.support.shipped import CONTEXTS, a_context

CONTEXT = a_context("Be brief.", ("1 + 1?", "2"))


def turns(*pairs: tuple[str, str]) -> list[dict[str, str]]:
    return [{"role": role, "content": content} for role, content in pairs]


@pytest.mark.parametrize("system_role", [True, False])
@pytest.mark.parametrize("context", [*CONTEXTS, CONTEXT])
def test_a_question_alone_is_rendered_as_in_training(context, system_role: bool) -> None:
    for messages in (turns(("user", "What is 1 + 2?")), turns(("user", "1 + 1?")), turns(("user", "a"), ("user", "b"))):
        example = Example("e", "t", "test", tuple(messages))
        assert render_chat(context, messages, system_role=system_role) == render(
            context, example, system_role=system_role
        )


def test_a_system_turn_follows_the_instruction_and_the_worked_examples_follow_both() -> None:
    chat = turns(("system", "Speak French."), ("user", "Hi"), ("assistant", "Salut"), ("user", "1 + 1?"))
    before = turns(("system", "Be brief.\n\nSpeak French."), ("user", "1 + 1?"), ("assistant", "2"))
    assert render_chat(CONTEXT, chat) == [*before, *chat[1:]]


def test_without_a_system_role_both_go_into_the_first_turn() -> None:
    chat = turns(("developer", "Speak French."), ("user", "Hi"))
    assert render_chat(CONTEXT, chat, system_role=False) == turns(
        ("user", "Be brief.\n\nSpeak French.\n\n1 + 1?"), ("assistant", "2"), ("user", "Hi")
    )


def test_a_system_turn_stays_where_the_context_has_no_instruction() -> None:
    chat = turns(("system", "Speak French."), ("user", "Hi"))
    assert render_chat(a_context(), chat) == chat
    assert render_chat(a_context(), turns(("system", ""), ("user", "Hi")))[0] == {"role": "system", "content": ""}


def test_a_worked_example_is_left_out_for_the_first_question_and_not_for_a_later_one() -> None:
    later = turns(("user", "Hi"), ("assistant", "Hi"), ("user", "1 + 1?"))
    assert len(render_chat(CONTEXT, later)) == 6
    assert len(render_chat(CONTEXT, turns(("system", "S"), ("user", "1 +  1?")))) == 2


@pytest.mark.parametrize(
    ("chat", "question"),
    [
        (turns(("user", "a")), "a"),
        (turns(("system", "s"), ("user", "a"), ("user", "b"), ("assistant", "c"), ("user", "d")), "a\n\nb"),
        (turns(("assistant", "c"), ("user", "d")), ""),
        (turns(("system", "s")), ""),
        ([], ""),
    ],
)
def test_the_question_is_what_the_user_says_before_anybody_answers(chat: list[dict[str, str]], question: str) -> None:
    assert question_of(chat) == question
