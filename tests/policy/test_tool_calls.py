"""Tools in a model's own format: shown by its template, and calls read as its family writes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest
from transformers import AutoTokenizer
from trl import chat_template_utils

from fastslow.bundles.contexts import own_chat
from fastslow.cli.main import main
from fastslow.config.settings import FastSlowConfig
from fastslow.contexts.context import seed_context
from fastslow.core.errors import BadInput
from fastslow.policy.chat import Chat
from fastslow.policy.engines.base import SamplingParams
from fastslow.policy.loading import load_tokenizer, resolve_model
from fastslow.policy.policy import Job, Policy
from fastslow.policy.tool_calls import CallReader, with_tools
from fastslow.record.display import SilentDisplay
from fastslow.run.train import train
from fastslow.tasks.tools import ToolEpisode, schemas_of
from tests.policy.test_conversations import Scripted
from tests.support.runs import tiny_settings
from tests.support.tiny import tiny_tokenizer
from tests.tasks.test_tools import Sums, call, task

QWEN = chat_template_utils.qwen3_chat_template


@pytest.mark.parametrize(
    ("template", "said", "content"),
    [
        ("qwen3", '<tool_call>\n{"name": "add", "arguments": {"number": 3}}\n</tool_call>', None),
        (
            "qwen3_5_think",
            "I add <tool_call>\n<function=add>\n<parameter=number>\n3\n</parameter>\n</function>\n</tool_call>",
            "I add",
        ),
        ("glm4moe", "<tool_call>add\n<arg_key>number</arg_key>\n<arg_value>3</arg_value>\n</tool_call>", ""),
        ("llama3_1", '{"name": "add", "parameters": {"number": 3}}<|eot_id|>', ""),
    ],
)  # fmt: skip
def test_calls_are_heard_in_one_spelling_whatever_the_family_writes(
    template: str, said: str, content: str | None
) -> None:
    tokenizer: Any = tiny_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|eot_id|>"]})
    tokenizer.chat_template = getattr(chat_template_utils, f"{template}_chat_template")
    reader = CallReader(tokenizer, schemas_of(Sums()))
    ids = tokenizer(said, add_special_tokens=False)["input_ids"]
    text = tokenizer.decode(ids, skip_special_tokens=True)
    heard = reader.spelled([], ids, text)
    if content is None:
        assert heard == text, "this is the one spelling"
    else:
        assert heard == f'{content}\n<tool_call>{{"name": "add", "arguments": {{"number": 3}}}}</tool_call>'.strip()
    assert ToolEpisode(Sums(), {"wanted": 5}).step(heard).text == "3"
    nothing = tokenizer("No call.", add_special_tokens=False)["input_ids"]
    assert reader.spelled([], nothing, "No call.") == "No call."
    assert tokenizer.response_template is None, "TRL's mark is not saved with ours"


def test_a_template_is_given_the_tools_or_refused() -> None:
    tokenizer: Any = tiny_tokenizer()
    tools, date = schemas_of(Sums()), "2026-01-01"
    with pytest.raises(BadInput, match="shows no tools"):
        with_tools(tokenizer, None, tools, date)
    tokenizer.chat_template = QWEN
    assert with_tools(tokenizer, {"enable_thinking": False}, tools, date) == {"enable_thinking": False, "tools": tools}
    assert with_tools(tokenizer, {"tools": []}, tools, date) == {"tools": []}, "what a user says stays"


def test_a_result_that_a_template_leaves_out_is_no_silence() -> None:
    tokenizer: Any = tiny_tokenizer()
    turns = "{% for message in messages if message['role'] != 'tool' %}<{{ message['role'] }}>{{ message['content'] }}"
    tokenizer.chat_template = turns + "{% endfor %}"
    with pytest.raises(BadInput, match="leaves out the tool turn"):
        Chat(tokenizer).after_answer("3", role="tool")


def test_a_run_shows_its_tools_to_the_model_and_its_bundle_knows_them(tmp_path: Path) -> None:
    settings = tiny_settings(tmp_path, max_turns=2, max_completion_length=4, eval_steps=2, eval_strategy="steps")
    tokenizer: Any = load_tokenizer(resolve_model(settings["model"]))
    tokenizer.chat_template = QWEN
    tokenizer.save_pretrained(settings["model"])
    config = FastSlowConfig(**{name: value for name, value in settings.items() if name != "task"})
    trained = train(config, task=task(), display=SilentDisplay())
    assert trained["steps"] == 2
    known = json.loads((tmp_path / "run/bundle/bundle.json").read_text())
    chat = own_chat(tokenizer, known["settings"])
    assert "<tool_response>\n3\n</tool_response>" in tokenizer.decode(chat.after_answer("3", role="tool"))
    assert "<tool_response>" not in tokenizer.decode(chat.after_answer("3"))
    assert "Add a number to the total." in chat.text([{"role": "user", "content": "a"}], "a question")
    assert main(["export", str(tmp_path / "run"), "--output", str(tmp_path / "out")]) == 0
    exported: Any = AutoTokenizer.from_pretrained(tmp_path / "out")
    asked = exported.apply_chat_template([{"role": "user", "content": "a"}], tokenize=False)
    assert "Add a number to the total." in asked, "as in training, unless a request brings tools of its own"


def test_a_conversation_of_calls_reads_as_the_chat_template_would_have_it() -> None:
    sums, tokenizer = task(), cast(Any, tiny_tokenizer())
    tokenizer.chat_template = QWEN
    calls = call(number=1), call(number=2)
    made = Policy(
        engine=cast(Any, Scripted(*calls, "Done.")), tokenizer=tokenizer, task=sums,
        params=SamplingParams(max_new_tokens=99), window=8192, max_turns=3, chat_template_kwargs={"tools": sums.tools},
    )  # fmt: skip
    made.refresh(0)
    example = sums.split("train")[3]
    (rollout,) = made.rollouts([Job(seed_context("Add."), example, 0)])
    assert rollout.verdict.reward == 1.0
    assert rollout.verdict.feedback == "Turn 1: 2 to go"
    turns = [
        {"role": "system", "content": "Add."}, *example.messages,
        {"role": "assistant", "content": calls[0]}, {"role": "tool", "content": "1"},
        {"role": "assistant", "content": calls[1]}, {"role": "tool", "content": "3"},
    ]  # fmt: skip
    whole = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True, tools=sums.tools)
    assert tokenizer.decode(rollout.prompt_ids + rollout.completion_ids) == whole + "Done.<|im_end|>"
    said = [id_ for id_, own in zip(rollout.completion_ids, rollout.said, strict=True) if own]
    assert tokenizer.decode(said) == "<|im_end|>".join([*calls, "Done.", ""])
