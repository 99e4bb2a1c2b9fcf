"""Runs whose weights or optimiser are cut up between two processes, one of which is killed: resumed, they end where
unbroken ones do, and the other process ends by itself with a line that names who is gone."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from fastslow.files.sealed import Checkpoints
from tests.run.test_resume import assert_same
from tests.support.nursery import Nursery
from tests.support.runs import tiny_settings

pytestmark = pytest.mark.processes
ROOT = Path(__file__).parents[2]
KINDS = ["FSDP2", "ZeRO-2"]
# point, call, after it, rank
PLACES = [
    ("fast", 1, True, 1), ("fast", 4, False, 0), ("proposal", 2, True, 1), ("slow", 1, True, 0), ("slow", 2, False, 1),
    ("route", 2, True, 0), ("route", 3, True, 1), ("update", 1, False, 1), ("update", 2, True, 0),
    ("update", 3, False, 1), ("eval", 1, True, 0), ("save", 1, False, 1), ("save", 2, True, 0), ("state", 1, True, 1),
    ("state", 2, False, 0), ("tensors", 1, True, 1), ("tensors", 3, False, 0), ("seal", 2, False, 0),
    ("commit", 2, True, 0), ("bundle", 1, False, 0),
]  # fmt: skip
SHORT = {"FSDP2": {("fast", 4, False, 0), ("tensors", 1, True, 1)}, "ZeRO-2": set()}


def cases() -> list[Any]:
    """All 20 places of each kind for the proof, three for the suite; DeepSpeed builds an operator that takes minutes,
    and has a target of its own."""
    return [
        pytest.param(kind, place, id=f"{kind}-{place}", marks=() if place in SHORT[kind] else pytest.mark.faults)
        for kind in KINDS
        for place in PLACES
    ]


@pytest.fixture(scope="module")
def nursery(tmp_path_factory) -> Any:
    with Nursery(tmp_path_factory.mktemp("sharded")) as ready:
        yield ready


@pytest.fixture(scope="module")
def whole(nursery: Nursery) -> Any:
    """Unbroken runs, each made once."""
    made: dict[str, Path] = {}

    def get(kind: str) -> Path:
        if kind == "ZeRO-2" and importlib.util.find_spec("deepspeed") is None:
            pytest.skip("deepspeed is not installed: pip install '.[deepspeed]'")
        if kind not in made:
            folder = nursery.folder / kind
            folder.mkdir()
            settings = tiny_settings(
                folder, max_steps=3, eval_strategy="steps", eval_steps=2, save_time_share=1.0, keep_every=1, beta=0.1
            )
            (folder / "recipe.yaml").write_text(yaml.safe_dump(settings))
            assert nursery.launch(train(folder / "whole"), kind=kind) == [0, 0], said(nursery)
            made[kind] = folder / "whole"
        return made[kind]

    return get


def train(run: Path) -> list[str]:
    return ["train", "--config", str(run.parent / "recipe.yaml"), "--output_dir", str(run)]


def said(nursery: Nursery) -> str:
    return (nursery.folder / "log.txt").read_text()[-4000:]


@pytest.mark.row(name="sharded")
@pytest.mark.parametrize(("kind", "place"), cases())
def test_a_run_of_shares_that_loses_a_process_ends_as_if_it_had_not(nursery: Nursery, whole: Any, kind, place) -> None:
    *point, rank = place
    unbroken = whole(kind)
    run = unbroken.parent / "killed"
    shutil.rmtree(run, ignore_errors=True)
    (nursery.folder / "log.txt").write_text("")
    codes = nursery.launch(train(run), kind=kind, point=point, rank=rank)
    assert codes[rank] == -9, f"the blow never came: {codes}, {said(nursery)}"
    assert codes[1 - rank] == 1, f"the other process was to end by itself within a minute: {codes}, {said(nursery)}"
    assert f"process {rank} (pid" in said(nursery)
    again = ["resume", str(run)] if (run / "config.yaml").exists() else train(run)
    assert nursery.launch(again, kind=kind) == [0, 0], said(nursery)
    assert_same(unbroken, run)


def test_another_number_of_processes_and_another_way_of_sharing_are_refused_in_one_line(
    nursery: Nursery, whole: Any
) -> None:
    unbroken = whole("FSDP2")
    run = unbroken.parent / "moved"
    shutil.rmtree(run, ignore_errors=True)
    assert nursery.launch(train(run), kind="FSDP2", point=("update", 3, True), rank=1)[1] == -9
    before = sorted(path.name for path in run.rglob("*"))
    for kind, ranks, words in (("FSDP2", 3, "between 3 processes"), ("DDP", 1, "whole weights")):
        (nursery.folder / "log.txt").write_text("")
        assert nursery.launch(["resume", str(run)], kind=kind, ranks=ranks) == [2] * ranks, said(nursery)
        refusals = [line for line in said(nursery).splitlines() if line.startswith("fastslow resume:")]
        assert len(refusals) == ranks, said(nursery)
        assert all("cut up between 2 processes" in line and words in line for line in refusals), refusals
    assert sorted(path.name for path in run.rglob("*")) == before


def test_a_damaged_share_is_named(nursery: Nursery, whole: Any) -> None:
    unbroken = whole("FSDP2")
    run = unbroken.parent / "damaged"
    shutil.rmtree(run, ignore_errors=True)
    assert nursery.launch(train(run), kind="FSDP2", point=("update", 3, True), rank=1)[1] == -9
    newest = Checkpoints(run).folder(Checkpoints(run).steps()[-1])
    share = newest / "model.1.safetensors"
    content = bytearray(share.read_bytes())
    content[-1] ^= 1
    share.write_bytes(content)
    (nursery.folder / "log.txt").write_text("")
    assert nursery.launch(["resume", str(run)], kind="FSDP2") == [1, 1]
    assert "model.1.safetensors does not hold what was written" in said(nursery)


def test_sharding_that_is_not_active_is_refused_before_anything_is_written(nursery: Nursery, whole: Any) -> None:
    recipe = whole("FSDP2").parent / "recipe.yaml"
    run = recipe.parent / "inactive"
    (nursery.folder / "log.txt").write_text("")
    argv = ["train", "--config", str(recipe), "--output_dir", str(run)]
    assert nursery.launch(argv, kind="FSDP2", shim=False) == [2, 2]
    assert "FSDP2 was asked for and is not active" in said(nursery)
    assert not run.exists()


@pytest.mark.parametrize(
    ("kind", "point", "rank"),
    [("DDP", "fast", 1), pytest.param("FSDP2", "update", 0, marks=pytest.mark.faults)],
)
def test_a_launcher_whose_process_is_killed_ends_within_a_minute_and_names_it(
    tmp_path: Path, kind: str, point: str, rank: int
) -> None:
    """In a fast phase, and in a training step."""
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(tiny_settings(tmp_path)))
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    env = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}", "OMP_NUM_THREADS": "1"}
    with (tmp_path / "log.txt").open("wb") as log:
        running = subprocess.Popen(
            [*launch, "-m", "tests.support.struck", kind, point, "2", str(rank), *train(tmp_path / "run")],
            env=env, stdout=log, stderr=log, cwd=tmp_path,
        )  # fmt: skip
        named, began = f"process {rank} (pid", time.monotonic()
        while named not in (tmp_path / "log.txt").read_text() and running.poll() is None:
            assert time.monotonic() - began < 300, (tmp_path / "log.txt").read_text()[-3000:]
            time.sleep(0.2)
        code = running.wait(timeout=60)
    said = (tmp_path / "log.txt").read_text()
    assert code == 1, said[-3000:]
    assert named in said, said[-3000:]
    assert "cannot go on without it" in said
