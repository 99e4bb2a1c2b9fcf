"""Where `fastslow eval` writes: refused before a model is loaded, and never over something else."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from fastslow.cli.eval import _options
from fastslow.cli.flags import check_target, write
from fastslow.cli.main import main
from fastslow.core.errors import BadInput
from tests.support.shipped import make_bundle


def test_two_spellings_of_one_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    os.symlink(tmp_path / "run", tmp_path / "link")
    flags = ["--samples_file", str(tmp_path / "run" / "x"), "--json", str(tmp_path / "link" / "x")]
    with pytest.raises(BadInput, match="file of its own"):
        _options([str(tmp_path / "run"), *flags])


@pytest.mark.parametrize("name", ["/proc/x.jsonl", "a" * 300, "no/such/folder/x"])
def test_a_file_that_cannot_be_made_is_refused_at_once(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput, match="cannot write"):
        check_target(tmp_path / name)


def test_checking_leaves_nothing_behind(tmp_path: Path) -> None:
    check_target(tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    os.symlink(tmp_path / "real", tmp_path / "link")
    write(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"


def test_a_pipe_is_written_to_and_stays_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append((tmp_path / "pipe").read_bytes()), daemon=True)
    reader.start()
    write(tmp_path / "pipe", b"rows")
    reader.join(timeout=10)
    assert read == [b"rows"]
    assert not (tmp_path / "pipe").is_file()


@pytest.mark.parametrize("value", ["1e-300", "0.005", "-1", "nan", "1e9"])
def test_a_temperature_that_overflows_is_refused_before_anything_is_loaded(tmp_path: Path, value: str) -> None:
    with pytest.raises(BadInput, match=r"must be 0 \(greedy\), or from 0.01 to 100, got"):
        _options([str(tmp_path), f"--temperature={value}"])


@pytest.mark.parametrize(
    "argv",
    [
        ["eval", "RUN", "--samples_file", "FILE"],
        ["eval", "RUN", "--json", "FILE"],
        ["probe-routes", "RUN", "--output", "FILE"],
        ["probe-routes", "RUN", "--json", "FILE"],
        ["report", "RUN", "--output", "FILE"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize(("place", "why"), [("no/such/x.csv", "its folder does not exist"), ("run", "is a directory")])
def test_every_command_refuses_a_file_it_cannot_write_before_it_reads_anything(
    argv: list[str], place: str, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run").mkdir()  # an empty folder: whoever reads it first says something else
    words = {"RUN": str(tmp_path / "run"), "FILE": str(tmp_path / place)}
    assert main([words.get(word, word) for word in argv]) == 2
    assert why in capsys.readouterr().err


def test_a_task_that_is_not_trusted_is_refused_before_the_model_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    path = make_bundle(tmp_path, task="jsonl:rows.jsonl?scorer=somebody:score")
    monkeypatch.setattr("fastslow.bundles.bundle.open_bundle", lambda *_, **__: pytest.fail("the model was loaded"))
    assert main(["eval", str(path)]) == 2
    assert "if you trust it, say --trust_task" in capsys.readouterr().err
