"""A damaged checkpoint is never loaded: it is named, and the one before it is offered."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from fastslow.cli.main import main
from fastslow.config.settings import FastSlowConfig
from fastslow.files.manifest import MANIFEST, Damaged, seal
from fastslow.files.run_directory import RunDirectory
from fastslow.files.sealed import FORMAT, Checkpoints, verify
from fastslow.record.display import SilentDisplay
from fastslow.run.resume import choose_checkpoint
from fastslow.run.train import train
from tests.support.points import arm
from tests.support.runs import tiny_settings


class Cut(BaseException): ...


def strike() -> None:
    raise Cut


@pytest.fixture(scope="module")
def broken_off(tmp_path_factory) -> Path:
    """A run of two checkpoints that was cut off in its third step."""
    folder = tmp_path_factory.mktemp("run")
    config = FastSlowConfig(**tiny_settings(folder, max_steps=3, save_time_share=1.0))
    with pytest.MonkeyPatch.context() as patches:
        arm("update", 3, strike, patch=patches.setattr)
        with pytest.raises(Cut):
            train(config, display=SilentDisplay())
    assert Checkpoints(folder / "run").steps() == [1, 2]
    return folder / "run"


@pytest.fixture
def run(broken_off: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(broken_off, tmp_path / "run", symlinks=True))


FILES = [
    "manifest.json", "model.safetensors", "state.json", "state.safetensors", "trainer_state.json",
]  # fmt: skip


def flip(path: Path, rng: random.Random) -> None:
    content = bytearray(path.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def truncate(path: Path, rng: random.Random) -> None:
    path.write_bytes(path.read_bytes()[: rng.randrange(path.stat().st_size)])


def extend(path: Path, rng: random.Random) -> None:
    path.write_bytes(path.read_bytes() + rng.randbytes(rng.randint(1, 9)))


def remove(path: Path, rng: random.Random) -> None:
    path.unlink()


def link(path: Path, rng: random.Random) -> None:
    aside = path.parents[2] / f"aside-{path.name}"
    path.rename(aside)
    path.symlink_to(aside)


def swap(path: Path, rng: random.Random) -> None:
    """With the file of the other checkpoint; where both are alike, with another of this one."""
    other = path.parents[1] / "checkpoint-1" / path.name
    if other.read_bytes() == path.read_bytes():
        other = next(p for p in sorted(path.parent.iterdir()) if p.read_bytes() != path.read_bytes())
    shutil.copy(other, path)


def zero(path: Path, rng: random.Random) -> None:
    """What a power cut may leave: the right length, no content."""
    path.write_bytes(bytes(path.stat().st_size))


def other_version(path: Path, rng: random.Random) -> None:
    """All of it written honestly, by a version that keeps this file in another way."""
    rewritten(path.parent, format=rng.choice([0, FORMAT + 1, FORMAT + rng.randrange(2, 99)]))


def rewritten(folder: Path, **changes) -> None:
    """An honest manifest of other content, as another version would write it."""
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).unlink()
    about = {key: value for key, value in manifest.items() if key not in ("sha256", "files", "format")}
    seal(folder, {"format": FORMAT, **about, **changes})


DAMAGES = [flip, truncate, extend, remove, link, swap, zero, other_version]


def refused(run: Path) -> str:
    with pytest.raises(Damaged) as caught:
        choose_checkpoint(RunDirectory(run))
    return str(caught.value)


@pytest.mark.row(name="corruption")
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_found_and_the_checkpoint_before_it_offered(
    run: Path, name: str, damage: Callable[[Path, random.Random], None]
) -> None:
    damage(run / "checkpoint-2" / name, random.Random(f"{name} {damage.__name__}"))
    message = refused(run)
    assert message.startswith("checkpoint-2 "), message
    assert "It was not loaded. checkpoint-1 is whole: fastslow resume " in message
    assert message.endswith("--checkpoint checkpoint-1")


@pytest.mark.faults
@pytest.mark.row(name="corruption")
def test_five_hundred_damages_are_all_found(run: Path, record_property) -> None:
    folder, kept = run / "checkpoint-2", run.parent / "kept"
    shutil.copytree(folder, kept)
    for number in range(500):
        rng = random.Random(number)
        name, damage = FILES[number % len(FILES)], DAMAGES[number // len(FILES) % len(DAMAGES)]
        damage(folder / name, rng)
        assert refused(run).startswith("checkpoint-2 "), f"{damage.__name__} of {name}, seed {number}"
        shutil.rmtree(folder)
        shutil.copytree(kept, folder)
    record_property("cases", 500)


@pytest.mark.parametrize(
    ("version", "says"),
    [
        (FORMAT + 1, "written by a newer fastslow: upgrade"),
        (0, "written by an older fastslow: resume it with that one"),
    ],
)
def test_another_format_is_named_with_what_to_do(run: Path, version: int, says: str) -> None:
    rewritten(run / "checkpoint-2", format=version)
    message = refused(run)
    assert f"checkpoint-2 has format {version}, this fastslow reads {FORMAT}" in message
    assert says in message


def test_a_checkpoint_of_another_step_or_run_is_refused(run: Path) -> None:
    shutil.rmtree(run / "checkpoint-2")
    shutil.copytree(run / "checkpoint-1", run / "checkpoint-2")
    assert "it was written as checkpoint-1" in refused(run)
    rewritten(run / "checkpoint-2", step=2, config="0" * 64)
    assert "written under another config.yaml" in refused(run)


def test_settings_changed_after_the_fact_are_noticed(run: Path) -> None:
    config = run / "config.yaml"
    config.write_text(config.read_text().replace("max_steps: 3", "max_steps: 4"))
    assert "checkpoint-2 was written under another config.yaml" in refused(run)


def test_a_log_shorter_than_its_checkpoint_is_noticed(run: Path) -> None:
    metrics = run / "metrics.jsonl"
    metrics.write_bytes(metrics.read_bytes()[:10])
    message = refused(run)
    assert "in metrics.jsonl, which has 10 (it was cut short)" in message
    assert "--checkpoint none" in message, "no checkpoint fits this log, so starting over is all that is left"


def test_a_folder_that_is_a_link_or_holds_more_than_it_should_is_refused(run: Path) -> None:
    (run / "checkpoint-2" / "extra").write_text("")
    assert "extra does not belong to it" in refused(run)
    shutil.move(run / "checkpoint-2", run.parent / "elsewhere")
    (run / "checkpoint-2").symlink_to(run.parent / "elsewhere")
    assert "it is a link, not a folder" in refused(run)


def test_the_offer_works_from_the_command_line_and_doctor_makes_it_too(run: Path, capsys) -> None:
    flip(run / "checkpoint-2" / "model.safetensors", random.Random(1))
    before = sorted(str(p) for p in run.rglob("*"))
    assert main(["resume", str(run)]) == 1
    error = capsys.readouterr().err
    assert "checkpoint-2 is damaged: model.safetensors does not hold what was written" in error
    offer = error.strip().rpartition("fastslow ")[2].split()
    assert main(["doctor", str(run)]) == 1
    shown = capsys.readouterr().out
    assert "fastslow " + " ".join(offer) in shown.replace("\n", "")
    assert sorted(str(p) for p in run.rglob("*") if p.name != ".lock") == [p for p in before if ".lock" not in p]
    assert main(offer) == 0
    assert main(["doctor", str(run)]) == 0
    assert "The run is done." in capsys.readouterr().out


def test_a_half_written_checkpoint_is_no_checkpoint(run: Path) -> None:
    shutil.move(run / "checkpoint-2", run / "checkpoint-2.tmp")
    assert choose_checkpoint(RunDirectory(run)) == run / "checkpoint-1"


def test_retention_keeps_the_last_every_mth_and_the_best(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("")
    checkpoints = Checkpoints(tmp_path, keep_last=2, keep_every=4)
    for step in range(1, 11):
        checkpoints.begin(step)
        checkpoints.commit(step, {})
        checkpoints.prune(best=3 if step >= 3 else None)
    assert checkpoints.steps() == [3, 4, 8, 9, 10]
    assert [verify(checkpoints.folder(step))["step"] for step in checkpoints.steps()] == [3, 4, 8, 9, 10]
    checkpoints.drop_all_but_milestones(best=3)
    assert checkpoints.steps() == [3, 4, 8]
