"""A template with contexts renders what the run rendered, whatever the texts hold, or it is refused."""

from __future__ import annotations

import random
from datetime import datetime
from typing import Any

import jinja2
import jinja2.meta
import jinja2.nodes
import pytest
from transformers import PreTrainedTokenizerFast

from fastslow.contexts.context import Context
from fastslow.contexts.rendering import render_chat
from fastslow.core.errors import BadInput
from fastslow.export.equality import MOMENTS, TOOLS, check_equal, conversations
from fastslow.export.template import ARGUMENT, NONE, check_names, literal, with_contexts
from fastslow.policy.chat import Chat
from tests.support.shipped import CONTEXTS, a_context
from tests.support.templates import CHATML, FAMILIES, GEMMA, LLAMA3, MISTRAL
from tests.support.tiny import CHAT_TEMPLATE, tiny_tokenizer

DATE = "2026-01-01"
PIECES = (
    "{{ 7 * 7 }}", "{% set messages = [] %}", "{# gone #}", "{%- endif -%}", "'", '"', '"""', "\\", "\\n", "\n", "\r\n",
    "\t", " ", "  ", "\u2028", "\u2029", "\x0b", "\x1c", "\x00", "🙂", "👩‍👩‍👧", "é", "é", "ß", "日本語", "‏עברית",
    "}}", "%}", "<CONTEXTS>",
    "fastslow_context", "<|im_end|>", "<end_of_turn>", "None", "x²", "A", "word", "{% generation %}", "$&", "\\1",
)  # fmt: skip


def hostile(rng: random.Random, least: int = 1) -> str:
    """A text of pieces that templates, quoting and tokenizers stumble over; never blank."""
    return "".join(rng.choice(PIECES) for _ in range(rng.randint(least, 8))) + rng.choice("abc")


def hostile_context(rng: random.Random) -> Context:
    worked = [(hostile(rng), hostile(rng, 0)) for _ in range(rng.randint(0, 3))]
    return a_context(hostile(rng) if rng.random() < 0.8 else "", *worked)


def hostile_chat(rng: random.Random, contexts: list[Context]) -> list[dict[str, str]]:
    """A question, sometimes one of a context's worked examples, with or without a system turn and turns after it."""
    own = [worked.question for context in contexts for worked in context.worked_examples]
    question = rng.choice(own) if own and rng.random() < 0.3 else hostile(rng)
    if question.isascii() and rng.random() < 0.3:
        question = f" {question.upper()} "
    turns = [{"role": "user", "content": question}]
    if rng.random() < 0.2:  # the question of several turns
        turns.append({"role": "user", "content": hostile(rng)})
    if rng.random() < 0.4:
        turns.insert(0, {"role": "system", "content": hostile(rng)})
    for _ in range(rng.randint(0, 2)):
        turns += [{"role": "assistant", "content": hostile(rng)}, {"role": "user", "content": hostile(rng)}]
    return turns


def tokenizer_with(template: str | dict[str, str]) -> PreTrainedTokenizerFast:
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = template
    return tokenizer


def shipped(template: str, contexts: Any, **kwargs: Any) -> PreTrainedTokenizerFast:
    own = tokenizer_with(template)
    return tokenizer_with(with_contexts(own, contexts, lead=contexts[0], date=DATE, **kwargs))  # type: ignore[arg-type]


def ids(tokenizer: PreTrainedTokenizerFast, turns: list[dict[str, str]], **arguments: Any) -> list[int]:
    rendered: Any = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=False, **arguments)
    return list(rendered)


@pytest.mark.parametrize("family", FAMILIES)
def test_200_random_requests_have_the_ids_of_our_own_rendering(family: str) -> None:
    rng = random.Random(family)
    equal = 0
    for _ in range(40):
        contexts = [hostile_context(rng) for _ in range(3)]
        exported, chat = shipped(FAMILIES[family], contexts), Chat(tokenizer_with(FAMILIES[family]), date=DATE)
        for _ in range(5):
            turns, context = hostile_chat(rng, contexts), rng.choice([None, *contexts])
            ours = chat.ids(render_chat(context or contexts[0], turns, system_role=chat.system_role), "a request")
            arguments = {ARGUMENT: context.id} if context is not None else {}
            assert tuple(ids(exported, turns, **arguments)) == ours, (context, turns)
            equal += 1
    assert equal == 200


@pytest.mark.parametrize("family", FAMILIES)
def test_the_check_at_export_passes_for_every_family(family: str) -> None:
    contexts = list(CONTEXTS)
    exported, chat = shipped(FAMILIES[family], contexts), Chat(tokenizer_with(FAMILIES[family]), date=DATE)
    assert check_equal(exported, chat, contexts, contexts[0], conversations(contexts)) >= 100


