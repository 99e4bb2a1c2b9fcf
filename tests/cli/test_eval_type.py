"""An evaluation computes in the type that the run computed in, or says that it does not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from fastslow.bundles.bundle import DTYPES
from fastslow.cli.main import main
from fastslow.core import machine
from fastslow.report.reading.sources import load_sources
from tests.cli.test_cli import recipe

QUICK = ["--kl_examples", "0", "--contexts", "lead", "--trust_task"]


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("typed")
    assert main(["train", "--config", recipe(folder, mode="rl")]) == 0
    return folder / "run"


def measured(run: Path, folder: Path, *flags: str) -> tuple[list[dict], list[dict]]:
    rows, answers = folder / "rows.json", folder / "answers.jsonl"
    files = ["--json", str(rows), "--samples_file", str(answers)]
    assert main(["eval", str(run), *QUICK, *files, *flags]) == 0
    return json.loads(rows.read_text()), [json.loads(line) for line in answers.read_text().splitlines()]


def test_the_runs_type_is_kept_on_a_machine_that_would_take_another(run: Path, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(machine, "bf16_is_fast", lambda: True)
    used = []
    monkeypatch.setattr("fastslow.evaluation.bundle.make_engine", watched(used))
    rows, answers = measured(run, tmp_path)
    said = capsys.readouterr()
    assert {row["dtype"] for row in [*rows, *answers]} == {"float32"}
    assert set(used) == {"torch.float32"}
    assert "computed in float32" in " ".join(said.out.split())
    assert "which type" not in said.err
    assert "this is measured in" not in said.err, "of the type there is nothing to say"


def watched(used: list[str]):
    from fastslow.evaluation.bundle import make_engine

    def make(*args, dtype, **kwargs):
        used.append(str(dtype))
        return make_engine(*args, dtype=dtype, **kwargs)

    return make


@pytest.mark.parametrize("dtype", DTYPES[1:])
def test_another_type_is_taken_and_noted(run: Path, tmp_path, monkeypatch, capsys, dtype: str) -> None:
    used: list[str] = []
    monkeypatch.setattr("fastslow.evaluation.bundle.make_engine", watched(used))
    rows, answers = measured(run, tmp_path, "--dtype", dtype)
    assert {row["dtype"] for row in [*rows, *answers]} == {dtype}
    assert set(used) == {f"torch.{dtype}"}
    assert f"note: the run computed in float32, and this is measured in {dtype}" in capsys.readouterr().err


def test_a_bundle_that_does_not_say_is_measured_as_before_and_noted(run: Path, tmp_path, capsys) -> None:
    older = tmp_path / "older"
    shutil.copytree(run / "bundle", older)
    bundle = json.loads((older / "bundle.json").read_text())
    del bundle["settings"]["dtype"]
    (older / "bundle.json").write_text(json.dumps(bundle))
    rows, _ = measured(older, tmp_path)
    assert "the bundle does not say which type its run computed in" in capsys.readouterr().err
    assert {row["dtype"] for row in rows} == {"bfloat16" if machine.bf16_is_fast() else "float32"}


def test_a_type_that_is_none_is_refused(run: Path, tmp_path, capsys) -> None:
    assert main(["eval", str(run), *QUICK, "--dtype", "int8"]) == 2
    damaged = tmp_path / "damaged"
    shutil.copytree(run / "bundle", damaged)
    bundle = json.loads((damaged / "bundle.json").read_text())
    bundle["settings"]["dtype"] = "int8"
    (damaged / "bundle.json").write_text(json.dumps(bundle))
    assert main(["eval", str(damaged), *QUICK]) == 2
    assert "'dtype' must be one of float32, bfloat16, float16" in capsys.readouterr().err


@pytest.mark.parametrize(("other", "noted"), [("false", False), ("true", True)])
def test_a_report_notes_runs_that_computed_in_different_types(run: Path, tmp_path, other: str, noted: bool) -> None:
    shutil.copytree(run, tmp_path / "other")
    config = tmp_path / "other" / "config.yaml"
    config.write_text(config.read_text().replace("bf16: false", f"bf16: {other}"))
    (source,) = load_sources([run, tmp_path / "other"])
    assert ["not all runs computed in one type" in notice for notice in source.notices] == [True] * noted
