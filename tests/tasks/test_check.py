"""`fastslow tasks`: what it shows, what it finds wrong, and the example of a task of one's own."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import types
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from fastslow.cli.main import main
from fastslow.cli.tasks import SIZES
from fastslow.config.settings import FastSlowConfig
from fastslow.core.errors import BadInput
from fastslow.core.types import Example, Split, Verdict
from fastslow.tasks import resolve
from fastslow.tasks.check import check_task, overlap, wrong_answers
from fastslow.tasks.families.rows import Rows, RowsTask
from fastslow.tasks.resolve import resolve_task
from tests.support.nursery import Nursery
from tests.support.present import present
from tests.support.tiny import save_tiny

EXAMPLE = Path(__file__).parents[2] / "examples/custom_task"
OFFLINE = (
    *("physics?path=sample", "polaris?path=sample", "hover?path=sample", "hover_hard?path=sample", "star_graph"),
    *("codeio", "reasoning_gym:products"),
)


def rows_task(count: int = 30, scorer=None, **options) -> RowsTask:
    rows = [{"question": f"What comes after {n}?", "answer": str(1000 + n)} for n in range(count)]
    return RowsTask("after", "after", Rows(list(enumerate(rows))), scorer=scorer, **options)


@pytest.mark.parametrize("name", OFFLINE)
def test_our_own_tasks_are_fit_to_train_on(name):
    report = check_task(resolve_task(name))
    assert not report.problems, report.lines()
    assert any(fact.startswith("the right answers of ") for fact in report.facts)


def test_golds_that_only_their_own_letters_meet_are_told():
    golds = ["12", r"\frac{1}{2}", r"\int x", r"\text{east}", "x^2+1", "12+", "x=1 or x=2", "10 cm", "12_8"]
    rows = [{"question": f"What is {n}?", "answer": gold} for n, gold in enumerate(golds)]
    task = RowsTask("t", "t", Rows(list(enumerate(rows))), scorer="boxed")
    reasons = {
        e.payload["row"]["answer"]: task.literal_answer(e)
        for s in ("train", "validation", "test")
        for e in task.split(s)
    }
    assert {gold for gold, reason in reasons.items() if reason} == {r"\int x", r"\text{east}", "12+"}
    remark = next(remark for remark in check_task(task).remarks if "letters" in remark)
    assert remark.startswith("3 of 9 right answers can be met by their own letters only; the first: ")


def broken(method):
    task: Any = rows_task()
    if method == "accepts anything":
        task.score = lambda example, completion: Verdict(1.0, "Correct.")
    elif method == "refuses its answers":
        task.score = lambda example, completion: Verdict(0.0, "Wrong.")
        task.answer = lambda example: "x"
    elif method == "raises":
        task.score = lambda example, completion: 1 / 0
    elif method == "returns a number":
        task.score = lambda example, completion: 0.5
    elif method == "tosses a coin":
        coin = iter(range(10**6))
        task.score = lambda example, completion: Verdict(float(completion.isdigit()), f"Wrong, says toss {next(coin)}.")
    elif method == "tells secrets":
        task.score = lambda e, text: Verdict(float(text.isdigit()), f"It is {e.payload['row']['answer']}.")
    elif method == "trains on its test":
        leaked = [replace(e, split="test") for e in task.split("train")[:2]]
        task._splits = {**task._splits, "test": leaked}
    return task


@pytest.mark.parametrize(
    ("fault", "found"),
    [
        ("accepts anything", "the empty answer gets full marks (30 examples)"),
        ("refuses its answers", "its own right answer is not accepted (18 examples)"),
        ("raises", "scoring raises"),
        ("returns a number", "scoring returns no Verdict"),
        ("tosses a coin", "judged in two ways"),
        ("tells secrets", "feedback on a validation example shows its answer"),
        ("trains on its test", "2 questions stand in both train and test"),
    ],
)
def test_a_fault_is_named_with_its_place(fault, found):
    lines = check_task(broken(fault)).lines()
    assert any(found in line for line in lines), lines
    assert len(lines) <= 6, "a fault of every example is one line"


@pytest.mark.parametrize(
    ("scorer", "found"),
    [
        (lambda completion, row: row["no such column"], "nothing is scored: the scorer raised KeyError"),
        (lambda completion: 1.0, "nothing is scored: the scorer raised TypeError"),
        (lambda completion, row: None, "nothing is scored: the scorer returned None"),
        (lambda completion, row: 2.0, "nothing is scored: the scorer returned 2.0"),
        (lambda completion, row: 0.0, "its own right answer is not accepted (18 examples)"),
        (lambda completion, row: 0.5 * (completion == row["answer"]), "its own right answer is not accepted"),
    ],
)
def test_a_scorer_of_ones_own_that_cannot_work_is_not_fit(scorer, found):
    lines = check_task(rows_task(scorer=scorer)).lines()
    assert any(found in line for line in lines), lines


@pytest.mark.parametrize("leaky", [True, False])
def test_short_secrets_are_found_and_what_is_said_of_every_example_is_none(leaky):
    def told(example, completion):
        answer = example.payload["row"]["answer"]
        return Verdict(float(completion == answer), f"no, it is {answer}" if leaky else "Not one of 0, 1, 2 or 3.")

    rows = [{"question": f"q {n}", "answer": str(n % 4)} for n in range(30)]
    task = RowsTask("short", "short", Rows(list(enumerate(rows))))
    task.score = told
    assert any("validation example shows its answer" in line for line in check_task(task).lines()) == leaky


def test_sizes_are_those_of_a_run():
    fields = FastSlowConfig.__dataclass_fields__
    assert {size: fields[size].default for size in SIZES} == SIZES


@pytest.mark.parametrize(
    ("split", "said"),
    [
        (lambda self, name: 1 / 0, "its split('train') raised ZeroDivisionError"),
        (lambda self, name: ["What?"], "its split('train') holds a str, not fastslow.core.types.Example"),
        (lambda self, name: None, "its split('train') raised TypeError"),
    ],
)
def test_a_factory_whose_splits_are_none_is_refused(split, said, monkeypatch):
    methods = {"name": "own", "split": split, "score": lambda *_: None, "answer": lambda *_: None}
    module: Any = types.ModuleType("own_task_of_the_test")
    module.make = lambda: type("Own", (), methods)()
    monkeypatch.setitem(sys.modules, "own_task_of_the_test", module)
    monkeypatch.setattr(resolve, "importable", lambda name: True)
    with pytest.raises(BadInput, match=re.escape(said)):
        resolve_task("own_task_of_the_test:make")


class OwnTask:
    """A task of a user's: examples in splits, each with an answer, judged by equality."""

    name = "own"

    def __init__(self, *asked: tuple[str, str, str]):
        rest = [(f"What is {i}?", str(i), split) for i, split in enumerate(("train", "validation", "test"))]
        self._answers = {str(n): answer for n, (_, answer, _) in enumerate([*asked, *rest])}
        self._examples = [
            Example(str(n), "own", cast(Split, split), ({"role": "user", "content": question},))
            for n, (question, _, split) in enumerate([*asked, *rest])
        ]

    def split(self, name: Split) -> list[Example]:
        return [e for e in self._examples if e.split == name]

    def score(self, example: Example, completion: str) -> Verdict:
        return Verdict(float(completion == self._answers[example.id]), "")

    def answer(self, example: Example) -> str:
        return self._answers[example.id]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (
            [("What is IT?", "a", "train"), ("what  is it?", "a", "test")],
            "form of characters alone in train and test: example 0 and example 1",
        ),
        (
            [("What is it?", "a", "train"), ("What is it?", "b", "train")],
            "have different answers: example 0 and example 1",
        ),
        ([(" \n", "a", "train")], "a question is empty: example 0"),
        ([("q", "a\x00", "train")], "the right answer holds a control character or U+FFFD: example 0 (U+0000)"),
        ([("q", "nan", "train")], "a word that programs write for no value: example 0, 'nan'"),
        ([("q", "", "train")], "the empty answer gets full marks: example 0"),
    ],
)
def test_a_task_of_ones_own_is_looked_at_like_rows_of_data(asked, found):
    lines = check_task(OwnTask(*asked)).lines()
    assert any(found in line for line in lines), lines


