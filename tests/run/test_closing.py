"""What the reflection endpoint cost: nothing where none was asked, unknown where its price is."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from fastslow.cli.closing import close
from fastslow.config.settings import FastSlowConfig
from fastslow.record.display import SilentDisplay
from fastslow.run.closing import _taken_for, reflection_cost
from fastslow.run.train import train
from tests.support.runs import tiny_settings, tiny_trainer

PAGE = (Path(__file__).parents[2] / "docs/run-directory.md").read_text(encoding="utf-8")

SPENT = {"calls": 3, "prompt_tokens": 2_000_000, "completion_tokens": 500_000}
PRICES = {"reflection_price_prompt": 1.5, "reflection_price_completion": 4.0}
ENDPOINT = {"reflection_base_url": "http://localhost:1/v1", "reflection_model": "m"}


@pytest.mark.parametrize(
    ("settings", "spent", "cost"),
    [
        ({}, SPENT, 0.0),  # a local model
        (ENDPOINT, SPENT | {"calls": 0}, 0.0),
        (ENDPOINT, SPENT, None),
        (ENDPOINT | PRICES, SPENT, 5.0),
    ],
)
def test_cost_is_tokens_times_price_per_million(settings: dict[str, Any], spent: dict[str, int], cost: Any) -> None:
    assert reflection_cost(FastSlowConfig(bf16=False, **settings), spent) == cost


@pytest.mark.parametrize(
    ("settings", "during", "last"),
    [
        ({}, {"lead"}, {"seed", "lead", "mean"}),
        ({"clusters": "labels"}, {"lead", "cluster"}, {"seed", "lead", "mean", "cluster"}),
        ({"eval_contexts": "all"}, {"seed", "lead", "mean"}, {"seed", "lead", "mean"}),
        ({"mode": "rl"}, {"seed"}, {"seed"}),
    ],
)
def test_evaluations_before_the_last_may_measure_what_ships_alone(
    tmp_path: Path, settings: dict[str, Any], during: set[str], last: set[str]
) -> None:
    chosen = {"eval_contexts": "shipped", **settings}
    trainer = tiny_trainer(tmp_path, max_steps=2, eval_strategy="steps", eval_steps=1, **chosen)
    trainer.train()
    measured: dict[int | None, set[str]] = {}
    for one in trainer.recorder.measurements:
        measured.setdefault(one.step, set()).add(one.context)
    assert measured == {1: during, 2: last}


def test_every_field_of_a_summary_is_on_the_page(tmp_path: Path) -> None:
    short = {"max_steps": 1, "save_steps": 1, "problems_per_step": 1, "kl_examples": 1}
    settings = tiny_settings(tmp_path, clusters="inferred", embedder="ngrams", **short)
    summary = train(FastSlowConfig(**settings), display=SilentDisplay())
    section = PAGE.partition("## summary.json")[2].partition("\n## ")[0]
    rows = {
        tuple(re.findall(r"`(\w+)`", names)): text
        for names, text in re.findall(r"^\| (.+?) \| (.+) \|$", section, re.M)
    }
    assert set(summary) - {name for names in rows for name in names} == set()
    open_ended = (
        "versions",
        "tasks",
        "population",
        "standings",
        "lead_context",
    )  # libraries, names of tasks, own tables
    for name in set(summary) - set(open_ended):
        if isinstance(summary[name], dict):
            (text,) = (text for names, text in rows.items() if name in names)
            missing = set(summary[name]) - set(re.findall(r"`(\w+)`", text))
            assert not missing, f"what the page says of '{name}' leaves out {sorted(missing)}"


def test_of_labels_the_summary_has_what_one_answer_to_everything_would_come_to(tmp_path: Path, capsys: Any) -> None:
    rows = [{"question": f"Ticket {i}?", "answer": "desk" if i % 3 else "billing"} for i in range(40)]
    (tmp_path / "labels.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = f"jsonl:{tmp_path / 'labels.jsonl'}?scorer=tests.support.runs:spread"
    short: dict[str, Any] = {"max_steps": 1, "validation_size": 9, "kl_examples": 1, "problems_per_step": 1}
    summary = train(FastSlowConfig(**tiny_settings(tmp_path, **short) | {"task": task}), display=SilentDisplay())
    labels = summary["labels"]
    assert (labels["number"], labels["commonest"]) == (2, "desk")
    assert labels["commonest_share"] > 0.5
    assert 0 < labels["answered_share"] <= 1
    counted = {right: sum(given.values()) for right, given in labels["taken_for"].items()}
    assert sum(counted.values()) == 9, "each held-out question is counted once, by its right label"
    assert counted["desk"] == round(9 * labels["commonest_share"])
    assert set(labels["taken_for"]["desk"]) == {"billing", "desk", ""}
    bundle = tmp_path / "run" / "bundle"
    modes = {path.name: path.stat().st_mode for path in bundle.iterdir()}
    assert modes["model.safetensors"] == modes["config.json"], "whoever reads the one reads the other"
    close(summary, str(tmp_path / "run"))
    said = capsys.readouterr().out
    assert f"'desk', would be right on {labels['commonest_share']:.0%}" in said
    assert "what ships answers '" in said


def test_labels_are_told_apart_as_people_read_them() -> None:
    right = {"1": "Desk", "2": "Desk", "3": "billing", "4": "billing"}
    given = [("1", "desk"), ("2", "Desk, I think"), ("3", "DESK"), ("4", "billing")]
    assert _taken_for(right, given) == {
        "Desk": {"Desk": 1, "billing": 0, "": 1},
        "billing": {"Desk": 1, "billing": 1, "": 0},
    }


def test_labels_that_differ_in_case_alone_stay_apart_and_long_ones_that_look_alike_have_no_table() -> None:
    right = {"1": "Desk", "2": "desk ", "3": "desk "}
    given = [("1", "desk"), ("2", "Desk"), ("3", "DESK")]
    assert _taken_for(right, given) == {
        "Desk": {"Desk": 0, "desk ": 1, "": 0},
        "desk ": {"Desk": 1, "desk ": 0, "": 1},
    }
    assert _taken_for({"1": "x" * 80 + "a", "2": "x" * 80 + "b"}, [("1", "a")]) == {}
