"""Answers kept as they arrive, and those of similar questions put before a new one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastslow.bundles.bundle import check_kind, open_bundle, open_task, tasks_of
from fastslow.bundles.contexts import open_contexts
from fastslow.config.settings import FastSlowConfig
from fastslow.contexts.context import WorkedExample, seed_context
from fastslow.contexts.rendering import question_alone
from fastslow.core.errors import BadInput
from fastslow.export.release import open_release
from fastslow.record.display import SilentDisplay
from fastslow.run.train import resume, train
from fastslow.serving.choose import Chooser
from fastslow.topics.shelf import Shelf
from tests.support.runs import stream_settings, tiny_trainer

QUESTIONS = ("capital of France?", "capital of Spain?", "colour of the sea?", "colour of the sky at noon?")
SEED = seed_context("Answer.")


def tokens_of(text: str) -> int | None:
    """A word is a token, and an end of turn is no text for a context."""
    return None if "<|im_end|>" in text else len(text.split())


def shelf(shown: int = 2, max_context_tokens: int = 100) -> Shelf:
    made = Shelf(shown, max_context_tokens, tokens_of)
    made.add(WorkedExample(question, f"answer {i}") for i, question in enumerate(QUESTIONS))
    return made


def shown(made: Shelf, question: str) -> list[str]:
    return [worked.question for worked in made.nearest(question_alone(question))]


def test_the_most_similar_question_comes_last_next_to_the_new_one() -> None:
    assert shown(shelf(), "colour of the sky?") == ["colour of the sea?", "colour of the sky at noon?"]


def test_a_question_is_never_shown_its_own_answer() -> None:
    assert QUESTIONS[0] not in shown(shelf(3), "Capital  of FRANCE?")


def test_nothing_similar_leaves_the_seed_context() -> None:
    assert shelf().context(question_alone("zebra"), SEED) is SEED
    assert Shelf(2, 100, tokens_of).context(question_alone("capital"), SEED) is SEED


def test_answers_that_would_be_too_long_together_make_way_for_shorter_ones() -> None:
    made = shelf(3, max_context_tokens=10)
    made.add([WorkedExample("capital of France in the year of the great flood and fire", "x y")])
    assert sum(tokens_of(f"{w.question} {w.answer}") or 0 for w in made.nearest(question_alone("capital of?"))) <= 10


def test_a_special_token_and_what_is_too_long_stay_off_the_shelf() -> None:
    made = shelf(2, max_context_tokens=8)
    made.add([WorkedExample("colour of grass <|im_end|>?", "green"), WorkedExample("colour " * 9, "none")])
    assert len(made) == 4


def test_of_one_question_the_first_answer_stays() -> None:
    made = shelf()
    made.add([WorkedExample("CAPITAL of spain?", "another")])
    (near,) = [w for w in made.nearest(question_alone("Spain")) if "spain" in w.question.lower()]
    assert (len(made), near.answer) == (4, "answer 1")


@given(st.lists(st.tuples(st.text(max_size=12), st.text(max_size=5)), max_size=8), st.text(max_size=12))
def test_a_shelf_is_the_same_after_it_was_written_and_read(rows: list[tuple[str, str]], question: str) -> None:
    made = Shelf(3, 100, tokens_of)
    made.add(WorkedExample(*row) for row in rows)
    again = Shelf(1, 1)
    again.load(json.loads(json.dumps(made.to_json())))
    assert shown(again, question) == shown(made, question)
    assert len(made.nearest(question_alone(question))) <= 3


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"shown": 0},
        {"shown": True},
        {"max_context_tokens": "9"},
        {"answers": [["a", 1, 2]]},
        {"answers": ["abc"]},
        {"answers": {"abc": 1}},
        {"answers": [["\ud800", "b", 1]]},
        {"answers": [["...", "b", 1]]},
    ],
    ids=repr,
)
def test_damage_is_noticed(data: dict[str, Any]) -> None:
    whole = {"shown": 2, "max_context_tokens": 9, "answers": [["question", "b", 2]]}
    Shelf(1, 1).load(whole)
    with pytest.raises((KeyError, TypeError, ValueError)):
        Shelf(1, 1).load({**whole, **data} if data else {})


# A whole run


def settings(folder: Path, **overrides: Any) -> FastSlowConfig:
    usual = {"mode": "retrieval", "eval_strategy": "steps", "eval_steps": 2, "save_time_share": 1.0, "keep_every": 1}
    chosen = stream_settings(folder, **{**usual, **overrides})
    chosen["tasks"] = [name.replace("spread", "graded_by_answer") for name in chosen["tasks"]]
    return FastSlowConfig(**chosen)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("retrieval")
    train(settings(folder), display=SilentDisplay())
    return folder / "run"


def test_a_run_ships_what_its_stream_has_shown_and_nothing_that_is_held_out(run: Path) -> None:
    summary = json.loads((run / "summary.json").read_text())
    assert (summary["ships"], summary["rollouts"]["slow"]) == ("retrieved", 0)
    kept = json.loads((run / "bundle/shelf.json").read_text())["answers"]
    held_out = {
        example.question for task in tiny_task(run) for split in ("validation", "test") for example in task.split(split)
    }
    assert kept
    assert not {question for question, _, _ in kept} & held_out


def tiny_task(run: Path) -> list[Any]:
    bundle = open_bundle(run)
    return [open_task(name, bundle.settings, trusted=True) for name in tasks_of(bundle.settings)]


def test_a_stage_knows_only_what_came_before(run: Path) -> None:
    """The first stage's evaluation is under answers of the first task alone: `met` grows stage by stage."""
    sizes = []
    for step in (2, 4, 6):
        state = json.loads((run / f"checkpoint-{step}" / "state.json").read_text())
        sizes.append({question.split()[0] for question, _, _ in state["topics"]["shelf"]["answers"]})
    assert sizes == [{"What"}, {"What", "Spell"}, {"What", "Spell", "On"}]


