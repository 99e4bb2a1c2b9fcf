"""`fastslow ask`: one answer, under the context that the run ships or the one that is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fastslow.cli.main import main
from tests.support.shipped import CONTEXTS, lively_model, make_bundle, promoted

LEAD, SEED = CONTEXTS[0], CONTEXTS[-1]
QUESTION = "What is 6 * 7?"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("made"), model=lively_model(), seed=SEED)


def asked(capsys: Any, *argv: str) -> dict[str, Any]:
    assert main(["ask", *argv, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_question_is_answered_under_the_lead_or_the_context_that_is_named(bundle: Path, capsys: Any) -> None:
    lead, seed = (asked(capsys, str(bundle), QUESTION, *more) for more in ((), ("--context", "seed")))
    assert (lead["context"], seed["context"]) == (LEAD.id, SEED.id)
    assert lead["answer"] != seed["answer"], "the context reaches the model"
    assert 1 <= lead["tokens"] <= 12
    assert main(["ask", str(bundle), QUESTION, "--context", LEAD.id[:6]]) == 0
    said = capsys.readouterr()
    assert said.out == lead["answer"] + "\n"
    assert ("cut at 12 tokens (max_completion_length)" in said.err) == (lead["tokens"] == 12)


def test_where_contexts_went_into_the_weights_none_is_put_before_a_question(tmp_path: Path, capsys: Any) -> None:
    consolidated = make_bundle(tmp_path, model=lively_model(), seed=SEED, mode="consolidate")
    assert asked(capsys, str(consolidated), QUESTION)["context"] == SEED.id


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ([" "], "give a question"),
        ([QUESTION, "--context", "nosuch"], "there is no context 'nosuch' here"),
        (["word " * 9_000], "do not fit the model's window"),
    ],
    ids=["blank", "no context", "long"],
)
def test_what_cannot_be_asked_is_one_line(bundle: Path, capsys: Any, argv: list[str], said: str) -> None:
    assert main(["ask", str(bundle), *argv]) == 2
    assert said in capsys.readouterr().err


def test_a_champion_answers_under_the_context_that_was_gated(bundle: Path, tmp_path: Path, capsys: Any) -> None:
    champion = promoted(tmp_path / "registry", bundle, "seed")
    capsys.readouterr()
    assert asked(capsys, champion, QUESTION) == asked(capsys, str(bundle), QUESTION, "--context", "seed")
