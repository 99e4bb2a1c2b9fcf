"""A draft from data of the user's: its columns, the kind of its answers, and what its scorer says."""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path
from typing import Any

import datasets
import pyarrow
import pytest
from pyarrow import parquet

from fastslow.core.errors import BadInput
from fastslow.tasks.draft import Draft, draft_task, kind_of, room_for
from fastslow.tasks.spec import parse_spec
from fastslow.tasks.splits import SPLITS
from tests.support.hub import parquet_builder

TEAMS = ("billing", "returns", "shipping")
LETTERS = ["A", "B", "C", "D"]
OBJECTS = [{"n": k, "s": "x"} for k in range(4)]
CITIES = ["Lima", "Oslo", "Rome", "Bern"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    # Commands that other tests ran in this process have put their folders on the path, a module "mine" among them.
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if tmp_path.parent.parent not in Path(entry).parents])
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    return tmp_path


def draft_of(rows: list[dict[str, Any]], params: str = "") -> Draft:
    Path("data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return draft_task("mine", f"data.jsonl{params}")


def drafted(answers: list[Any]) -> Draft:
    return draft_of([{"question": f"What about case {n}?", "answer": value} for n, value in enumerate(answers)])


@pytest.mark.parametrize(
    ("answers", "kind"),
    [
        (["12", "-3.5", "1,000", "25%"], "number"),
        ([12, 3.5, 7, 8], "number"),
        (["A", "B", "(C)", "d"], "choice"),
        ([{"a": 1}, {"a": 2}, [3], {}], "json"),
        (['{"a": 1}', "[1, 2]", "{}", "[]"], "json"),
        (["yes", "no"] * 3, "labels"),
        (CITIES, "exact"),
        (["12", "a dozen", "13", "14"], "exact"),
        (["A big house", "B", "C", "D"], "exact"),
        (["{broken", "[1", "{}", "[]"], "exact"),
        (["bell\x07", "book"] * 3, "exact"),
    ],
)
def test_the_kind_is_what_all_answers_are(answers: list[Any], kind: str) -> None:
    assert drafted(answers).kind == kind


def test_no_answers_have_no_kind_of_their_own() -> None:
    assert kind_of([]).name == "exact"


@pytest.mark.parametrize(
    ("answers", "bad", "said"),
    [
        ([{"n": n} for n in range(84)], '{"n": 8', "84 of 85 answers are JSON objects; line 6 is not ('{\"n\": 8')."),
        ([str(n) for n in range(40)], "n/a?", "40 of 41 answers are numbers; line 6 is not ('n/a?')."),
        (["a", "B"] * 10, "??", "20 of 21 answers are letters of options; line 6 is not ('??')."),
        ([*TEAMS] * 10, "word " * 20, "30 of 31 answers are short labels; line 6 is not ('word "),
    ],
)
def test_one_bad_cell_is_named_and_does_not_change_the_scorer(answers: list[Any], bad: str, said: str) -> None:
    texts = [json.dumps(one) if isinstance(one, dict) else one for one in answers]
    with pytest.raises(BadInput) as refused:
        drafted([*texts[:5], bad, *texts[5:]])
    assert said in str(refused.value)


def test_an_odd_answer_that_comes_again_is_a_label() -> None:
    assert drafted([*[str(n % 5) for n in range(60)], "unknown", "unknown"]).kind == "labels"


def test_labels_that_differ_in_case_or_spaces_alone_are_named_with_their_counts() -> None:
    labels = ["billing"] * 6 + ["returns"] * 4 + ["Billing", "late fee", "late  fee"]
    assert drafted(labels).twins == ["'billing' (6) and 'Billing' (1)", "'late fee' (1) and 'late  fee' (1)"]
    assert drafted(list(TEAMS) * 3).twins == []


def test_letters_beyond_ascii_stand_in_answers_and_feedback_as_they_are() -> None:
    draft = drafted([{"item": "Küchenmesser", "n": n} for n in range(4)])
    made: dict[str, Any] = {"__name__": "mine"}
    exec(draft.text, made)
    assert "Küchenmesser" in made["score"]("x", {"answer": {"item": "Küchenmesser"}})[1]
    assert all("Küchenmesser" in answer for answer in draft.answers)


@pytest.mark.parametrize(
    ("answers", "reply", "reward", "said"),
    [
        ([*TEAMS, *TEAMS], "returns", 0.0, "is a label, but here 'billing' is right"),
        ([*TEAMS, *TEAMS], "I think billing", 0.0, "not a label. Reply with one of billing, returns, shipping"),
        (CITIES, "It is Lima.", 0.0, "reply with 'Lima' alone"),
        (CITIES, "Oslo", 0.0, "the right answer is 'Lima'"),
        ([12, 13, 14, 15], "It is 13.", 0.0, "Wrong value: got '13'. The right answer is 12."),
        (LETTERS, "The answer is B", 0.0, "The right answer is A."),
        (OBJECTS, '```json\n{"n": 0, "s": "y"}\n```', 0.5, "1 of 2 fields are right"),
        (OBJECTS, '{"n": 0, "s": "x", "t": 1}', 2 / 3, "does not belong there"),
        (OBJECTS, "n is 0", 0.0, "The reply is not JSON"),
        (OBJECTS, "[0]", 0.0, "Right would be: {"),
        ([[k] for k in range(4)], "[1]", 0.0, "Right would be: [0]"),
    ],
)
def test_the_scorer_accepts_every_right_answer_and_says_what_is_wrong(
    answers: list[Any], reply: str, reward: float, said: str
) -> None:
    draft = drafted(answers)
    task = draft.task(validation_size=1, test_size=1)
    assert all(task.answer(example) is not None for split in SPLITS for example in task.split(split))
    made: dict[str, Any] = {"__name__": "mine"}
    exec(draft.text, made)
    got, feedback = made["score"](reply, {"answer": answers[0]})
    assert (got, said in feedback) == (pytest.approx(reward), True), feedback
    assert made["score"](reply, {"answer": None}) is None, "a row without an answer is not judged"


@pytest.mark.parametrize(
    ("row", "spec"),
    [
        ({"question": "q", "answer": "a"}, "data.jsonl?scorer=mine:score"),
        ({"prompt": "q", "answer": "a", "other": "x"}, "data.jsonl?question=prompt&scorer=mine:score"),
        ({"text": "q", "label": "a", "id": "i"}, "data.jsonl?answer=label&question=text&scorer=mine:score"),
        ({"ticket": "q", "Label": "a"}, "data.jsonl?answer=Label&question=ticket&scorer=mine:score"),
        ({"question": "q", "prompt": "p", "solution": "a"}, "data.jsonl?answer=solution&scorer=mine:score"),
        ({"messages": [{"role": "user", "content": "q"}], "answer": "a"}, "data.jsonl?scorer=mine:score"),
        ({"team": "a", "email": "long", "id": "i"}, "data.jsonl?answer=team&question=email&scorer=mine:score"),
    ],
)
def test_columns_without_a_doubt_are_found(row: dict[str, Any], spec: str) -> None:
    def numbered(value: Any, n: int) -> Any:
        return [{"role": "user", "content": f"q{n}"}] if isinstance(value, list) else f"{value}{n}"

    assert draft_of([{key: numbered(value, n) for key, value in row.items()} for n in range(4)]).spec == spec


@pytest.mark.parametrize(
    ("row", "params", "said"),
    [
        ({"question": "q", "a": "1", "b": "2"}, "", "no column 'answer'; its columns are question, a, b. Name them"),
        (
            {"note": "1", "mail": "q", "team": "a"},
            "",
            "as in 'jsonl:data.jsonl?answer=COLUMN&question=COLUMN'. A question is one column: join",
        ),
        ({"email": "q", "team": "a"}, "", "Name them, as in 'jsonl:data.jsonl?answer=team&question=email'."),
        ({"instruction": "q", "input": "i", "output": "a"}, "", "which column is the question: instruction, input?"),
        ({"question": "q", "gold": "1", "label": "2"}, "", "which column is the answer: gold, label?"),
        ({"question": "q", "answer": None}, "", "no text or number as 'answer'"),
        ({"question": "q", "answer": "a"}, "?anser=x", "has no parameter 'anser'. Did you mean 'answer'?"),
        ({"question": "q", "answer": "a"}, "?answer=anser", "Did you mean 'answer'?"),
        ({"question": "q", "answer": "a"}, "?scorer=number", "leave 'scorer' out"),
    ],
)
def test_columns_in_doubt_are_named_and_nothing_is_guessed(row: dict[str, Any], params: str, said: str) -> None:
    with pytest.raises(BadInput) as refused:
        draft_of([row] * 3, params)
    assert said in str(refused.value)
    assert "needs no answers" not in str(refused.value), "a draft does"


def test_the_column_of_row_numbers_that_pandas_writes_is_passed_over() -> None:
    for header in ("", "Unnamed: 0"):
        rows = [{header: n, "mail": f"a longer text {n}", "team": f"t{n % 2}"} for n in range(8)]
        assert draft_of(rows).spec == "data.jsonl?answer=team&question=mail&scorer=mine:score"
    with pytest.raises(BadInput, match="its columns are mail, team") as refused:
        draft_of([{"": n, "mail": f"q{n}", "team": f"t{n}"} for n in range(8)])
    assert "=&" not in str(refused.value)
    assert "='" not in str(refused.value)


def test_one_cell_turns_no_columns_round() -> None:
    rows = [{"mail": f"a text of some words {n}", "team": "desk"} for n in range(8)]
    rows[3]["team"] = "x" * 10_000
    assert draft_of(rows).columns.question == "mail"
    rows = [{"mail": None if n else "ab", "team": f"desk {n}"} for n in range(8)]
    with pytest.raises(BadInput):  # and nothing of four letters, which None has
        draft_of(rows)


@pytest.mark.parametrize("part", ["question", "answer"])
def test_a_column_without_a_name_is_asked_for(part: str) -> None:
    with pytest.raises(BadInput, match=f"name the column of the {part}, as in '{part}=COLUMN'"):
        draft_of([{"question": "q", "answer": "a"}] * 3, f"?{part}=")


def test_columns_that_were_named_are_taken() -> None:
    draft = draft_of([{"email": f"q{n}", "team": "a", "note": "x"} for n in range(4)], "?question=email&answer=team")
    assert draft.spec == "data.jsonl?answer=team&question=email&scorer=mine:score"


ROWS = [{"prompt": f"q{n}", "gold": str(n)} for n in range(4)]


def test_a_parquet_file_a_json_list_and_a_data_set_of_the_hub_are_drafted_from(monkeypatch: pytest.MonkeyPatch) -> None:
    parquet.write_table(pyarrow.Table.from_pylist(ROWS), "data.parquet")
    Path("data.json").write_text(json.dumps(ROWS))
    asked = []

    def load_dataset(name: str, config: str | None, *, split: str, **_options: Any) -> datasets.Dataset:
        asked.append((name, config, split))
        return datasets.Dataset.from_list(ROWS)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    monkeypatch.setattr(datasets, "load_dataset_builder", parquet_builder)
    for source in ("data.parquet", "data.json", "hf:someone/numbers?split=dev"):
        draft = draft_task("mine", source)
        assert draft.kind == "number"
        assert draft.spec.startswith(source.partition("?")[0])
        assert parse_spec(draft.spec).params.items() >= {"question": "prompt", "answer": "gold"}.items()
    assert asked == [("someone/numbers", None, "dev")]
    assert parse_spec(draft.spec).params["split"] == "dev"


HOSTILE = ['"""\nimport os\n', "'); raise SystemExit #", "\\", "{0}", "$KIND", "\ud83d\ude00 ok"]


def test_what_the_data_say_stands_in_the_file_as_literals_alone() -> None:
    column = 'x"; import os #\n"""'
    rows = [{"question": f"q{n}", column: HOSTILE[n % len(HOSTILE)]} for n in range(24)]
    Path("data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = draft_task("mine", "data.jsonl").text
    found = {
        node.targets[0].id: ast.literal_eval(node.value)  # type: ignore[attr-defined]
        for node in ast.parse(text).body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant | ast.Tuple)
    }
    assert found["ANSWER"] == column
    assert not any(isinstance(node, ast.Import) for node in ast.walk(ast.parse(text)))


def test_labels_stand_in_the_file_as_they_are_written() -> None:
    labels = ['say "hi"', "back\\slash", "O'Neill", "naïve"]
    made: dict[str, Any] = {}
    exec(drafted(labels * 3).text, made)
    assert set(made["LABELS"]) == set(labels)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("my-task", "cannot be the name of a Python file"),
        ("../mine", "cannot be the name of a Python file"),
        ("class", "cannot be the name of a Python file"),
        ("1st", "cannot be the name of a Python file"),
        ("", "cannot be the name of a Python file"),
        ("a" * 65, "cannot be the name of a Python file"),
        ("tâche", "cannot be the name of a Python file"),
        ("json", "there is a module 'json' already"),
        ("there", "'there.py' exists already"),
        ("dangling", "'dangling.py' exists already"),
    ],
)
def test_a_name_that_is_no_module_of_its_own_is_refused(folder: Path, name: str, said: str) -> None:
    (folder / "there.py").write_text("")
    (folder / "dangling.py").symlink_to(folder / "nowhere")
    with pytest.raises(BadInput, match=said):
        draft_task(name, "data.jsonl")


@pytest.mark.parametrize("source", ["star_graph", "reasoning_gym:gcd", "data", "nosuch.csv", "hf:nosuch.parquet"])
def test_what_is_not_data_is_refused(source: str) -> None:
    with pytest.raises(BadInput, match=r"not data|no file"):
        draft_task("mine", source)


def test_long_texts_are_told_from_those_that_a_reply_can_meet() -> None:
    assert drafted([f"{'a long tale ' * 9}{n}" for n in range(4)]).free
    assert not drafted(CITIES).free
    assert not drafted([{"a": "x" * 99, "n": n} for n in range(4)]).free


@pytest.mark.parametrize(("tokens", "room"), [(1, 8), (3, 8), (4, 16), (9, 16), (10, 24), (100, 136)])
def test_a_reply_has_room_for_a_quarter_more_than_the_longest_answer(tokens: int, room: int) -> None:
    assert room_for(tokens) == room
    assert room >= 1.25 * tokens + 4
