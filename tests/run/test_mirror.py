"""Checkpoints at a second place: copied beside training, tried again where that fails, and enough to go on from."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from fastslow.cli.main import main
from fastslow.config.settings import FastSlowConfig
from fastslow.core.errors import BadInput
from fastslow.files.second_place import SecondPlace
from fastslow.record.display import SilentDisplay
from fastslow.run import mirror as module
from fastslow.run.mirror import fetch
from fastslow.run.train import resume, train
from tests.files.test_background import Notes
from tests.support.runs import tiny_settings


def settings(folder: Path, **overrides: Any) -> FastSlowConfig:
    return FastSlowConfig(
        **tiny_settings(folder, **{"max_steps": 4, "save_to": f"file://{folder}/second", **overrides})
    )


class Stopped(Exception):
    pass


class StoppingAt(SilentDisplay):
    def __init__(self, at: int):
        self.at = at

    def step(self, step: int, logs: dict[str, Any]) -> None:
        if step == self.at:
            raise Stopped


def cut(folder: Path, at: int = 3, **overrides: Any) -> str:
    """Train until a step fails, as on a machine that is lost then; return the URL of the second place."""
    config = settings(folder, **overrides)
    with pytest.raises(Stopped):
        train(config, display=StoppingAt(at))
    return config.save_to


SAME = ("accuracy", "population", "rollouts", "tokens", "kl_to_base", "steps")


@pytest.mark.parametrize("mode", ["fst", "rl"])
def test_a_run_goes_on_from_the_second_place_on_an_empty_machine_as_if_nothing_had_happened(
    tmp_path: Path, mode
) -> None:
    whole = train(
        settings(tmp_path, mode=mode, output_dir=str(tmp_path / "whole"), save_to=""), display=SilentDisplay()
    )
    url = cut(tmp_path, mode=mode)
    shutil.rmtree(tmp_path / "run")
    other = tmp_path / "elsewhere" / "run"
    assert fetch(url, other) in ("checkpoint-2", "checkpoint-3")
    ended = resume(other, display=SilentDisplay())
    assert {name: ended[name] for name in SAME} == {name: whole[name] for name in SAME}
    for name in ("routes.jsonl", "contexts.jsonl", "rollouts.jsonl"):
        assert (other / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_finished_run_leaves_its_end_and_its_milestones_at_the_second_place(tmp_path: Path) -> None:
    config = settings(tmp_path, keep_every=2)
    train(config, display=SilentDisplay())
    second = tmp_path / "second"
    assert SecondPlace(config.save_to).steps() == [2, 4]
    assert json.loads((second / "summary.json").read_text())["status"] == "done"
    assert (second / "bundle/model.safetensors").read_bytes() == (
        tmp_path / "run/bundle/model.safetensors"
    ).read_bytes()
    parts = sorted((second / "logs/metrics.jsonl").iterdir())
    assert b"".join(part.read_bytes() for part in parts) == (tmp_path / "run/metrics.jsonl").read_bytes()


def test_the_rules_of_retention_hold_at_the_second_place(tmp_path: Path) -> None:
    url = cut(tmp_path, at=4, max_steps=6, keep_last=1)
    assert len(SecondPlace(url).steps()) == 1


class Flaky:
    """A second place that fails a number of times."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, times: int):
        self.left, push = times, SecondPlace.push_checkpoint

        def failing(place: SecondPlace, *args: Any) -> None:
            if self.left:
                self.left -= 1
                raise ConnectionError("no route\nto host")
            push(place, *args)

        monkeypatch.setattr(SecondPlace, "push_checkpoint", failing)
        monkeypatch.setattr(module, "WAIT", 0.01)


def test_a_place_that_fails_for_a_while_costs_a_line_and_nothing_of_the_run(tmp_path: Path, monkeypatch) -> None:
    Flaky(monkeypatch, 2)
    notes, config = Notes(), settings(tmp_path, keep_every=1)
    assert train(config, display=notes)["status"] == "done"
    warnings = [note for note in notes.notes if "did not take checkpoint" in note]
    assert len(warnings) == 2
    assert not [note for note in warnings if "\n" in note]
    assert "ConnectionError: no route to host" in warnings[0]
    assert any("at the second place" in note for note in notes.notes)
    assert SecondPlace(config.save_to).steps()


def test_a_place_that_never_comes_back_does_not_keep_a_run_from_ending(tmp_path: Path, monkeypatch) -> None:
    Flaky(monkeypatch, 1000)
    notes = Notes()
    assert train(settings(tmp_path), display=notes)["status"] == "done"
    assert (tmp_path / "run/bundle/model.safetensors").exists()
    assert SecondPlace(f"file://{tmp_path}/second").steps() == []


def test_a_checkpoint_that_is_being_copied_is_not_deleted_by_the_rules(tmp_path: Path, monkeypatch) -> None:
    """Copying takes longer than three steps: without being held, it would never end."""
    import threading

    third, push, gone = threading.Event(), SecondPlace.push_checkpoint, []

    def slow(place: SecondPlace, folder: Path, *args: Any) -> None:
        if folder.name == "checkpoint-1":
            assert third.wait(60)
            gone.append(not folder.is_dir())
        push(place, folder, *args)

    class Telling(SilentDisplay):
        def step(self, step: int, logs: dict[str, Any]) -> None:
            if step == 5:
                third.set()

    monkeypatch.setattr(SecondPlace, "push_checkpoint", slow)
    train(settings(tmp_path, max_steps=6, keep_last=1), display=Telling())
    assert gone == [False]


