"""From a name to a task: families first, then the user's own factories, and a hint for whatever is neither."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from fastslow.cli.main import main
from fastslow.core.errors import BadInput
from fastslow.tasks.resolve import list_tasks, resolve_task
from fastslow.tasks.spec import coerce, format_spec, parse_spec

OWN = """
from types import SimpleNamespace

def task(**extra):
    methods = dict.fromkeys(("split", "score", "answer"), lambda *a: [])
    return SimpleNamespace(name="own", given=extra, **methods)

def make(level: int, hard: bool = False, note="none", train_size: int = 5):
    return task(level=level, hard=hard, note=note, train_size=train_size)

def anything(**options):
    return task(**options)

def broken():
    raise OSError("the disk is full")

def incomplete():
    return SimpleNamespace(name="own", split=len)

VALUE = 3
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "own_tasks.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)


def given(task) -> dict:
    assert isinstance(task.unchecked, SimpleNamespace)
    return task.given


@pytest.mark.usefixtures("own")
def test_an_own_factory_gets_its_parameters_by_their_types_and_the_options_it_names():
    task = resolve_task("own_tasks:make?level=3&hard=true&note=a%20b", train_size=7, test_size=9, data_seed=1)
    assert given(task) == {"level": 3, "hard": True, "note": "a b", "train_size": 7}
    assert given(resolve_task("own_tasks:make?level=3")) == {"level": 3, "hard": False, "note": "none", "train_size": 5}
    assert given(resolve_task("own_tasks.anything?x=1")) == {"x": "1"}, "dots work as well as the colon"


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("own_tasks:make", "missing a required argument: 'level'"),
        ("own_tasks:make?level=3&hrad=true", "no parameter 'hrad'. Did you mean 'hard'?"),
        ("own_tasks:make?level=high", "'level' must be a whole number, got 'high'"),
        ("own_tasks:broken", "its factory raised OSError: the disk is full"),
        ("own_tasks:broken?x=1", "It takes none."),
        ("own_tasks:incomplete", "returned a SimpleNamespace without score, answer"),
        ("own_tasks:VALUE", "is not a function"),
        ("own_tasks:mak", "Did you mean 'make'?"),
        ("own_taks:make", "unknown family 'own_taks'"),
    ],
)
def test_an_own_factory_that_cannot_be_used_is_refused(spec, said):
    with pytest.raises(BadInput) as caught:
        resolve_task(spec)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value), "one line"


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("reasoning_gmy:products", "no module of that name can be imported. Did you mean 'reasoning_gym'?"),
        ("jsnl:data.jsonl", "Did you mean 'jsonl'?"),
        ("products", "Did you mean 'reasoning_gym:products'?"),
        ("data/my.jsonl", "cannot read 'data/my.jsonl' (No such file or directory)"),
        ("data/my.csv", "there is no file 'data/my.csv'"),
        ("csv:my.csv", "there is no file 'my.csv'"),
        ("tests", "is a folder; of data, its name is 'hf:tests'"),
        ("pyproject.toml", "cannot be read by its ending; save it as one of .jsonl, .json, .csv, .parquet"),
        ("reasoning_gym", "not which task"),
        ("jsonl:", "not which task"),
        ("", "has no name"),
        ("?a=1", "has no name"),
        ("reasoning_gym:products?min_digits", "'min_digits' is not a parameter"),
        ("reasoning_gym:products?=3", "'=3' is not a parameter"),
        ("reasoning_gym:products?a=1&a=2", "'a' is given twice"),
        ("..:x", "unknown family"),
    ],
)
def test_a_name_that_is_no_task_gets_the_nearest_one(spec, said):
    with pytest.raises(BadInput) as caught:
        resolve_task(spec)
    assert said in str(caught.value)


def test_a_size_that_an_own_factory_does_not_take_is_said(tmp_path, monkeypatch, caplog):
    (tmp_path / "no_sizes.py").write_text(
        "from fastslow.tasks.families.rows import Rows, RowsTask\n"
        "def make(train_size: int | None = None):\n"
        "    rows = [(i, {'question': f'q{i}', 'answer': '1'}) for i in range(90)]\n"
        "    return RowsTask('t', 't', Rows(rows), train_size=train_size)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    resolve_task("no_sizes:make", train_size=8, validation_size=64, test_size=64)
    assert "is not applied" not in caplog.text
    resolve_task("no_sizes:make", train_size=8, validation_size=5)
    assert "validation_size is 5 and is not applied: 'no_sizes:make' has no parameter of that name" in caplog.text
    assert "train_size is" not in caplog.text


def test_a_path_with_dots_and_colons_is_still_a_file(tmp_path):
    path = tmp_path / "v1.2:final.jsonl"
    path.write_text("".join(f'{{"question": "{i}", "answer": "a"}}\n' for i in range(5)))
    assert len(resolve_task(f"jsonl:{path}").split("train")) == 3


def test_plus_signs_and_escapes_survive_the_name():
    spec = parse_spec("f:x?operators=+,-&text=a%26b%3D+")
    assert spec.params == {"operators": "+,-", "text": "a&b=+"}
    assert parse_spec(format_spec(spec.head, spec.params)) == spec, "a name read back is the same task"


def test_values_take_the_types_asked_for():
    assert coerce("1,2.5", list[float]) == [1.0, 2.5]
    assert coerce("a,b", tuple[str, ...]) == ("a", "b")
    assert coerce("", list[str]) == []
    assert coerce("none", int | None) is None
    assert coerce("4", int | None) == 4
    for text, hint in (("x", int), ("inf", float), ("2", bool), ("25:00", __import__("datetime").time)):
        with pytest.raises(ValueError, match=r"number|true|ISO"):
            coerce(text, hint)
    with pytest.raises(TypeError):
        coerce("1", int | str)


def test_every_listed_name_has_one_line():
    names = [name for name, _ in list_tasks()]
    assert len(names) == len(set(names))
    assert sum(name.startswith("reasoning_gym:") for name in names) == 105
    assert {"jsonl:PATH", "hf:OWNER/NAME", "polaris", "physics", "package.module:factory"} <= set(names)


def test_the_list_begins_with_what_is_the_users_own_and_has_a_sentence_on_each_family(capsys):
    assert main(["tasks"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition("\t")[0] for line in lines[1:4]] == ["jsonl:PATH", "hf:OWNER/NAME", "package.module:factory"]
    sentences = [line for line in lines if line.startswith("# ")]
    assert len(sentences) == 3
    assert all(line.endswith(".") for line in sentences)
    listed = [tuple(line.split("\t")) for line in lines if line not in sentences]
    assert listed == list_tasks(), "whole lines, for grep"