def test_questions_that_case_alone_tells_apart_are_only_reported():
    report = check_task(OwnTask(("ASCII code of a?", "97", "train"), ("ASCII code of A?", "65", "test")))
    assert not report.problems
    assert any("have different answers" in remark for remark in report.remarks)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ('{"question": "q", "answer": ""}', "line 4"),
        ('{"question": "q", "answer": NaN}', "line 4"),
        (r'{"question": "q", "answer": "\frac{1}{7}"}', "line 4"),
        ('{"question": "q", "answer": ["2"]}', "line 4"),
        ('{"question": "q", "answer": "1", "answer": "2"}', "line 4"),
    ],
)
def test_check_and_train_refuse_a_row_alike_before_anything_is_written(row, said, capsys, tmp_path):
    lines = [json.dumps({"question": f"What is {n}?", "answer": str(n)}) for n in range(3)]
    (tmp_path / "t.jsonl").write_text("\n".join([*lines, row]))
    model = ["--model", str(save_tiny(tmp_path / "model"))]
    spec = f"jsonl:{tmp_path}/t.jsonl"
    capsys.readouterr()
    assert main(["tasks", "check", spec, *model]) == 2
    checked = capsys.readouterr().err
    assert main(["train", "--task", spec, "--output_dir", str(tmp_path / "run"), *model]) == 2
    trained = capsys.readouterr().err
    for told in (checked, trained.removeprefix("loading libraries ...\n")):
        assert said in told
        assert told.count("\n") == 1, told
    assert not (tmp_path / "run").exists()


