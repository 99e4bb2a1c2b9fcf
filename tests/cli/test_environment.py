"""The commands in the environments of other people: encodings, closed streams, missing folders, python's switches."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from fastslow.cli.main import main
from fastslow.core.errors import BadInput
from fastslow.policy import gguf
from fastslow.record.display import TerminalDisplay
from fastslow.record.progress import Plan
from tests.cli.test_cli import ROOT, recipe

PLAIN = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C", "LANG": "C"}
LIGHT = "import sys; from fastslow.cli.main import script; sys.argv = ['fastslow', *sys.argv[1:]]; script()"


def command(
    *argv: str, switches: tuple[str, ...] = (), shell: str = "", variables: Mapping[str, str] | None = None
) -> Any:
    """Run a command in a process of its own, with `shell` after it."""
    words = [sys.executable, *switches, "-c", LIGHT, *argv]
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    return subprocess.run(
        ["bash", "-c", f'"$@" {shell}', "_", *words],
        env={**os.environ, "PYTHONPATH": path, **(variables or {})},
        capture_output=True,
        timeout=60,
        check=False,
    )


@pytest.mark.processes
def test_python_without_docstrings_is_refused_in_one_line() -> None:
    done = command("tasks", switches=("-OO",))
    assert done.returncode == 2
    assert done.stderr.decode().splitlines() == [
        "fastslow: python -OO strips docstrings, which transformers reads; leave it at -O."
    ]


@pytest.mark.processes
@pytest.mark.parametrize(
    "variables",
    [{"PYTHONIOENCODING": "ascii"}, {**PLAIN, "TERM": "dumb", "NO_COLOR": "1", "COLUMNS": "20"}],
    ids=["ascii output", "plain locale, dumb terminal"],
)
def test_any_text_can_be_shown(tmp_path: Path, variables: dict[str, str]) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.yaml").write_text("mode: fst\n")
    (run / "summary.json").write_text(json.dumps({"status": "done ✓ ü"}))
    (run / "metrics.jsonl").write_bytes("{ü".encode())
    done = command("watch", str(run), "--once", variables=variables)  # starts in a second, and prints a table as well
    assert done.returncode == 0
    assert b"Traceback" not in done.stderr
    assert b"done " in done.stdout


@pytest.mark.processes
@pytest.mark.parametrize(
    ("shell", "code"),
    [("| head -c 1; exit ${PIPESTATUS[0]}", 141), (">&-", 1), (">/dev/full", 1), ("2>&-", 0), ("<&- >&- 2>&-", 1)],
)
def test_an_output_that_takes_nothing_is_no_traceback(tmp_path: Path, shell: str, code: int) -> None:
    """`watch` starts in a second; rich prints its tables, and has another exit code for a closed pipe."""
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.yaml").write_text("mode: fst\n")
    (run / "summary.json").write_text(json.dumps({"status": "done", "accuracy": {"seed": 0.5}}))
    done = command("watch", str(run), "--once", shell=shell)
    assert b"Traceback" not in done.stderr
    in_time = "&-" in shell or "head" in shell  # all was said before the reader left, or nothing had to be said
    assert done.returncode in (code, 0 if in_time else code)


@pytest.mark.processes
def test_a_path_that_the_locale_cannot_express_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("output_dir: ü\ntask: jsonl:x.jsonl\nmodel: nowhere/ä/b\n", encoding="utf-8")
    done = command("train", "--config", str(path), variables=PLAIN)
    assert done.returncode == 2
    assert b"Traceback" not in done.stderr
    assert b"set LC_ALL=C.UTF-8" in done.stderr


@pytest.mark.parametrize("home", ["a file", "no folder"])
def test_a_cache_that_cannot_be_written_is_refused_in_one_line(tmp_path: Path, monkeypatch, home: str) -> None:
    place = tmp_path / "home"
    if home == "a file":
        place.write_text("")
    else:
        place = Path("/proc/nowhere")
    monkeypatch.setenv("XDG_CACHE_HOME", str(place))
    with pytest.raises(BadInput, match="set XDG_CACHE_HOME"):
        gguf._check_cache(gguf._cache("smollm2-135m"), "smollm2-135m")


def test_a_display_whose_reader_has_left_falls_silent(monkeypatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    closed = os.fdopen(writer, "w", buffering=1)
    monkeypatch.setattr(sys, "stderr", closed)
    display = TerminalDisplay()
    display.start(Plan(2), "a run")
    display.note("goes on")
    display.step(1, {"reward": 0.5})
    display.stop()
    os.dup2(os.open(os.devnull, os.O_WRONLY), writer)  # or what is left would be refused again
    closed.close()


def test_the_closing_table_of_a_command_keeps_its_numbers_in_thirty_columns(
    tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    assert main(["train", "--config", recipe(tmp_path)]) == 0
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    said = capsys.readouterr().out
    for name in ("base_seed", "base_lead", "seed", "lead", "mean"):
        assert f"{100 * summary['accuracy'][name]:.1f}%" in said
    assert main(["eval", str(tmp_path / "run"), "--kl_examples", "0", "--contexts", "lead", "--trust_task"]) == 0
    assert "mean@1 " in capsys.readouterr().out
