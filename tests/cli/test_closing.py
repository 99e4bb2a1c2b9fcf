"""What a run prints at its end: answers before and after, the best prompt, and the next command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fastslow.cli.called import called
from fastslow.cli.closing import LONGEST_ANSWER, LONGEST_CONTEXT, WHAT_NOW, close
from fastslow.cli.main import main
from fastslow.contexts.context import seed_context

INSTRUCTION = "Answer with the number alone.\nNothing else."


def summary(**changed: Any) -> dict[str, Any]:
    accuracy = {"base_seed": 0.0, "base_lead": 0.1, "seed": 0.2, "lead": 0.9, "mean": 0.8}
    return {
        "status": "done", "mode": "fst", "seed": 1, "steps": 2, "validation_examples": 8, "accuracy": accuracy,
        "ships": "lead",
        "channels": {"fast": True, "slow": True}, "lead_context": seed_context(INSTRUCTION).to_json(), **changed,
    }  # fmt: skip


def answer(weights: str, context: str, question: str, text: str, reward: float | None) -> dict[str, Any]:
    return {
        "step": 2, "weights": weights, "context": context, "context_id": "c0ffee", "task": "a",
        "example_id": question, "question": question, "text": text, "tokens": len(text.split()), "reward": reward,
    }  # fmt: skip


def closed(capsys: Any, run: Path, told: dict[str, Any], *answers: dict[str, Any]) -> str:
    (run / "answers.jsonl").write_text("".join(json.dumps(one) + "\n" for one in answers), encoding="utf-8")
    close(told, str(run))
    return capsys.readouterr().out


def test_answers_of_the_base_to_the_plain_prompt_stand_beside_the_last_ones_of_what_ships(
    tmp_path: Path, capsys: Any
) -> None:
    said = closed(
        capsys, tmp_path, summary(),
        answer("trained", "lead", "6 * 7?", "early", 0.0), answer("trained", "seed", "6 * 7?", "plain", 0.0),
        answer("trained", "lead", "6 * 7?", "42", 1.0), answer("base", "seed", "6 * 7?", "It is\n\nforty", None),
        answer("base", "lead", "6 * 7?", "prompted", 0.5),
    )  # fmt: skip
    assert "6 * 7?\n    before  unscored     It is forty\n    after   reward 1.00  42\n" in said
    assert not any(word in said for word in ("early", "plain\n", "prompted"))


def test_the_best_prompt_stands_there_as_one_would_paste_it_and_the_next_command_below(
    tmp_path: Path, capsys: Any
) -> None:
    (tmp_path / "bundle").mkdir()
    said = closed(capsys, tmp_path, summary())
    assert "  Answer with the number alone.\n  Nothing else.\n" in said
    assert f"Next: fastslow report {tmp_path}\n" in said
    assert f'fastslow ask {tmp_path} "QUESTION"' in said
    assert "before" not in said, "nothing is claimed without answers"


@pytest.mark.parametrize(
    ("settings", "trust"),
    [
        ({"task": "reasoning_gym:products?scorer=number", "tasks": None}, ""),
        ({"task": "tickets.csv?scorer=tickets:score", "tasks": None}, " --trust_task"),
        ({"task": "a set", "tasks": ["star_graph", "metres:make_task"]}, " --trust_task"),
        ({"task": "products.csv", "tasks": None, "clusters": "inferred", "embedder": "minilm"}, ""),
        ({"task": ["damaged"]}, ""),
    ],
)
@pytest.mark.parametrize("own", [True, False])
def test_the_command_that_measures_again_says_that_it_trusts_code_where_that_is_asked_for(
    tmp_path: Path, capsys: Any, settings: dict[str, Any], trust: str, own: bool
) -> None:
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle/bundle.json").write_text(json.dumps({"settings": settings}))
    close(summary(), str(tmp_path), own=own)
    said = capsys.readouterr().out
    assert f"fastslow eval {tmp_path} --split test{trust}   (" in said
    assert f'fastslow ask {tmp_path} "QUESTION"\n' in said, "an answer needs no scorer"


@pytest.mark.parametrize(("clusters", "trust"), [("inferred", " --trust_task"), ("labels", "")])
def test_a_command_that_runs_an_embedder_of_the_users_says_that_it_trusts_it(
    tmp_path: Path, capsys: Any, clusters: str, trust: str
) -> None:
    (tmp_path / "bundle").mkdir()
    settings = {"task": "star_graph", "tasks": None, "clusters": clusters, "embedder": "mine:embed"}
    (tmp_path / "bundle/bundle.json").write_text(json.dumps({"settings": settings}))
    close(summary(), str(tmp_path))
    assert f'fastslow ask {tmp_path} "QUESTION"{trust}\n' in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changed", "low", "said"),
    [
        ({"steps": 30}, 0.62, ""),
        ({"steps": 30}, 0.05, "What ships is not clearly above the base's best: "),
        ({"steps": 30, "ships": "seed", "accuracy": {"base_seed": 0.4, "seed": 0.3}}, None,
         "What ships is not clearly above the base's best: "),
        ({"steps": 30, "accuracy": {"base_seed": None, "lead": 0.3}}, None, ""),
        ({"steps": 6}, 0.62, ""),
        ({"steps": 0, "channels": {"fast": True, "slow": False}}, 0.62, ""),
    ],
)  # fmt: skip
def test_a_run_that_learned_nothing_for_sure_says_where_to_read_on(
    tmp_path: Path, capsys: Any, changed: dict[str, Any], low: float | None, said: str
) -> None:
    row = {"weights": "trained", "context": "lead", "low": low, "high": 0.98}
    (tmp_path / "evals.jsonl").write_text(json.dumps(row) + "\n")
    shown = closed(capsys, tmp_path, summary(**changed))
    assert (f"{said}{WHAT_NOW}\n" in shown) if said else (WHAT_NOW not in shown)


def test_steps_that_moved_nothing_a_better_prompt_beside_the_lead_and_a_lead_that_is_the_plain_one_are_told(
    tmp_path: Path, capsys: Any
) -> None:
    (tmp_path / "metrics.jsonl").write_text("".join(f'{{"fst/live_rows": {n}}}\n' for n in (0.0, 0.5, 0.0)) + "{}\n")
    accuracy = summary()["accuracy"]
    shown = closed(capsys, tmp_path, summary(accuracy={**accuracy, "mean": 0.95}))
    assert "2 of 3 steps moved no weights: none of their rows had a gradient" in shown
    assert "another of them answered better" in shown
    assert "The search found no prompt that stands above the plain one, which is what ships.\n" in shown
    found = {**seed_context(INSTRUCTION).to_json(), "proposer": "reflection"}
    (tmp_path / "metrics.jsonl").write_text('{"fst/live_rows": 0.5}\n')
    shown = closed(capsys, tmp_path, summary(lead_context=found))
    assert not any(part in shown for part in ("moved no weights", "answered better", "search found no"))


@pytest.mark.parametrize(("low", "said"), [(0.62, False), (0.5, True)])
def test_a_run_that_one_label_for_all_may_beat_says_where_to_read_on(
    tmp_path: Path, capsys: Any, low: float, said: bool
) -> None:
    row = {"weights": "trained", "context": "lead", "low": low, "high": 0.98}
    (tmp_path / "evals.jsonl").write_text(json.dumps(row) + "\n")
    labels = {
        "number": 3,
        "commonest": "desk",
        "commonest_share": 0.56,
        "answered": "a sentence",
        "answered_share": 0.06,
    }
    shown = closed(capsys, tmp_path, summary(labels=labels))
    assert (f"What ships is not clearly above one answer to everything: {WHAT_NOW}\n" in shown) is said
    assert "a sentence" not in shown, "an answer that is rare says nothing"


def test_the_page_that_it_names_has_that_section() -> None:
    page, _, section = WHAT_NOW.partition(", ")
    assert f"\n## {section.strip(chr(39))}\n" in (Path(__file__).parents[2] / page).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("program", "found", "line"),
    [
        ("HERE/.venv/bin/fastslow", False, ".venv/bin/fastslow"),
        (".venv/bin/fastslow", False, ".venv/bin/fastslow"),
        ("HERE/fastslow", False, "./fastslow"),
        ("/opt/my tools/fastslow", False, "'/opt/my tools/fastslow'"),
        ("/opt/fastslow/__main__.py", False, "bin/python -m fastslow"),
        ("/usr/bin/pytest", False, "fastslow"),
        ("HERE/.venv/bin/fastslow", True, "fastslow"),
    ],
)
def test_a_command_is_named_as_it_can_be_called_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, found: bool, line: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("fastslow.cli.called.sys.argv", [program.replace("HERE", str(tmp_path)), "train"])
    monkeypatch.setattr("fastslow.cli.called.sys.executable", str(tmp_path / "bin/python"))
    monkeypatch.setattr("fastslow.cli.called.shutil.which", lambda name: "/usr/bin/fastslow" if found else None)
    assert called() == line


def test_what_is_long_is_cut_and_what_a_terminal_would_obey_is_not_printed(tmp_path: Path, capsys: Any) -> None:
    long = summary(lead_context=seed_context("x" * 5_000).to_json())
    hostile = [
        answer(weights, context, "q \x1b[2J [bold]", "y" * 900 + "\x1b]0;owned\x07", 0.0)
        for weights, context in (("base", "seed"), ("trained", "lead"))
    ]
    said = closed(capsys, tmp_path, long, *hostile)
    assert "\x1b" not in said
    assert "\x07" not in said
    assert "[bold]" in said, "the words of a question are no markup"
    assert f"{5_000 - LONGEST_CONTEXT + len(chr(10) * 2 + '{question}')} more characters: fastslow contexts" in said
    assert "y" * LONGEST_ANSWER + " …" in said


def test_how_sure_the_numbers_are_stands_below_them_and_an_answer_that_was_cut_says_so(
    tmp_path: Path, capsys: Any
) -> None:
    (tmp_path / "config.yaml").write_text("max_completion_length: 3\n")
    rows = [{"weights": "trained", "context": "lead", "low": low, "high": 0.98} for low in (0.1, 0.62)]
    (tmp_path / "evals.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    said = closed(
        capsys, tmp_path, summary(),
        answer("base", "seed", "q", "one two three", 0.0), answer("trained", "lead", "q", "one two", 1.0),
    )  # fmt: skip
    assert "on 8 held-out questions, one of which is 12.5 points; what ships: 95% interval 0.62 to 0.98\n" in said
    assert "one two three … (cut at 3 tokens)\n" in said
    assert "reward 1.00  one two\n" in said


@pytest.mark.parametrize("mode", ["rl", "older"])
def test_where_no_context_evolves_or_a_run_is_older_none_is_shown(tmp_path: Path, capsys: Any, mode: str) -> None:
    told = summary(channels={"fast": False, "slow": True}, ships="seed")
    if mode == "older":
        del told["channels"], told["ships"]
    said = closed(capsys, tmp_path, told, answer("base", "seed", "q", "a", 0.0))
    assert "best prompt" not in said.split("Next:")[0].partition("run directory")[2]
    assert "before" not in said


def test_a_run_that_was_stopped_says_how_it_goes_on_and_nothing_of_what_it_did_not_measure(
    tmp_path: Path, capsys: Any
) -> None:
    nothing = dict.fromkeys(summary()["accuracy"])
    told = summary(status="stopped by SIGINT", accuracy=nothing)
    said = closed(capsys, tmp_path, told, answer("base", "seed", "q", "a", 0.0))
    assert "Nothing was measured on held-out questions yet.\n" in said
    assert "n/a" not in said
    assert f"The run was stopped by SIGINT. To go on: fastslow resume {tmp_path}" in said
    assert "Next:" not in said
    assert "as one would paste it" not in said


def test_a_real_run_prints_them_and_keeps_the_answers_of_every_evaluation(tmp_path: Path, capsys: Any) -> None:
    from tests.cli.test_cli import recipe

    assert main(["train", "--config", recipe(tmp_path)]) == 0
    said, run = capsys.readouterr().out, tmp_path / "run"
    rows = [json.loads(line) for line in (run / "answers.jsonl").read_text().splitlines()]
    assert {(row["weights"], row["context"]) for row in rows} >= {("trained", "lead"), ("base", "seed")}
    assert len({row["example_id"] for row in rows}) == 3
    for row in rows:
        assert row["question"].split()[0] in said
    assert said.count("    before  reward") == said.count("    after   reward") == 3
    assert "as one would paste it." in said
    assert f"Next: fastslow report {run}" in said