def test_prompts_that_fill_the_window_are_counted():
    report = check_task(rows_task(), tokens_of=lambda example: 50, window=50)
    assert "30 of 30 prompts fill the model's window and leave no room to answer" in report.lines()


def test_wrong_answers_are_wrong():
    for name in OFFLINE:
        task = resolve_task(name)
        example = task.split("train")[0]
        kinds = dict(wrong_answers(task, example))
        assert set(kinds) == {"empty", "refusal", "the answer to another question"}
        assert all(task.score(example, text).reward == 0.0 for text in kinds.values()), (name, kinds)


def test_leaked_questions_are_found_exactly_and_by_thirteen_words():
    def task(questions, split):
        rows = [{"question": q, "answer": "1", "split": split} for q in questions]
        rest = [{"question": f"other {split} {s}", "answer": "1", "split": s} for s in ("train", "validation", "test")]
        return RowsTask("leaks", "leaks", Rows(list(enumerate(rows + rest))))

    story = "the old lighthouse keeper counted nine grey seals on the northern rocks before the storm came"
    common = "answer the following question with one number and nothing else at all please now:"
    held_out = task(
        [
            f"How many? {story} at last",
            "What is  2 + 2?",
            *(f"{common} {n}" for n in range(5)),
            "Nothing in common here",
        ],
        "test",
    )
    trained = task(
        [f"Tell me: {story}.", "what is 2 + 2?", *(f"{common} {n}" for n in range(10, 15))],
        "train",
    )
    assert overlap(held_out, trained) == {"held_out": 10, "exact": 1, "similar": 1}
    assert overlap(trained, held_out)["exact"] == 0, "only training questions of the other can leak"


def test_the_two_codeio_tasks_share_programs():
    found = overlap(resolve_task("codeio"), resolve_task("reasoning_gym:codeio", train_size=300))
    assert found["similar"] > 50, f"both draw on the same programs: {found}"


def test_list_show_and_check_answer(capsys, tmp_path):
    model = str(save_tiny(tmp_path / "model"))
    assert main(["tasks"]) == 0
    listed = capsys.readouterr().out
    assert main(["tasks", "list"]) == 0
    assert capsys.readouterr().out == listed
    assert "reasoning_gym:gcd\t" in listed
    assert main(["tasks", "show", "reasoning_gym:gcd", "--examples", "1", "--model", model]) == 0
    shown = capsys.readouterr().out
    for part in ("right answer '", "reward 1. Correct.", "refusal 'I do not know.': reward 0.", "user"):
        assert part in shown, shown
    assert main(["tasks", "check", "reasoning_gym:gcd", "--model", model]) == 0
    assert "fit to train on" in capsys.readouterr().out


