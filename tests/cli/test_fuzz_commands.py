"""Whatever is said on the command line or in a recipe: done, or refused in one line, and no half-written directory."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
import yaml
from accelerate.state import AcceleratorState
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from transformers.integrations.deepspeed import unset_hf_deepspeed_config

from fastslow.cli.main import COMMANDS, main
from fastslow.config.groups import SPECS
from fastslow.config.settings import FastSlowConfig
from fastslow.files.run_directory import FILES
from fastslow.run import train as running
from tests.support.runs import tiny_settings

CASES = int(os.environ.get("FUZZ", "200"))
SHORT: dict[str, Any] = {
    "deadline": None,
    "suppress_health_check": list(HealthCheck),
    "derandomize": "FUZZ"
    not in os.environ,  # the suite draws the same cases every time, `make fuzz` looks for new ones
}
HINTS = get_type_hints(FastSlowConfig)

# Not drawn: what changes this process for good, compiles for a minute, or would write outside of the folder.
APART = {"full_determinism", "torch_compile", "torch_compile_mode", "torch_compile_backend", "output_dir", "debug"}
NAMES = sorted(name for name, f in FastSlowConfig.__dataclass_fields__.items() if f.init and name not in APART)

WORDS = (
    "", "off", "no", "yes", "on", "none", "null", "~", "true", "False", "2026-01-01", "1e-5", "010", "0x10", "1_000",
    "-1", "0", "1", "2", "3", "4", "3.0", "1.5", "0.5", "1e3", ".inf", ".nan", "nan", "-0", "1,2", "a,b", "[1, 2]",
    "[a, null]", "{a: 1}", "{}", "[]", "{a: off}", "'quoted'", '"a\\0b"', '"\\ud800"', "!!binary aGk=", "&x [*x]", "*y",
    "<<", "=", "?", "- a", "a: b: c", "|\n  text", "ü", "9" * 400, "all", "auto", "steps", "epoch", "best", "./nowhere",
    "~nobody/x", "tensorboard", "wandb", "adamw_8bit", "sgd", "adafactor", "cosine", "linear", "reduce_lr_on_plateau",
    "loss", "lead_accuracy", "batch", "sequence", "model", "owner/model", "inferred", "labels", "learned", "variance",
    "fst", "rl", "prompt", "grpo", "dapo", "jsonl:task.jsonl", "star_graph", "hf:task.jsonl", "a.b:c", "seed: 1",
)  # fmt: skip
LESSER = {"dataloader_num_workers": 2, "lora_r": 64}  # what a test can bear; more is a matter of memory


def values_of(name: str) -> st.SearchStrategy[str]:
    """Draw texts for a setting: its own choices, numbers, words of YAML, and anything."""
    default = FastSlowConfig.__dataclass_fields__[name].default
    kinds = [kind for kind in (HINTS[name], *get_args(HINTS[name])) if hasattr(kind, "__members__")]
    own = [str(default), *(SPECS[name].choices or () if name in SPECS else ()), *(m.value for k in kinds for m in k)]
    numbers = st.integers(-2, LESSER.get(name, 12)).map(str)
    if name in LESSER:
        return numbers | st.sampled_from(["x", "-1", "1.5"])
    return st.one_of(
        st.sampled_from(own), numbers, st.sampled_from(WORDS), st.floats(-1, 3).map(repr), st.text(max_size=6)
    )


SETTINGS = st.sampled_from(NAMES).flatmap(lambda name: st.tuples(st.just(name), values_of(name)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Iterator[Path]:
    """Stand in a folder with a tiny model, a task and a finished run; nothing asks a hub."""
    folder = tmp_path_factory.mktemp("fuzz")
    with pytest.MonkeyPatch.context() as patches:
        patches.chdir(folder)
        patches.setenv("HF_HUB_OFFLINE", "1")
        patches.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        patches.setattr(os, "fsync", lambda descriptor: None)
        (folder / "recipe.yaml").write_text(yaml.safe_dump(small(folder)))
        assert main(["train", "--config", "recipe.yaml", "--output_dir", "done"]) == 0
        yield folder


def small(folder: Path) -> dict[str, Any]:
    step = {"problems_per_step": 2, "num_generations": 2, "max_steps": 1, "save_bundle": False, "kl_examples": 0}
    return {**tiny_settings(folder), **step, "output_dir": "run"}


def said(argv: list[str], capsys) -> int:
    """Run a command as a process of its own would, and return its exit code, held to what commands promise."""
    environment, path, before = dict(os.environ), list(sys.path), set(os.listdir("."))
    AcceleratorState._reset_state(True)
    unset_hf_deepspeed_config()
    capsys.readouterr()
    try:
        code = main(argv)
    except SystemExit as end:  # argparse has shown its help
        code = end.code
    finally:
        os.environ.clear()
        os.environ.update(environment)
        sys.path[:] = path
    error = capsys.readouterr().err
    assert code in (0, 1, 2), argv
    assert "Traceback" not in error
    if code == 2 and argv:
        lines = [line for line in error.splitlines() if line.startswith("fastslow")]
        assert len(lines) == 1, error
    for made in sorted(set(os.listdir(".")) - before):
        assert code != 2, f"refused, and {made} was written"
        check_whole(Path(made))
    return code


def check_whole(made: Path) -> None:
    """Hold what a command made to be a file, or a folder of whole runs; then remove it."""
    if made.is_file():
        return made.unlink()
    for _, _, files in os.walk(made):
        if "config.yaml" in files:
            assert not set(FILES) - set(files)
        assert not [file for file in files if file.endswith(".tmp")]
    assert list(made.rglob("config.yaml")), "a folder without a run"
    return shutil.rmtree(made)


def recipe_of(lines: list[tuple[str, str]], base: dict[str, Any]) -> str:
    names = {name for name, _ in lines}
    kept = yaml.safe_dump({name: value for name, value in base.items() if name not in names})
    return kept + "".join(f"{name}: {value}\n" for name, value in lines)


@settings(max_examples=CASES * 4 // 5, **SHORT)
@given(
    lines=st.lists(SETTINGS, max_size=4, unique_by=lambda line: line[0]),
    flags=st.lists(SETTINGS, max_size=3),
    how=st.sampled_from(["doctor"] * 8 + ["train"]),
    whole=st.integers(0, 4),
)
def test_any_recipe_and_flags_are_taken_or_refused(folder: Path, capsys, lines, flags, how, whole) -> None:
    text = recipe_of(lines, small(folder))
    try:
        (folder / "recipe.yaml").write_text(text, encoding="utf-8")
    except UnicodeEncodeError:
        assume(False)
    argv = [how, "--config", "recipe.yaml", *(word for name, value in flags for word in (f"--{name}", value))]
    with pytest.MonkeyPatch.context() as patches:
        if whole:  # of most trainings only the assembly, up to the first step
            patches.setattr(running, "_run", lambda *_: {})
        said([*argv, "--max_steps", "1"], capsys)


ARGUMENTS = st.sampled_from(
    ["done", "nowhere", "recipe.yaml", "task.jsonl", "list", "show", "check", "star_graph", "jsonl:task.jsonl", "-1",
     "0", "1", "x", "", "--", "-h", "--json", "-", "--config", "--modes", "fst", "--seeds", "--sweep", "beta=0,1",
     "--dry_run", "--output_dir", "none", "--checkpoint", "--max_minutes", "1e-9", "--contexts", "seed", "--tasks",
     "--dtype", "float32", "--limit", "--samples", "--temperature", "nan", "--output", "made.html", "--from", "--task",
     "--steps", "--nothing", "--split", "test", "--trust_task", "--model", "model", "--path", "--examples"]
)  # fmt: skip


@settings(max_examples=CASES // 5, **SHORT)
@given(name=st.sampled_from([*COMMANDS, "nothing", ""]), words=st.lists(ARGUMENTS | st.text(max_size=5), max_size=5))
def test_any_arguments_are_taken_or_refused(folder: Path, capsys, name: str, words: list[str]) -> None:
    assume(name not in ("compare", "continual", "plasticity") or "--dry_run" in words)
    with pytest.MonkeyPatch.context() as patches:
        patches.setattr(running, "_run", lambda *_: {})
        said([name, *words], capsys)
