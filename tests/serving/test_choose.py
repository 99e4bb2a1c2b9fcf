"""The context of a request is the learner's own choice for its first question, and stays for the conversation."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fastslow.core.errors import BadInput
from fastslow.export.release import open_release
from fastslow.serving.choose import LONGEST, Choice, Chooser
from fastslow.serving.errors import Refused
from tests.support.runs import WORDINGS
from tests.support.shipped import CONTEXTS, asked, make_bundle, topics_of


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("made"), topics=topics_of(CONTEXTS))


def chosen(chooser: Chooser, *texts: str, named: str | None = None) -> Choice:
    roles = ["user", "assistant"]
    turns: list[dict[str, Any]] = [{"role": roles[i % 2], "content": text} for i, text in enumerate(texts)]
    return asyncio.run(chooser.choose(turns, named))


@pytest.mark.parametrize("kind", ["cluster", "nearest"])
def test_the_choice_is_that_of_the_learner(bundle: Path, kind: str) -> None:
    release = open_release(bundle, choosing=True)
    chooser = Chooser(release, kind)
    assert release.topics is not None
    contexts = set()
    for task in WORDINGS:
        for number in range(40, 50):
            example = asked(task, number)
            choice = chosen(chooser, example.question)
            assert choice.context == release.topics.choose(kind, release.population, example)
            assert choice.topic == release.topics.entry_name(example)
            assert choice.distance is not None
            contexts.add(choice.context.id if choice.context else None)
    assert len(contexts) == 3, "each task has a context of its own here"


def test_later_turns_do_not_change_the_choice(bundle: Path) -> None:
    chooser = Chooser(open_release(bundle, choosing=True), "cluster")
    first, other = asked("words", 50).question, asked("dates", 51).question
    assert chosen(chooser, first, "answer", other) == chosen(chooser, first) != chosen(chooser, other)


def test_a_context_that_the_client_names_is_taken(bundle: Path) -> None:
    chooser = Chooser(open_release(bundle, choosing=True), "cluster")
    question = asked("words", 1).question
    assert chosen(chooser, question, named=CONTEXTS[3].id).context == CONTEXTS[3]
    assert chosen(chooser, question, named="lead").context == CONTEXTS[0]
    release = open_release(bundle, choosing=True)
    assert release.seed is not None
    assert chosen(chooser, question, named="seed").context == release.seed
    assert chosen(chooser, question, named="none").context is None
    for unknown in ("0" * 12, "../x", "\r\nx: y"):
        with pytest.raises(Refused, match="no such context"):
            chosen(chooser, question, named=unknown)


def test_a_conversation_without_a_question_gets_the_lead(bundle: Path) -> None:
    chooser = Chooser(open_release(bundle, choosing=True), "cluster")
    assert chosen(chooser, " \n").context == CONTEXTS[0]
    assert asyncio.run(chooser.choose([{"role": "system", "content": "s"}], None)).context == CONTEXTS[0]


def test_megabytes_of_question_are_not_embedded(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chooser = Chooser(open_release(bundle, choosing=True), "cluster")
    seen: list[int] = []
    monkeypatch.setattr(chooser, "by_question", lambda text: seen.append(len(text)) or Choice(None))
    chosen(chooser, "word " * 100_000)
    assert seen == [LONGEST]


def test_topics_by_label_cannot_choose_for_a_request(tmp_path: Path) -> None:
    made = make_bundle(tmp_path, clusters="labels")
    with pytest.raises(BadInput, match="a request has none"):
        open_release(made, choosing=True)


def test_a_release_without_topics_cannot_choose(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="--choose lead"):
        Chooser(open_release(make_bundle(tmp_path)), "cluster")


def test_the_seed_context_is_served_where_the_release_holds_it(tmp_path: Path) -> None:
    release = open_release(make_bundle(tmp_path, CONTEXTS[:3], seed=CONTEXTS[3]))
    chooser = Chooser(release, "seed")
    assert chosen(chooser, "What is 1 + 2?").context == CONTEXTS[3]
    assert chosen(chooser, "What is 1 + 2?", named="lead").context == CONTEXTS[0]
    assert chosen(chooser, "What is 1 + 2?", named="none").context is None
    with pytest.raises(BadInput, match="does not hold the seed context"):
        Chooser(replace(release, seed=None), "seed")
