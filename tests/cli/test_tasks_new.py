"""`fastslow tasks new`: the file that it writes, the command that it suggests, and what leaves nothing written."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
import yaml

from fastslow.cli.called import called
from fastslow.cli.main import main
from fastslow.config.parsing import parse_config
from fastslow.run.preflight import needs_of
from fastslow.tasks.first_try import DISK, PLAIN, first_recipe
from tests.support.tiny import save_tiny

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_tiny(tmp_path_factory.mktemp("tiny") / "model"))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def tickets(count: int = 12) -> None:
    rows = [f'"Ticket {n}, please help",{("billing", "returns")[n % 2]}' for n in range(count)]
    Path("my tickets.csv").write_text("\n".join(["ticket,label", *rows]))


def test_the_suggested_command_names_a_task_that_the_check_passes(model: str, capsys: pytest.CaptureFixture) -> None:
    """The file is imported as a run would import it."""
    tickets()
    assert main(["tasks", "new", "drafted_tickets", "--from", "my tickets.csv", "--model", model]) == 0
    said = capsys.readouterr().out
    words = shlex.split(said.strip().splitlines()[-1])
    assert words == [called(), "train", "--config", "drafted_tickets.yaml"]
    recipe = yaml.safe_load(Path("drafted_tickets.yaml").read_text())
    assert "6 train, 3 validation, 3 test" in said
    assert (recipe["validation_size"], recipe["test_size"]) == (3, 3), (
        "as many as there are, or every command would say"
    )
    assert recipe["task"] == "my tickets.csv?answer=label&question=ticket&scorer=drafted_tickets:score"
    assert recipe["max_completion_length"] == 16, "seven bytes are seven tokens of the tiny model"
    assert (recipe["model"], recipe["output_dir"]) == (model, "runs/drafted_tickets")
    examples = yaml.safe_load((ROOT / "examples/orders/recipe.yaml").read_text())
    own = {
        "task", "output_dir", "model", "validation_size", "test_size", "max_completion_length", "seed_instruction",
    }  # fmt: skip
    assert {name: recipe[name] for name in recipe if name not in own}.items() <= examples.items(), "as small as ours"
    for part in ("answers are labels: ", "billing", "fit to train on", "Wrote drafted_tickets.py"):
        assert part in said
    assert main(["tasks", "check", recipe["task"], "--model", model]) == 0
    assert "the right answers of 6 of 6 training examples looked at are accepted" in capsys.readouterr().out


def test_the_suggested_check_cuts_the_data_as_the_run_will_and_flags_win(
    model: str, capsys: pytest.CaptureFixture
) -> None:
    tickets(80)
    assert main(["tasks", "new", "checked_tickets", "--from", "my tickets.csv", "--model", model]) == 0
    said = capsys.readouterr().out
    command = next(line.partition(": ")[2] for line in said.splitlines() if " tasks check " in line)
    words = shlex.split(command)[1:]
    recipe = yaml.safe_load(Path("checked_tickets.yaml").read_text())
    assert (recipe["validation_size"], recipe["test_size"]) == (16, 16), "64 for a test would leave few to validate on"
    assert words == ["tasks", "check", "--config", "checked_tickets.yaml"]
    sizes = "48 train, 16 validation, 16 test"
    assert sizes in said
    assert main(words) == 0
    assert sizes in capsys.readouterr().out
    assert main([*words, "--test_size", "8"]) == 0
    assert "56 train, 16 validation, 8 test" in capsys.readouterr().out


def test_a_check_without_one_task_names_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["tasks", "check"]) == 2
    assert "name a task, or a recipe: fastslow tasks check --config RECIPE" in capsys.readouterr().err
    Path("several.yaml").write_text("tasks: [star_graph, codeio]\nstage_steps: 2\n")
    assert main(["tasks", "show", "--config", "several.yaml"]) == 2
    assert "name one: fastslow tasks show NAME --config several.yaml" in capsys.readouterr().err


def test_the_recipe_trains_with_a_plain_prompt_that_names_the_labels(
    folder: Path, model: str, capsys: pytest.CaptureFixture
) -> None:
    tickets()
    assert main(["tasks", "new", "tried_tickets", "--from", "my tickets.csv", "--model", model]) == 0
    assert "Next (6 steps, roughly 5 minutes of one core" in capsys.readouterr().out
    recipe = Path("tried_tickets.yaml")
    assert yaml.safe_load(recipe.read_text())["seed_instruction"] == "Reply with one of: billing, returns."
    again = ["tasks", "new", "told_tickets", "--from", "my tickets.csv", "--model", model]
    assert main([*again, "--seed_instruction", "Which team?"]) == 0
    assert yaml.safe_load(Path("told_tickets.yaml").read_text())["seed_instruction"] == "Which team?"
    counted = [re.findall(r"prompts take .* tokens, at most \d+", capsys.readouterr().out)[-1]]
    assert main(["tasks", "check", "--config", "told_tickets.yaml"]) == 0
    assert re.findall(r"prompts take .* tokens, at most \d+", capsys.readouterr().out) == counted, "cut and read alike"
    assert (
        main(["train", "--config", str(recipe), "--max_steps", "1", "--save_bundle", "false", "--bf16", "false"]) == 0
    )
    assert (folder / "runs/tried_tickets/summary.json").exists()


def test_the_disk_that_a_first_try_is_said_to_take_is_what_the_recipe_takes() -> None:
    recipe = first_recipe("x", "star_graph", kind="exact", labels=(), room=32, settings={})
    Path("x.yaml").write_text(recipe)
    stored = needs_of(parse_config(["--config", "x.yaml"])).stored
    assert f"{stored.fullest / 1e9:.0f} GB of disk while it runs, {stored.bundle / 1e9:.1f} GB of which stay" == DISK


@pytest.mark.parametrize("kind", ["exact", "number", "choice", "json", "labels"])
def test_every_draft_has_a_plain_prompt_whatever_the_labels_hold(kind: str) -> None:
    labels = ('say "yes"', "no: #1", "caf\u00e9 \U0001f600", "a\u2028b", "c\x7fd") if kind == "labels" else ()
    text = first_recipe("t", "t.csv", kind=kind, labels=labels, room=8, settings={})
    prompt = yaml.safe_load(text)["seed_instruction"]
    assert prompt == (f"Reply with one of: {', '.join(labels)}." if labels else PLAIN[kind])


def test_the_help_says_what_no_size_means(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        main(["tasks", "new", "--help"])
    said = capsys.readouterr().out
    assert "(default all)" in said
    assert "None" not in said


def test_a_recipe_that_exists_is_not_overwritten(folder: Path, model: str, capsys: pytest.CaptureFixture) -> None:
    tickets()
    (folder / "own_recipe.yaml").write_text("mine: 1\n")
    assert main(["tasks", "new", "own_recipe", "--from", "my tickets.csv", "--model", model]) == 2
    assert "'own_recipe.yaml' exists already" in capsys.readouterr().err
    assert sorted(path.name for path in folder.iterdir()) == ["my tickets.csv", "own_recipe.yaml"]


def test_a_file_that_exists_is_not_overwritten(folder: Path, model: str, capsys: pytest.CaptureFixture) -> None:
    tickets()
    (folder / "owned.py").write_text("mine = 1\n")
    assert main(["tasks", "new", "owned", "--from", "my tickets.csv", "--model", model]) == 2
    assert "'owned.py' exists already" in capsys.readouterr().err
    assert (folder / "owned.py").read_text() == "mine = 1\n"


UNUSABLE = {
    "empty.csv": ("", "has no rows"),
    "header.csv": ("question,answer\n", "has no rows"),
    "one.csv": ("question,answer\nq,a\n", "too few"),
    "none.csv": ("question,a,b\nq,1,2\nr,2,3\ns,3,4\n", "no column 'answer'"),
    "either.jsonl": ('{"instruction": "a", "input": "b", "output": "c"}\n' * 3, "which column is the question"),
    "gap.csv": ("question,answer\nq,1\nr,\ns,3\n", "row 2 has no text or number"),
    "eaten.jsonl": ('{"question": "q", "answer": "\\frac{1}{2}"}\n' * 3, "its backslash was read as an escape"),
    "half.jsonl": ('{"question": "\\ud800", "answer": "1"}\n' * 3, "half a surrogate pair"),
    "latin.csv": ("question,answer\nq,caf\xe9\n", "'latin.csv' is not in UTF-8; save it as UTF-8."),
    "latin.json": ('[{"question": "q", "answer": "caf\xe9"}]', "'latin.json' is not in UTF-8; save it as UTF-8."),
    "bytes.csv": (bytes(range(256)).decode("latin-1"), "one line"),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_data_that_cannot_be_used_take_one_line_and_leave_nothing(
    folder: Path, model: str, capsys: pytest.CaptureFixture, name: str
) -> None:
    content, said = UNUSABLE[name]
    (folder / name).write_text(content, encoding="latin-1" if name.startswith(("bytes", "latin")) else "utf-8")
    assert main(["tasks", "new", "unwritten", "--from", name, "--model", model]) == 2
    told = capsys.readouterr()
    assert told.err.count("\n") == 1
    assert said in told.err or said == "one line"
    assert told.out == ""
    assert [path.name for path in folder.iterdir()] == [name]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([("x" * 20_000 + str(n), str(n)) for n in range(4)], "prompts fill the model's window"),
        ([(f"q{n}", "x" * 9_000 + str(n)) for n in range(4)], "leave no room for a question"),
        ([(f"q{n}", f"\x1b[2J{n}") for n in range(4)], "control character"),
    ],
    ids=["huge questions", "huge answers", "control characters"],
)
def test_data_unfit_to_train_on_are_reported_and_nothing_is_written(
    folder: Path, model: str, capsys: pytest.CaptureFixture, rows: list[tuple[str, str]], said: str
) -> None:
    (folder / "d.jsonl").write_text("".join(json.dumps({"question": q, "answer": a}) + "\n" for q, a in rows))
    assert main(["tasks", "new", "unwritten", "--from", "d.jsonl", "--model", model]) == 1
    told = capsys.readouterr().out
    assert said in told
    assert "Nothing was written" in told
    assert "\x1b" not in told
    assert [path.name for path in folder.iterdir()] == ["d.jsonl"]


def test_show_and_check_read_a_recipe_with_its_plain_prompt(capsys, tmp_path):
    model, task = save_tiny(tmp_path / "model"), tmp_path / "t.jsonl"
    task.write_text("".join(json.dumps({"question": f"What is {n}?", "answer": str(n)}) + "\n" for n in range(8)))
    recipe = tmp_path / "r.yaml"
    recipe.write_text(json.dumps({"task": f"jsonl:{task}", "model": str(model), "seed_instruction": "Digits, please."}))
    assert main(["tasks", "show", "--config", str(recipe)]) == 0
    assert "Digits, please." in capsys.readouterr().out
    said = {}
    for flags in ([], ["--seed_instruction", ""]):
        main(["tasks", "check", "--config", str(recipe), *flags])
        said[bool(flags)] = re.findall(r"prompts take .*", capsys.readouterr().out)
    assert said[False] != said[True], "the prompt counts"
