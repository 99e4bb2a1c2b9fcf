"""A copy of a run at a URL: whole or not there, found again on an empty machine, and without secrets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fastslow.core.errors import BadInput
from fastslow.files import second_place
from fastslow.files.manifest import Damaged
from fastslow.files.sealed import Checkpoints
from fastslow.files.second_place import SecondPlace, check_url


def go_on() -> None:
    pass


@pytest.fixture(params=["file", "memory"])
def url(request: Any, tmp_path: Path) -> Iterator[str]:
    import fsspec

    yield f"file://{tmp_path}/second" if request.param == "file" else "memory://second"
    if request.param == "memory":
        fsspec.filesystem("memory").store.clear()


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run directory with a log of four lines and two checkpoints."""
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.yaml").write_text("mode: rl\n")
    (folder / "metrics.jsonl").write_text("".join(f'{{"step": {i}}}\n' for i in range(4)))
    for step in (1, 2):
        aside = Checkpoints(folder).begin(step)
        (aside / "model.safetensors").write_bytes(bytes([step]) * 10_000)
        (aside / "state.json").write_text("{}")
        Checkpoints(folder).commit(step, {})
    return folder


def pushed(url: str, run: Path) -> SecondPlace:
    place = SecondPlace(url)
    place.push_config(run)
    for step, end in ((1, 24), (2, 48)):
        place.push_logs(run, {"metrics.jsonl": end}, go_on)
        place.push_checkpoint(run / f"checkpoint-{step}", go_on)
    return place


def spans(place: SecondPlace) -> list[tuple[int, int]]:
    return [(part.start, part.end) for part in place._parts("metrics.jsonl")]


def test_what_was_copied_comes_back_byte_for_byte(url: str, run: Path, tmp_path: Path) -> None:
    pushed(url, run)
    back = tmp_path / "back"
    back.mkdir()
    assert SecondPlace(url).pull(back) == "checkpoint-2"
    for name in ("config.yaml", "metrics.jsonl", "checkpoint-2/model.safetensors", "checkpoint-2/manifest.json"):
        assert (back / name).read_bytes() == (run / name).read_bytes()
    assert not (back / "checkpoint-1").exists()


def test_an_older_checkpoint_can_be_asked_for(url: str, run: Path, tmp_path: Path) -> None:
    place, back = pushed(url, run), tmp_path / "back"
    back.mkdir()
    assert place.pull(back, "checkpoint-1") == "checkpoint-1"
    with pytest.raises(BadInput, match="there are: checkpoint-1, checkpoint-2"):
        place.pull(tmp_path / "other", "checkpoint-9")


def test_logs_are_copied_by_the_part_that_is_new(url: str, run: Path) -> None:
    place = pushed(url, run)
    assert spans(place) == [(0, 24), (24, 48)]
    place.push_logs(run, {"metrics.jsonl": 48}, go_on)
    assert spans(place) == [(0, 24), (24, 48)]


class Cut(Exception):
    pass


@pytest.mark.parametrize("looks", range(3))
def test_a_copy_that_is_broken_off_is_not_taken_for_a_checkpoint(url: str, run: Path, looks: int) -> None:
    """At each of the files, of which the manifest comes last."""
    place, left = SecondPlace(url), [looks]

    def proceed() -> None:
        if left[0] == 0:
            raise Cut
        left[0] -= 1

    place.push_config(run)
    with pytest.raises(Cut):
        place.push_checkpoint(run / "checkpoint-1", proceed)
    assert place.steps() == []
    place.push_checkpoint(run / "checkpoint-1", go_on)
    assert place.steps() == [1]


def test_a_file_that_changed_at_the_second_place_is_noticed_and_the_one_before_named(
    url: str, run: Path, tmp_path
) -> None:
    place, back = pushed(url, run), tmp_path / "back"
    back.mkdir()
    place._fs.pipe_file(place._at("checkpoint-2", "model.safetensors"), bytes(10_000))
    with pytest.raises(Damaged, match=r"SHA-256 differs.*--checkpoint checkpoint-1"):
        place.pull(back)
    assert not list(back.iterdir()), "what is refused leaves nothing"


def test_a_log_that_changed_at_the_second_place_is_noticed(url: str, run: Path, tmp_path: Path) -> None:
    place, back = pushed(url, run), tmp_path / "back"
    back.mkdir()
    part = place._parts("metrics.jsonl")[1]
    place._fs.pipe_file(place._at("logs", "metrics.jsonl", part.name), b"X" * 24)
    with pytest.raises(Damaged, match=r"metrics\.jsonl does not hold what was written"):
        place.pull(back)
    assert not list(back.iterdir())


