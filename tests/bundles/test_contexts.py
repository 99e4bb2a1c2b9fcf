"""What a run sends can be had outside of it: by `open_contexts`, as messages, and as Python that is run here."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from transformers import AutoTokenizer

from fastslow import open_contexts
from fastslow.cli.main import main
from fastslow.contexts.rendering import render
from fastslow.core.errors import BadInput
from fastslow.policy.chat import Chat
from tests.support.openai_server import OpenAIServer
from tests.support.shipped import CONTEXTS, a_context, asked, make_bundle, topics_of
from tests.support.templates import CHATML, GEMMA, LLAMA3, MISTRAL

PAGE = (Path(__file__).parents[2] / "docs/python-api.md").read_text(encoding="utf-8").partition("## Asking a bundle")[2]
OPENED, TRANSFORMERS, ENDPOINT = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
COMMAND, FILE = re.findall(r"`fastslow (contexts .+) > (\S+)`", PAGE)[0]
HOSTILE = a_context('Say \'{question}\'\n""" \\n {{ 7 }}.', ("a 'b' \\", "\u2028\n\x1b[2J"))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("made"), topics=topics_of(CONTEXTS))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("plain"))


@pytest.mark.parametrize("kind", ["cluster", "nearest"])
def test_a_context_is_chosen_by_the_question_as_the_topics_of_the_run_choose(bundle: Path, kind: str) -> None:
    contexts = open_contexts(bundle)
    assert contexts.topics is not None
    chosen = set()
    for task in ("sums", "words", "dates"):
        example = asked(task, 30)
        expected = contexts.topics.choose(kind, contexts.population, example)
        assert contexts.messages(example.question, kind) == render(expected, example)
        if kind == "cluster":
            assert contexts.messages(example.question) == render(expected, example), "this is what the run ships"
        chosen.add(expected.id)
    assert len(chosen) == 3


def test_without_topics_it_is_the_lead_and_nothing_chooses(plain: Path, bundle: Path) -> None:
    contexts = open_contexts(plain)
    assert contexts.messages("Two?") == contexts.messages("Two?", "lead") == render(CONTEXTS[0], question("Two?"))
    assert contexts.messages("Two?", CONTEXTS[1].id[:4]) == render(CONTEXTS[1], question("Two?"))
    assert contexts.messages("what is  1 + 2?") == render(CONTEXTS[0], question("what is  1 + 2?")), "its own example"
    for opened in (contexts, open_contexts(bundle, choosing=False)):
        with pytest.raises(BadInput, match="--clusters inferred"):
            opened.messages("Two?", "cluster")


def question(question: str) -> Any:
    example = asked("sums", 0)
    return type(example)("e", "t", "test", ({"role": "user", "content": question},))


@pytest.mark.parametrize("template", [CHATML, GEMMA, LLAMA3, MISTRAL], ids=["chatml", "gemma", "llama3", "mistral"])
def test_the_printed_python_renders_the_ids_of_the_run(tmp_path: Path, template: str) -> None:
    path = make_bundle(tmp_path, [*CONTEXTS, HOSTILE], template=template, chat_template_kwargs={"note": "it's"})
    opened = open_contexts(path)
    tokenizer: Any = AutoTokenizer.from_pretrained(path)
    chat = Chat(tokenizer, kwargs={"note": "it's"}, date="2026-01-01")
    for context in opened.population.members:
        code = opened.code(context)
        assert "'note'" not in code
        assert 'note="it\'s"' in code
        made: dict[str, Any] = {}
        exec(code.replace('question = "..."', "question = 'Six {question}?'"), made)
        messages = render(context, question("Six {question}?"), system_role=chat.system_role)
        assert tuple(made["ids"]) == chat.ids(messages, "a question")


def test_a_run_that_kept_no_bundle_has_its_messages_by_its_model(plain: Path, tmp_path: Path) -> None:
    shutil.copy(plain / "population.json", tmp_path)
    with pytest.raises(BadInput, match="neither a bundle nor"):
        open_contexts(tmp_path)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"model": str(plain.parent / "base")}))
    assert open_contexts(tmp_path).messages("Two?") == open_contexts(plain).messages("Two?")


def test_the_ways_of_the_page_lead_to_an_answer(bundle: Path, tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(bundle, tmp_path / "runs/fst-s42/bundle")
    opened: dict[str, Any] = {}
    exec(OPENED, opened)
    assert opened["messages"][-1]["content"] == "What is 6 * 7?"
    capsys.readouterr()
    assert main(shlex.split(COMMAND)) == 0
    Path(FILE).write_text(capsys.readouterr().out, encoding="utf-8")
    told: dict[str, Any] = {}
    exec(TRANSFORMERS, told)
    assert told["messages"] == open_contexts("runs/fst-s42").messages("What is 6 * 7?", "lead")
    assert len(told["answer"]) > 0
    assert capsys.readouterr().out.endswith("\n")
    with OpenAIServer(["42"]) as server:
        exec(re.sub(r'base_url="[^"]+"', f'base_url="{server.base_url}"', ENDPOINT), {"messages": told["messages"]})
        assert server.requests[0].json["messages"] == json.loads(json.dumps(told["messages"]))
    assert capsys.readouterr().out == "42\n"
