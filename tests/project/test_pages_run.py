"""The command blocks of the docs run as they stand, with a tiny model for SmolLM2 and small data for the reader's."""

from __future__ import annotations

import itertools
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from fastslow.cli.main import main
from fastslow.config.settings import FastSlowConfig
from fastslow.run.train import train
from tests.support.bundles import TASK
from tests.support.runs import stream_settings, tiny_settings

DOCS = Path(__file__).parents[2] / "docs"
TINY_TASKS = [
    f"reasoning_gym:{family}?min_terms=2&max_terms=2&min_digits=1&max_digits=1&scorer=number"
    for family in ("products", "chain_sum")
]
PAGES = (
    "commands", "quickstart", "training", "tasks", "report", "run-directory", "evidence", "streams", "routing",
    "registry", "gate", "export", "costs", "alternatives",
)  # fmt: skip
"""In the order in which they are run: a page may use what the pages before it made. docs/release.md has a test of its
own; cluster.md says of each of its commands whether it was run; those of engines.md, serving.md and release-serving.md
talk to servers, which tests/vllm and tests/serving start."""
ELSEWHERE = {
    "RECIPE": "stands for the reader's recipe",
    "/mnt/": "a folder of the reader's",
    "s3://": "tests/run/test_mirror.py runs it against a local S3 server",
    "reflection_base_url": "asks a paid endpoint; tests/fast run it against a server of their own",
    "fastslow serve": "goes on until it is stopped; tests/serving",
    "accelerate launch": "tests/core/test_processes.py starts two processes by it",
    "fastslow doctor  ": "judges the machine that it runs on; tests/cli/test_environment.py",
    "fastslow plasticity": "tests/experiments: two trainings in one",
    "fastslow probe-routes": "tests/experiments/test_probe.py: trains on single examples, for most of a minute",
    "fastslow distill": "tests/slow/test_distill.py: TRL's trainer takes ten seconds to begin",
    "ask registry@": "needs a registry, which a later page makes; tests/cli/test_ask.py",
    "distilled": "needs what distill makes",
    "--show 714392": "the id of a context of another run",
    "--seeds": "an experiment of several runs; tests/experiments",
    "polaris --path": "needs data of that shape; tests/tasks/families",
    "codeio": "runs programs in the sandbox for minutes",
    "tickets": "examples/tickets, which tests/tasks/test_examples.py runs",
    "jsonl:my.jsonl": "the reader's own file",
    "results/my-comparison": "made by fastslow compare; tests/experiments",
}
"""Part of a command -> why it isn't run here."""


def commands_of(page: str) -> list[str]:
    text = re.sub(r"\\\n\s+", " ", (DOCS / f"{page}.md").read_text(encoding="utf-8"))
    return re.findall(r"^    ((?:fastslow [a-z]|accelerate |make ).*)$", text, re.MULTILINE)


def why_not(command: str) -> str | None:
    return next((why for part, why in ELSEWHERE.items() if part in command), None)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the pages take it for granted: recipes, two runs and a registry, all of them tiny."""
    folder = tmp_path_factory.mktemp("pages")
    small: dict[str, Any] = {"fast_metric_calls": 24, "seed": 42, "eval_samples": 1, "kl_examples": 0}
    recipe = tiny_settings(folder, task=TINY_TASKS[0], max_steps=1, **small)
    stream = stream_settings(folder, tasks=TINY_TASKS, stage_steps=2, stream="recur:2", clusters="inferred", **small)
    shutil.copytree(DOCS.parent / "recipes", folder / "recipes")
    for name, settings in {"quickstart": recipe, "stream_recur": stream, "reproduce/continual": stream}.items():
        kept = {key: value for key, value in settings.items() if key != "output_dir"}
        (folder / f"recipes/{name}.yaml").write_text(yaml.safe_dump(kept))
    for name in ("first-task", "second-task"):
        shutil.copy(folder / "recipes/quickstart.yaml", folder / f"{name}.yaml")
    policy = {"questions": 80, "looks": 1, "margin": 0.4, "retain": [{"task": TASK}]}
    for name in ("first", "gate"):
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(policy))
    for seed, name in enumerate(("fst-s1", "rl-s1", "first", "new", "my-run")):
        mode = "rl" if name == "rl-s1" else "fst"
        own: dict[str, Any] = {"mode": mode, "seed": seed, "output_dir": str(folder / f"runs/{name}")}
        train(FastSlowConfig(**recipe | own))
    return folder


def test_what_is_run_elsewhere_is_still_on_a_page() -> None:
    everything = [command for page in PAGES for command in commands_of(page)]
    assert len(everything) > 60
    assert [part for part in ELSEWHERE if not any(part in command for command in everything)] == []


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_run(page: str, place: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.chdir(place)
    for command in commands_of(page):
        if why_not(command):
            continue
        words = shlex.split(command, comments=True)[1:]
        paths = [sorted(map(str, place.glob(word))) if "*" in word and " " not in word else [word] for word in words]
        words = [word for found in paths for word in found]  # the star of a question is no pattern
        shutil.rmtree(place / made_by(words), ignore_errors=True)  # of a command before, of which this is another way
        assert main(words) == 0, f"{page}.md: {command}\n{capsys.readouterr().err}"


def made_by(words: list[str]) -> str:
    """The folder that a command makes; one that is never there where it makes none."""
    given = dict(itertools.pairwise(words))
    usual = f"runs/{given.get('--mode', 'fst')}-s42" if words[0] == "train" else "none"
    return given.get("--output_dir") or given.get("--output") or usual
