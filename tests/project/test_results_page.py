"""docs/results.md says what results/reproduce holds, and no more."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from kept import keep  # noqa: E402
from results_page import TITLES, _decide, page  # noqa: E402


def test_the_page_is_the_one_that_the_results_give():
    text = (ROOT / "docs/results.md").read_text(encoding="utf-8")
    assert text.split("<!-- results -->\n\n")[1] == page(ROOT / "results/reproduce")


def test_a_claim_is_decided_by_its_whole_interval_and_three_seeds():
    assert _decide(1.1, 3.0, 1.0, above=True, enough=True) == "holds"
    assert _decide(0.2, 0.9, 1.0, above=True, enough=True) == "fails"
    assert _decide(0.2, 0.9, 1.0, above=False, enough=True) == "holds"
    assert _decide(0.9, 1.1, 1.0, above=True, enough=True) == "undecided"
    assert _decide(1.1, 3.0, 1.0, above=True, enough=False) == "undecided"


def test_without_results_everything_is_not_measured_yet(tmp_path):
    assert page(tmp_path).count(";") == len(TITLES) - 1
    assert "holds" not in page(tmp_path)


def test_the_command_names_a_page_without_its_marker(tmp_path):
    (tmp_path / "page.md").write_text("text")
    command = [sys.executable, ROOT / "scripts/results_page.py", tmp_path, tmp_path / "page.md"]
    assert "has no line" in subprocess.run(command, capture_output=True, text=True, check=False).stderr


def test_a_part_that_is_run_later_is_added_to_what_is_kept_and_names_no_folder_of_this_machine(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runs, kept = tmp_path / "runs", tmp_path / "kept"
    for arm in ("rl", "fst"):
        (runs / f"{arm}-s1").mkdir(parents=True)
        for file in ("config.yaml", "metrics.jsonl", "evals.jsonl"):
            (runs / f"{arm}-s1" / file).write_text(f"# Made in {tmp_path}\noutput_dir: {tmp_path}/runs/{arm}-s1\n")
        (runs / f"{arm}-s1" / "summary.json").write_text('{"status": "done"}')
        cell = {"path": f"{arm}-s1", "arm": arm}
        (runs / "comparison.json").write_text(json.dumps({"kind": "compare", "reference": arm, "cells": [cell]}))
        keep(runs, kept)
    plan = json.loads((kept / "comparison.json").read_text())
    assert [cell["arm"] for cell in plan["cells"]] == ["fst", "rl"]
    assert plan["reference"] == "rl"
    assert (kept / "fst-s1/config.yaml").read_text() == "output_dir: runs/fst-s1\n"
