"""The offline tasks of the paper are the same on every machine: a manifest of hashes holds them."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fastslow.tasks.resolve import list_tasks, resolve_task
from fastslow.tasks.splits import SPLITS

NAMES = (
    "star_graph?degree=25&path=20&ids=500",
    "star_graph?degree=2&path=3&ids=10",
    "codeio",
    "hover?path=sample",
    "hover_hard?path=sample",
)
MANIFEST = Path(__file__).with_name("paper_tasks.json")
"""What `python -m tests.tasks.test_paper_tasks` prints; written anew only with a change that is meant."""


def hashes() -> dict[str, dict[str, str]]:
    """A hash of ids, messages and payloads of the first examples of every split, by task name."""
    found: dict[str, dict[str, str]] = {}
    for name in NAMES:
        task = resolve_task(name, train_size=40, validation_size=20, test_size=20)
        found[name] = {
            split: hashlib.sha256(
                json.dumps([(e.id, e.messages, e.payload) for e in task.split(split)], sort_keys=True).encode()
            ).hexdigest()[:16]
            for split in SPLITS
        }
    return found


def test_examples_are_those_of_the_manifest():
    assert hashes() == json.loads(MANIFEST.read_text()), "a released task must not change: runs could not be compared"


@pytest.mark.processes
def test_another_process_with_another_hash_seed_makes_the_same_examples():
    environment = {**os.environ, "PYTHONHASHSEED": "4242"}
    command = [sys.executable, "-m", "tests.tasks.test_paper_tasks"]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, env=environment, cwd=root, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == json.loads(MANIFEST.read_text()), "examples must not depend on the process"


def test_all_four_are_listed():
    listed = dict(list_tasks())
    assert {"codeio", "hover", "hover_hard", "star_graph"} <= set(listed)
    assert "?path=sample" in listed["hover"], "the line says how to try it offline"


if __name__ == "__main__":
    print(json.dumps(hashes(), indent=1))