def test_a_store_cannot_write_outside_of_the_folder(run: Path, tmp_path: Path) -> None:
    place, back = pushed("memory://second", run), tmp_path / "deep/back"
    back.mkdir(parents=True)
    store = place._fs.store
    try:
        store["/second/checkpoint-2/../../../../escaped.txt"] = store["/second/config.yaml"]
        with pytest.raises(Damaged, match="outside of its folder"):
            place.pull(back)
    finally:
        store.clear()
    assert not list(tmp_path.rglob("escaped.txt"))
    assert not list(back.iterdir())


@pytest.mark.parametrize("where", [".", "bundle", "checkpoint-1/deep", "..", "../.."])
def test_a_place_in_the_run_directory_or_around_it_is_refused(run: Path, where: str) -> None:
    place = SecondPlace(f"file://{(run / where).resolve()}")
    with pytest.raises(BadInput, match="lie in one another"):
        place.refuse_overlap(run)
    (run.parent / "link").symlink_to(run)
    with pytest.raises(BadInput, match="lie in one another"):
        SecondPlace(f"local://{run.parent}/link").refuse_overlap(run)
    SecondPlace(f"file://{run}-2").refuse_overlap(run)


def test_a_deleted_checkpoint_loses_its_manifest_first(url: str, run: Path, monkeypatch) -> None:
    place = pushed(url, run)
    monkeypatch.setattr(place._fs, "rm", lambda *a, **k: (_ for _ in ()).throw(OSError("gone")))
    with pytest.raises(OSError, match="gone"):
        place.drop("checkpoint-2")
    assert place.steps() == [1]


def test_going_back_takes_later_checkpoints_and_lines_away(url: str, run: Path) -> None:
    place = pushed(url, run)
    place.rewind(1, {"metrics.jsonl": 24})
    assert place.steps() == [1]
    assert spans(place) == [(0, 24)]
    (run / "metrics.jsonl").write_text('{"step": 0}\n{"step": 1}\n{"other": "longer"}\n')
    place.push_logs(run, {"metrics.jsonl": 44}, go_on)
    assert spans(place) == [(0, 24), (24, 44)]


def test_an_empty_place_and_an_unknown_file_system_are_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="holds no checkpoint"):
        SecondPlace(url).pull(tmp_path)
    with pytest.raises(BadInput, match="nosuchfs"):
        SecondPlace("nosuchfs://place/run")


SECRET = ["s3://key:secret@bucket/run", "s3://bucket/run?key=1", "s3://bucket/run#x", "https://me@host/run"]


@pytest.mark.parametrize("url", SECRET)
def test_a_url_that_may_hold_a_secret_is_refused(url: str) -> None:
    with pytest.raises(BadInput, match="may be secrets"):
        check_url("save_to", url)


@pytest.mark.parametrize("url", ["simplecache::http://u:secret@host/x", "zip://a.zip::file:///no.zip"])
def test_a_chain_of_urls_is_refused(url: str) -> None:
    with pytest.raises(BadInput, match="not a chain") as caught:
        check_url("save_to", url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["ftp://127.0.0.1:9/x", "reference://x", "github://x/y"])
def test_a_file_system_that_cannot_be_opened_is_one_line(url: str) -> None:
    with pytest.raises(BadInput, match="cannot be opened") as caught:
        SecondPlace(url)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["file://place", "local://place/run", "here", "/mnt/run", "s3://", "s3:///", "http://[", "://x"]
)
def test_what_is_no_url_with_a_place_is_refused(url: str) -> None:
    with pytest.raises(BadInput, match="save_to") as caught:
        check_url("save_to", url)
    assert "\n" not in str(caught.value)


def test_a_manifest_is_what_makes_a_checkpoint(url: str, run: Path) -> None:
    place = pushed(url, run)
    place._fs.rm_file(place._at("checkpoint-2", "manifest.json"))
    assert place.steps() == [1]
    assert json.loads(place._fs.cat_file(place._at("checkpoint-1", "manifest.json")))["step"] == 1


def test_a_part_of_a_log_that_was_broken_off_is_copied_again(url: str, run: Path, tmp_path: Path) -> None:
    place, back = pushed(url, run), tmp_path / "back"
    back.mkdir()
    part = place._parts("metrics.jsonl")[1]
    place._fs.pipe_file(place._at("logs", "metrics.jsonl", part.name), b"{")
    place.push_logs(run, {"metrics.jsonl": 48}, go_on)
    place.pull(back)
    assert (back / "metrics.jsonl").read_bytes() == (run / "metrics.jsonl").read_bytes()


def test_a_long_log_is_copied_in_parts(url: str, run: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(second_place, "PART", 10)
    place, back = pushed(url, run), tmp_path / "back"
    back.mkdir()
    assert len(spans(place)) == 6
    place.pull(back)
    assert (back / "metrics.jsonl").read_bytes() == (run / "metrics.jsonl").read_bytes()
