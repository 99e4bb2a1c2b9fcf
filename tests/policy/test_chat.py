"""A chat template renders the same at any time, and where it cannot show a row, one line names the row."""

from __future__ import annotations

import random
from typing import Any

import pytest

from fastslow.core.errors import BadInput
from fastslow.policy.chat import Chat
from tests.support.tiny import CHAT_TEMPLATE, tiny_tokenizer

TURN = "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
LOOP = "{% for message in messages %}" + TURN + "{% endfor %}"
ALTERNATING = (
    "{% for message in messages %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate user/assistant') }}{% endif %}" + TURN + "{% endfor %}"
)
LAST_ONLY = "{% for message in messages[-1:] %}" + TURN + "{% endfor %}"


def user(content: str) -> dict[str, str]:
    return {"role": "user", "content": content}


def chat(template: str, **kwargs: Any) -> Chat:
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = template
    return Chat(tokenizer, **kwargs)


def refused(template: str, messages: list[dict[str, str]] | None = None, **kwargs: Any) -> str:
    with pytest.raises(BadInput) as raised:
        chat(template, **kwargs).text(messages or [user("2 + 2?")], "example 7")
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{{ raise_exception('never') }}", "refuses the turns: never"),
        ("{% for message in messages %}", "syntax error in line 1"),
        ("{{ messages[0]['content'] }", "syntax error in line 1"),
        ("{{ messages | no_such_filter }}", "syntax error"),
        ("{{ date_string.upper() }}", "'date_string' is undefined; --chat_template_kwargs"),
        ("{{ messages[0]['content'] + 1 }}", "fails with TypeError"),
        ("{{ 1 // 0 }}", "fails with ZeroDivisionError"),
        ("{{ range(999999999) | list }}", "fails with OverflowError"),
        ("{{ messages.pop() }}", "refuses the turns"),
    ],
)
def test_a_template_that_cannot_show_any_question_is_refused_in_one_line(template: str, said: str) -> None:
    assert said in refused(template)


@pytest.mark.parametrize("end", ["{{ '\\ud83d' }}", "{{ '\\udc00' }}", "{{ '\\ud83d\\ude00'[:1] }}"])
def test_half_a_surrogate_pair_in_what_a_template_renders_is_refused_in_one_line(end: str) -> None:
    assert "renders half a surrogate pair for" in refused(LOOP + end)


@pytest.mark.parametrize("template", ["", "{# nothing #}", "Hello.", "{% if false %}" + LOOP + "{% endif %}"])
def test_a_template_that_leaves_the_question_out_is_refused(template: str) -> None:
    assert "leaves out the user turn" in refused(template or "{{ '' }}")


def test_a_refusal_names_the_row_whose_turns_it_is_about() -> None:
    with_assistant_first = [{"role": "assistant", "content": "a"}, user("b")]
    said = refused(ALTERNATING, with_assistant_first)
    assert "example 7" in said
    assert "roles must alternate" in said


def test_user_turns_are_merged_only_where_the_template_wants_roles_to_alternate() -> None:
    rows = [user("first"), user("second")]
    assert chat(ALTERNATING).text(rows, "x").count("<|im_start|>user") == 1
    assert "first\n\nsecond" in chat(ALTERNATING).text(rows, "x")
    assert chat(LOOP).text(rows, "x").count("<|im_start|>user") == 2


def test_a_template_that_shows_the_last_turn_alone_is_given_them_merged() -> None:
    assert "first\n\nsecond" in chat(LAST_ONLY).text([user("first"), user("second")], "x")


def test_a_turn_that_no_arrangement_shows_is_named() -> None:
    rows = [user("first"), {"role": "assistant", "content": "a"}, user("second")]
    assert "leaves out the user turn of example 7" in refused(LAST_ONLY, rows)
    assert not chat(LAST_ONLY).shows_worked_examples()
    assert chat(LOOP).shows_worked_examples()


def test_a_template_that_trims_or_rewrites_the_question_shows_it() -> None:
    for change in ("| trim", "| upper", "| replace('a', 'b')"):
        template = LOOP.replace("message['content']", f"(message['content'] {change})")
        assert chat(template).text([user("  a question \n")], "x")


def test_a_keyword_that_the_template_needs_comes_from_the_settings() -> None:
    needs = "{{ date_string.upper() }}" + CHAT_TEMPLATE
    made = chat(needs, kwargs={"date_string": "today"})
    assert made.text([user("2 + 2?")], "x").startswith("TODAY")
    assert made.system_role, "the probe for a system role must be given the keyword too"


@pytest.mark.parametrize(
    "moment", ["{{ strftime_now('%d %b %Y %H:%M:%S.%f') }}", "{% set now = strftime_now %}{{ now('%f') }}"]
)
def test_a_template_that_prints_the_clock_prints_the_same_each_time(moment: str) -> None:
    texts = {chat(moment + CHAT_TEMPLATE).text([user("2 + 2?")], "x") for _ in range(3)}
    assert len(texts) == 1


def test_the_date_that_a_template_prints_is_the_one_of_the_settings() -> None:
    template = "{{ strftime_now('%Y-%m-%d %H:%M') }}" + CHAT_TEMPLATE
    assert chat(template).text([user("?")], "x").startswith("2026-01-01 00:00")
    assert chat(template, date="1999-12-31T23:59").text([user("?")], "x").startswith("1999-12-31 23:59")


def test_a_macro_is_told_the_same_date() -> None:
    template = "{% macro today() %}{{ strftime_now('%Y') }}{% endmacro %}{{ today() }}" + CHAT_TEMPLATE
    assert chat(template, date="1999-12-31").text([user("?")], "x").startswith("1999")


def test_a_template_that_draws_at_random_draws_the_same_and_leaves_everybody_their_draws() -> None:
    made, texts = chat("{{ range(1000) | list | random }}" + CHAT_TEMPLATE), set()
    usual = random.getstate()
    try:
        for seed in range(5):
            random.seed(seed)
            state = random.getstate()
            texts.add(made.text([user("?")], "x"))
            assert random.getstate() == state
    finally:
        random.setstate(usual)
    assert len(texts) == 1


def test_a_token_that_the_embedding_has_no_row_for_is_named_with_its_row() -> None:
    tokenizer = tiny_tokenizer()
    rows = len(tokenizer)
    tokenizer.add_tokens(["<tool>"])
    made = Chat(tokenizer, ids_below=rows)
    assert made.ids([user("2 + 2?")], "example 7")
    with pytest.raises(BadInput, match=r"example 7 has the token '<tool>'"):
        made.ids([user("use a <tool>")], "example 7")