def test_a_place_that_holds_a_run_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    url = cut(tmp_path)
    with pytest.raises(BadInput, match=f"already holds a run.*fastslow resume {url}"):
        train(settings(tmp_path, output_dir=str(tmp_path / "another")), display=SilentDisplay())
    assert not (tmp_path / "another").exists()


@pytest.mark.parametrize("place", ["run", "run/bundle", ""])
def test_a_place_that_would_overwrite_the_run_is_refused_before_anything_is_written(tmp_path: Path, place: str) -> None:
    with pytest.raises(BadInput, match="lie in one another"):
        train(settings(tmp_path, save_to=f"file://{tmp_path}/{place}".rstrip("/")), display=SilentDisplay())
    assert not (tmp_path / "run").exists()


def test_a_place_that_takes_nothing_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    for url in (f"file://{tmp_path}/file/place", "file:///proc/place", "http://127.0.0.1:9/place"):
        with pytest.raises(BadInput, match=r"cannot be (written to|opened)"):
            train(settings(tmp_path, save_to=url), display=SilentDisplay())
        assert not (tmp_path / "run").exists()


def test_a_run_does_not_go_on_into_the_place_of_another(tmp_path: Path) -> None:
    cut(tmp_path)
    (tmp_path / "second/config.yaml").write_text("mode: rl\n")
    with pytest.raises(BadInput, match="holds another run"):
        resume(tmp_path / "run", display=SilentDisplay())


def test_a_run_resumed_from_an_earlier_checkpoint_takes_the_later_ones_away(tmp_path: Path) -> None:
    url = cut(tmp_path, at=4, max_steps=6, keep_every=1)
    before = SecondPlace(url).steps()
    with pytest.raises(Stopped):
        resume(tmp_path / "run", checkpoint="checkpoint-1", display=StoppingAt(2))
    assert max(before) >= 3
    assert SecondPlace(url).steps() == [1]
    lines = b"".join(part.read_bytes() for part in sorted((tmp_path / "second/logs/routes.jsonl").iterdir()))
    assert {json.loads(line)["step"] for line in lines.splitlines()} == {0}


def test_without_a_second_place_nothing_is_copied(tmp_path: Path) -> None:
    train(settings(tmp_path, save_to=""), display=SilentDisplay())
    assert not (tmp_path / "second").exists()


# The command


def test_resume_takes_a_url_and_goes_on_in_a_folder_of_its_name(tmp_path: Path, monkeypatch, capsys) -> None:
    url = cut(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert main(["resume", url, "--fetch_only"]) == 0
    assert (tmp_path / "runs/second/config.yaml").exists()
    assert main(["resume", url]) == 2
    assert "already holds a run" in capsys.readouterr().err
    assert main(["resume", url, "--output_dir", "elsewhere"]) == 0
    assert json.loads((tmp_path / "elsewhere/summary.json").read_text())["status"] == "done"


WRONG = [
    (["memory://nowhere"], "holds no checkpoint"), (["nosuchfs://a/b"], "nosuchfs"), (["s3://k:s@b/run"], "secrets"),
    (["runs/x", "--fetch_only"], "URL"), (["memory://nowhere", "--checkpoint", "none"], "starts over"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "named"), WRONG)
def test_bad_input_of_the_command_is_refused_in_one_line(tmp_path, monkeypatch, capsys, arguments, named) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["resume", *arguments]) == 2
    error = capsys.readouterr().err.strip()
    assert named in error
    assert "\n" not in error
    assert not list(tmp_path.rglob("config.yaml"))


# S3, where the packages for it are installed


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket of a local S3 server, whose address and keys come from the environment."""
    pytest.importorskip("s3fs")
    server = pytest.importorskip("moto.server").ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    import s3fs

    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "an-access-key-of-the-test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret-of-the-test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    urlopen(Request(f"http://{host}:{port}/moto-api/reset", method="POST")).close()
    s3fs.S3FileSystem.clear_instance_cache()
    s3fs.S3FileSystem().mkdir("runs")
    yield "s3://runs/first"
    s3fs.S3FileSystem.clear_instance_cache()
    server.stop()


def test_a_run_goes_on_from_s3_and_no_key_is_in_any_file(tmp_path: Path, bucket: str) -> None:
    whole = train(settings(tmp_path, output_dir=str(tmp_path / "whole"), save_to=""), display=SilentDisplay())
    cut(tmp_path, save_to=bucket)
    other = tmp_path / "other"
    fetch(bucket, other)
    ended = resume(other, display=SilentDisplay())
    assert {name: ended[name] for name in SAME} == {name: whole[name] for name in SAME}
    place = SecondPlace(bucket)
    copies = [place._fs.cat_file(path) for path in place._fs.find(place._root)]
    files = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert not [content for content in copies + files if b"-of-the-test" in content]
    assert len(copies) > 5


def test_s3_without_a_bucket_or_a_server_is_refused_before_anything_is_written(tmp_path: Path, bucket: str) -> None:
    with pytest.raises(BadInput, match=r"holds no checkpoint|cannot be read"):
        fetch("s3://nothing/here", tmp_path / "other")