def said(role: str, content: Any, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


CALL = said("assistant", "", tool_calls=[{"id": "abcdefghi", "type": "function", "function": {"name": "f"}}])
ASK, RESULTS = said("user", "What is 17 + 25?"), [said("tool", text, tool_call_id="x") for text in ("first", "second")]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("context", [None, CONTEXTS[0], CONTEXTS[3]], ids=["none", "worked", "empty"])
@pytest.mark.parametrize(
    "turns",
    [
        [ASK, CALL, *RESULTS],
        [ASK, said("user", "And 1 + 1?")],
        [ASK, said("assistant", "It is 42."), said("user", "Are you sure?"), said("user", "And 1 + 1?")],
        [said("system", "Answer briefly."), ASK, said("assistant", "42"), said("assistant", "Or 43."), ASK],
        [ASK, said("assistant", "It is")],
        [said("user", ""), ASK],
    ],
    ids=["results", "users", "users later", "assistants", "assistant last", "empty"],
)
def test_a_conversation_of_any_shape_has_our_ids_or_is_refused_by_the_models_template(
    family: str, context: Context | None, turns: list[Any]
) -> None:
    own = tokenizer_with(FAMILIES[family])
    exported, chat = shipped(FAMILIES[family], CONTEXTS), Chat(own, date=DATE)
    try:
        messages = render_chat(context, turns, system_role=chat.system_role) if context is not None else turns
        ours = chat.ids(messages, "a request")
    except BadInput:  # as Gemma of tools, and as Mistral of an answer where the question should stand
        with pytest.raises(jinja2.TemplateError):
            ids(exported, turns, **{ARGUMENT: context.id if context is not None else NONE})
        return
    assert tuple(ids(exported, turns, **{ARGUMENT: context.id if context is not None else NONE})) == ours


@pytest.mark.parametrize("family", FAMILIES)
def test_the_proxy_before_an_export_gives_the_ids_of_the_export_itself(family: str) -> None:
    exported = shipped(FAMILIES[family], CONTEXTS)
    system_role = Chat(tokenizer_with(FAMILIES[family]), date=DATE).system_role
    question = [said("user", "What is"), said("user", "1 + 2?")]  # a worked example, asked in two turns
    for turns in (question, [*question, said("assistant", "3"), ASK, ASK], [said("system", "Be brief."), *question]):
        for context in CONTEXTS:
            sent = render_chat(context, turns, system_role=system_role)
            assert ids(exported, sent, **{ARGUMENT: NONE}) == ids(exported, turns, **{ARGUMENT: context.id})


def test_results_of_tools_are_not_joined_where_speakers_alternate() -> None:
    turns = [ASK, said("user", "And 1 + 1?"), CALL, *RESULTS]  # the two users are joined, or the template refuses them
    text = str(tiny_tokenizer().decode(ids(shipped(MISTRAL, CONTEXTS), turns)))
    assert text.endswith("[TOOL_RESULTS] first x[/TOOL_RESULTS][TOOL_RESULTS] second x[/TOOL_RESULTS]")


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("role", ["user", "system"])
def test_parts_of_text_are_one_text_for_the_template_as_for_the_proxy(family: str, role: str) -> None:
    parts = [{"type": "text", "text": "What is"}, {"type": "text", "text": "1 + 2?"}]
    after = [ASK] if role == "system" else []
    exported = shipped(FAMILIES[family], CONTEXTS)
    joined = ids(exported, [said(role, "What is\n1 + 2?"), *after])
    assert ids(exported, [said(role, parts), *after]) == joined
    with pytest.raises(jinja2.TemplateError, match="text only"):
        ids(exported, [said(role, [{"type": "image_url", "image_url": {"url": "file:///x"}}]), *after])


def test_an_answer_that_is_to_be_continued_is_left_open() -> None:
    turns = [ASK, said("assistant", "It is 4")]
    how: Any = {"continue_final_message": True, "tokenize": False}
    ours = tokenizer_with(CHATML).apply_chat_template(render_chat(CONTEXTS[0], turns), **how)
    assert shipped(CHATML, CONTEXTS).apply_chat_template(turns, **how) == ours
    assert str(ours).endswith("It is 4")


@pytest.mark.parametrize(
    ("part", "instead"),
    [
        ("not turn['tool_calls'] and", "true or"),
        ('and turn[\'role\'] in ["system", "developer", "user", "assistant"]', ""),
        ("if fastslow.meet", "if fastslow.meet and fastslow_context != 'none'"),
        ("if fastslow.meet", "if false"),
        ("| map(attribute='text') | join('\\n')", "| map(attribute='text') | join(' ')"),
        ("fastslow.asking and turn['role']", "turn['role']"),
        ("and turn['content'] is string", "and not fastslow.question"),
    ],
)
def test_the_check_at_export_has_a_conversation_for_every_part_of_the_header(part: str, instead: str) -> None:
    chat, exported = Chat(tokenizer_with(MISTRAL), date=DATE), shipped(MISTRAL, CONTEXTS)
    assert part in str(exported.chat_template)
    exported.chat_template = str(exported.chat_template).replace(part, instead)
    with pytest.raises(BadInput, match="Nothing was exported"):
        check_equal(exported, chat, CONTEXTS, CONTEXTS[0], conversations(CONTEXTS))


def test_a_named_template_for_tools_is_compared_as_well() -> None:
    own = tokenizer_with({"default": CHATML, "tool_use": "TOOLS" + CHATML})
    exported = tokenizer_with(with_contexts(own, CONTEXTS, lead=CONTEXTS[0], date=DATE))
    own.chat_template = {"default": CHATML, "tool_use": "OTHER" + CHATML}
    chat, with_tools = Chat(own, date=DATE), Chat(own, date=DATE, kwargs={"tools": list(TOOLS)})
    how: Any = (exported, chat, CONTEXTS, CONTEXTS[0], conversations(CONTEXTS))
    assert check_equal(*how) >= 100
    with pytest.raises(BadInput, match="Nothing was exported"):
        check_equal(*how, with_tools=with_tools)


def test_another_default_than_the_lead_is_what_a_request_gets_that_names_none() -> None:
    own, turns = tokenizer_with(CHATML), [ASK]
    template = with_contexts(own, CONTEXTS, lead=CONTEXTS[0], default=CONTEXTS[2], date=DATE)
    exported = tokenizer_with(template)
    assert ids(exported, turns) == ids(exported, turns, **{ARGUMENT: CONTEXTS[2].id})
    assert ids(exported, turns, **{ARGUMENT: "lead"}) == ids(exported, turns, **{ARGUMENT: CONTEXTS[0].id})
    chat = Chat(own, date=DATE)
    how: Any = (exported, chat, CONTEXTS, CONTEXTS[0], conversations(CONTEXTS))
    assert check_equal(*how, default=CONTEXTS[2]) >= 100
    with pytest.raises(BadInput, match="under the default"):
        check_equal(*how)


@pytest.mark.parametrize("name", ["x" * 300, "../x", "a/b", "a\nb", ".hidden", "", "\x1b[31m"])
def test_a_template_whose_name_is_no_name_of_a_file_is_refused(name: str) -> None:
    with pytest.raises(BadInput, match="no name of a file") as raised:
        check_names({"default": CHATML, name: CHATML})
    assert len(str(raised.value)) < 300
    assert str(raised.value).isprintable()
    check_names({"default": CHATML, "tool_use": CHATML})
    check_names(CHATML)


def test_a_client_that_asks_for_none_gets_the_models_own_template() -> None:
    turns = [{"role": "user", "content": "What is 1 + 2?"}]
    exported = shipped(CHATML, CONTEXTS)
    assert ids(exported, turns, **{ARGUMENT: NONE}) == ids(tokenizer_with(CHATML), turns)
    assert ids(exported, turns) != ids(tokenizer_with(CHATML), turns)


def test_a_worked_example_that_is_the_question_is_left_out_whatever_its_case_and_spaces() -> None:
    exported, context = shipped(CHATML, CONTEXTS), CONTEXTS[0]
    text = exported.decode(ids(exported, [{"role": "user", "content": "  what IS 1 +\n2?"}]))
    assert "5 + 5" in text
    assert "<|im_start|>assistant\n3<|im_end|>" not in text
    assert context.worked_examples[0].answer == "3"


def test_an_unknown_context_is_an_error_and_not_the_lead() -> None:
    with pytest.raises(jinja2.TemplateError, match="no context of this model"):
        ids(shipped(CHATML, CONTEXTS), [{"role": "user", "content": "?"}], **{ARGUMENT: "0123456789ab"})


def test_servers_that_pass_on_only_what_a_template_reads_pass_on_the_context() -> None:
    template = shipped(LLAMA3, CONTEXTS).chat_template
    names = jinja2.meta.find_undeclared_variables(jinja2.Environment().parse(str(template)))
    assert {ARGUMENT, "messages", "add_generation_prompt", "date_string"} <= names


def test_vllm_takes_the_header_for_no_template_that_reads_lists_of_parts() -> None:
    # It looks for loops over a message's content, and breaks off at an assignment of `messages` to anything but a name.
    tree = jinja2.Environment().parse(str(shipped(CHATML, CONTEXTS).chat_template))
    loops = [loop.iter for loop in tree.find_all(jinja2.nodes.For)]
    assert not [one for one in loops if isinstance(one, jinja2.nodes.Getitem) and "content" in repr(one.arg)]
    sources = [one for one in tree.find_all(jinja2.nodes.Assign) if not isinstance(one.target, jinja2.nodes.Name)]
    assert not [one for one in sources if isinstance(one.node, jinja2.nodes.Name) and one.node.name == "messages"]


def test_half_a_surrogate_pair_is_refused() -> None:
    for text in ("\ud83d", "a\udfff"):
        with pytest.raises(BadInput, match="surrogate"):
            shipped(CHATML, [a_context(text)])


def test_a_component_that_the_template_does_not_know_is_refused() -> None:
    with pytest.raises(BadInput, match="'memory'"):
        shipped(CHATML, [Context({"instruction": "", "examples": "", "memory": "x"})])


@pytest.mark.parametrize("start", ["", "\n", "  ", "\n\n  {% if true %}x{% endif %}\n", "{# a comment #}\n"])
def test_what_stands_at_the_beginning_of_a_template_stays(start: str) -> None:
    turns = [{"role": "user", "content": "?"}]
    exported = shipped(start + CHAT_TEMPLATE, [a_context()])
    assert ids(exported, turns) == ids(tokenizer_with(start + CHAT_TEMPLATE), turns)


def test_arguments_of_the_run_become_defaults_that_a_request_may_change() -> None:
    template = "{{ mood }} {{ flags.deep[0] }}" + CHAT_TEMPLATE
    kwargs = {"mood": "calm {{ 1 }}", "flags": {"deep": [None]}}
    exported, own = shipped(template, CONTEXTS, kwargs=kwargs), tokenizer_with(template)
    turns = [{"role": "user", "content": "?"}]
    for changed in ({}, {"mood": "wild"}):
        assert ids(exported, turns, **{ARGUMENT: NONE}, **changed) == ids(own, turns, **{**kwargs, **changed})


def test_the_date_of_the_run_is_printed_and_not_that_of_the_server() -> None:
    text = tiny_tokenizer().decode(ids(shipped(LLAMA3, CONTEXTS), [{"role": "user", "content": "?"}]))
    assert "Today Date: 01 Jan 2026" in text


def test_a_template_whose_clock_cannot_be_stopped_is_refused_by_the_check() -> None:
    template = "{% set form = '%Y %f' %}{{ strftime_now(form) }}" + CHATML
    exported, chat = shipped(template, CONTEXTS), Chat(tokenizer_with(template), date=DATE)
    with pytest.raises(BadInput, match="Nothing was exported"):
        check_equal(exported, chat, CONTEXTS, CONTEXTS[0], conversations(CONTEXTS))


def test_a_clock_that_shows_the_runs_own_date_today_is_refused_as_well() -> None:
    template = "{% set form = '%Y' %}{{ strftime_now(form) }}" + CHATML
    today = datetime.now().date().isoformat()
    own = tokenizer_with(template)
    exported = tokenizer_with(with_contexts(own, CONTEXTS, lead=CONTEXTS[0], date=today))
    with pytest.raises(BadInput, match="Nothing was exported"):
        check_equal(exported, Chat(own, date=today), CONTEXTS, CONTEXTS[0], conversations(CONTEXTS))


def test_the_two_days_of_the_check_differ_in_every_format() -> None:
    for form in "aAbBdHIjmMpSUwWyY":
        assert MOMENTS[0].strftime(f"%{form}") != MOMENTS[1].strftime(f"%{form}"), form


def test_a_template_that_gives_other_ids_is_refused_with_the_place() -> None:
    chat = Chat(tokenizer_with(GEMMA), date=DATE)
    with pytest.raises(BadInput, match=r"differs from token \d+ on"):
        check_equal(shipped(CHATML, CONTEXTS), chat, CONTEXTS, CONTEXTS[0], conversations(CONTEXTS))


def test_each_of_several_named_templates_gets_the_contexts() -> None:
    own = tokenizer_with({"default": CHATML, "tool_use": "TOOLS" + CHATML})
    templates = with_contexts(own, CONTEXTS, lead=CONTEXTS[0], date=DATE)
    assert isinstance(templates, dict)
    exported, turns = tokenizer_with(templates), [{"role": "user", "content": "?"}]
    tool = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
    assert "Answer with the number alone" in exported.decode(ids(exported, turns))
    assert "TOOLS" in exported.decode(ids(exported, turns, tools=tool))


@pytest.mark.parametrize("value", ["", "a\n'\"\\{{", 1, -2.5, True, None, ["a", [1]], {"k": {"l": "m"}}])
def test_a_literal_is_read_back_as_it_was(value: Any) -> None:
    read = jinja2.Environment().compile_expression(literal(value, "it"), undefined_to_none=False)()
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), {1: 2}, b"x"])
def test_what_is_no_json_is_refused_in_one_line(value: Any) -> None:
    with pytest.raises(BadInput, match="cannot hold"):
        literal(value, "it")