def test_check_reads_the_users_download_and_says_what_leaks(capsys, tmp_path):
    model = str(save_tiny(tmp_path / "model"))
    rows = [{"problem": f"What is {n} + {n}?", "answer": str(2 * n)} for n in range(40)]
    good = tmp_path / "a download.jsonl"
    good.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["tasks", "check", "polaris", "--path", str(good), "--model", model]) == 0
    assert "the right answers of 20 of 20 training examples" in capsys.readouterr().out
    (tmp_path / "bad.jsonl").write_text('{"problme": "x"}\n')
    assert main(["tasks", "check", "polaris", "--path", str(tmp_path / "bad.jsonl")]) == 2
    assert "no column 'problem'" in capsys.readouterr().err
    for split in ("test", "train"):  # the same six questions on either side
        rows = [{"question": f"q {n}", "answer": "1", "split": split} for n in range(6)]
        rows += [
            {"question": f"a {s}", "answer": "1", "split": s} for s in ("train", "validation", "test") if s != split
        ]
        (tmp_path / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = ["tasks", "check", f"jsonl:{tmp_path}/test.jsonl", "--against", f"jsonl:{tmp_path}/train.jsonl"]
    assert main([*command, "--model", model]) == 1
    assert "6 held-out questions are training questions of" in capsys.readouterr().out


def test_check_names_rows_as_a_person_counts_them(capsys, tmp_path, monkeypatch):
    """Also where a scorer of the user's raises: the number of the row, never a hash."""
    (tmp_path / "scorer_of_the_check.py").write_text(
        "def score(text, row):\n    return 1 / 0 if row['question'] == 'q7' else float(text == row['answer'])\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    rows = ["question,answer", *(f"q{n},{n}" for n in range(12))]
    (tmp_path / "t.csv").write_text("\n".join(rows))
    model = str(save_tiny(tmp_path / "model"))
    spec = f"hf:{tmp_path}/t.csv?question=question&answer=answer&scorer=scorer_of_the_check:score"
    main(["tasks", "check", spec, "--model", model])
    said = capsys.readouterr().out
    assert "answers are unscored: the scorer raised ZeroDivisionError: division by zero (row 8)" in said
    assert "row 1 is the first below the header" in said


def test_check_and_show_take_what_train_takes_of_a_template(capsys, tmp_path):
    model, task = save_tiny(tmp_path / "model"), tmp_path / "t.jsonl"
    task.write_text("".join(json.dumps({"question": f"What is {n}?", "answer": str(n)}) + "\n" for n in range(8)))
    config = json.loads((model / "tokenizer_config.json").read_text())
    template = model / "chat_template.jinja"
    text = template.read_text() if template.exists() else config["chat_template"]
    template.write_text("{{ persona.upper() }} {{ strftime_now('%Y') }} " + text)
    for command in ("check", "show"):
        argv = ["tasks", command, f"jsonl:{task}", "--model", str(model)]
        assert main(argv) == 2
        assert "--chat_template_kwargs may give it" in capsys.readouterr().err
        taken = [*argv, "--chat_template_kwargs", '{"persona": "sage"}', "--template_date", "1999-12-31"]
        assert main(taken) == 0
        assert ("SAGE 1999" in capsys.readouterr().out) is (command == "show")
        for flag, value in (("--chat_template_kwargs", "[1]"), ("--template_date", "tomorrow")):
            assert main([*argv, flag, value]) == 2
            assert flag.strip("-") in capsys.readouterr().err


def test_what_a_question_holds_cannot_command_the_terminal(capsys, tmp_path):
    rows = [{"question": f"\x1b]0;owned\x07 [bold]{n}[/bold]", "answer": f"\x1b[2J{n}"} for n in range(5)]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    model = str(save_tiny(tmp_path / "model"))
    assert main(["tasks", "show", f"jsonl:{tmp_path}/t.jsonl", "--model", model]) == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "[bold]" in shown, "markup is shown, not obeyed"


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["show"], "name"),
        (["check", "reasoning_gym:gdc"], "Did you mean"),
        (["lsit"], "invalid choice"),
        (["show", "star_graph", "--examples", "0"], "must be"),
        (["show", "star_graph", "--model", "/nowhere"], "does not exist"),
        (["check", "reasoning_gym:gcd", "--path", "x"], "leave out --path"),
        (["show", "hover?path=smaple"], "'smaple' does not exist"),
        (["check", "physics?path=sample", "--against", "nosuch"], "unknown"),
    ],
)
def test_bad_commands_are_one_line(argv, said, capsys):
    assert main(["tasks", *argv]) == 2
    err = capsys.readouterr().err
    assert said in err, err
    assert err.count("\n") == 1, err


@pytest.mark.real_model
@pytest.mark.processes
def test_a_task_of_ones_own_takes_its_first_step_in_under_twenty_lines(tmp_path):
    """The commands of the example's README, as they stand there."""
    commands = (
        present(re.search(r"```sh\n(.*?)```", (EXAMPLE / "README.md").read_text(), re.DOTALL))[1].strip().splitlines()
    )
    code = [line for line in (EXAMPLE / "metres.py").read_text().splitlines() if line.strip()]
    assert len(code) + len(commands) < 20
    (tmp_path / "metres.py").write_text((EXAMPLE / "metres.py").read_text())
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    first, *others = commands  # a process of its own shows that the folder's module is found; forks of one are cheaper
    done = subprocess.run(first, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{first}: {done.stderr[-2000:]}"
    with Nursery(tmp_path) as nursery:
        for command in others:
            program, *argv = shlex.split(command)
            assert program == "fastslow"
            if argv[0] == "train":  # small: the step is the point, not its size
                argv += ["--mode", "rl", "--beta", "0", "--problems_per_step", "2", "--num_generations", "4"]
                argv += ["--validation_size", "4", "--eval_samples", "1", "--kl_examples", "2"]
            assert nursery.run(argv) == 0, f"{command}: {nursery.log()[-2000:]}"
    summary = json.loads((tmp_path / "runs/metres/summary.json").read_text())
    assert (summary["status"], summary["steps"]) == ("done", 1)