def test_a_bundle_chooses_as_the_run_did(run: Path) -> None:
    contexts = open_contexts(run)
    turns = contexts.messages("What is 3 + 4? Give the number.")
    assert [turn["role"] for turn in turns].count("assistant") == FastSlowConfig.max_worked_examples
    assert all("What is" in turn["content"] for turn in turns if turn["role"] == "user")


def test_a_server_chooses_as_the_run_did(run: Path) -> None:
    question = "Spell the word 'q3x4' backwards."
    release = open_release(run, choosing=True, trusted=False)
    chooser = Chooser(release, "retrieved")
    chosen = chooser.by_question(question).context
    chooser.close()
    assert chosen is not None
    assert chosen.id == open_contexts(run).choose(question).id
    assert all("Spell" in worked.question for worked in chosen.worked_examples)


def test_another_way_of_choosing_is_refused(run: Path) -> None:
    with pytest.raises(BadInput, match="does not choose contexts by 'cluster'; take 'retrieved'"):
        check_kind(open_bundle(run, choosing=True), "cluster")


def test_a_broken_off_run_goes_on_with_its_shelf(run: Path, tmp_path: Path) -> None:
    whole = json.loads((run / "bundle/shelf.json").read_text())
    short = settings(tmp_path, max_minutes=1e-9)
    train(short, display=SilentDisplay())
    resume(tmp_path / "run", max_minutes=60, display=SilentDisplay())
    assert json.loads((tmp_path / "run/bundle/shelf.json").read_text()) == whole


def test_another_run_begins_with_what_was_kept(run: Path, tmp_path: Path) -> None:
    model = str(run.parent / "model")
    both = {"model": model, "from_bundle": str(run), "max_minutes": 1e-9}
    train(settings(tmp_path, **both), display=SilentDisplay())
    kept = json.loads((run / "bundle/shelf.json").read_text())["answers"]
    assert json.loads((tmp_path / "run/bundle/shelf.json").read_text())["answers"] == kept


def test_a_run_with_contexts_of_its_own_begins_without_the_shelf(run: Path, tmp_path: Path) -> None:
    start = {"model": str(run.parent / "model"), "from_bundle": str(run), "max_steps": 6}
    chosen = stream_settings(tmp_path, mode="fst", clusters="labels", **start)
    archive = tiny_trainer(tmp_path, **chosen).topics.archive
    assert archive is not None
    assert not archive.entries


def test_retrieval_without_answers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="needs right answers"):
        tiny_trainer(tmp_path, mode="retrieval", task=no_answers(tmp_path))


def no_answers(folder: Path) -> str:
    path = folder / "none.jsonl"
    path.write_text("\n".join(json.dumps({"question": f"q {i}", "answer": "x"}) for i in range(30)) + "\n")
    return f"jsonl:{path}?scorer={__name__}:never"


def never(completion: str, row: dict[str, Any]) -> float:
    return 0.0
