"""The same settings give the same run, whatever Python hashes strings with and however many workers load the data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from fastslow.cli.main import main
from tests.golden.cases import threads
from tests.run.test_resume import assert_same
from tests.support.nursery import Nursery
from tests.support.runs import stream_settings

pytestmark = [pytest.mark.processes, pytest.mark.row(name="determinism")]
HASH_SEEDS, WORKERS, REPEATS = (0, 1, 4242), (0, 1, 2), 2


def settings(folder: Path) -> dict[str, Any]:
    """Several tasks, clusters and a router that learns: what keeps dictionaries and sets."""
    return stream_settings(
        folder, stream="recur:2", labels="hidden", clusters="inferred", router="learned", keep_every=2,
        save_time_share=1.0, eval_strategy="steps", eval_steps=2,
    )  # fmt: skip


def run(nursery: Nursery, name: str, workers: int) -> Path:
    recipe, path = nursery.folder / "recipe.yaml", nursery.folder / name
    flags = ["--output_dir", str(path), "--dataloader_num_workers", str(workers)]
    code = nursery.run(["train", "--config", str(recipe), *flags])
    assert code == 0, (nursery.folder / "log.txt").read_text()[-3000:]
    return path


def write_hash(path: str) -> None:
    """Write down what this process makes of a string."""
    Path(path).write_text(str(hash("any text")))


def test_a_run_is_the_same_under_another_hash_seed_and_with_loader_workers(tmp_path: Path) -> None:
    """In this process, and in one forked from the nursery: each of the two has drawn a seed of its own."""
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(settings(tmp_path)))
    back = threads(1)  # as in the nursery
    try:
        assert main(["train", "--config", str(tmp_path / "recipe.yaml"), "--output_dir", str(tmp_path / "here")]) == 0
    finally:
        back()
    with Nursery(tmp_path) as nursery:
        assert nursery.call("tests.faults.test_determinism", "write_hash", str(tmp_path / "hash"), ranks=1) == [0]
        assert int((tmp_path / "hash").read_text()) != hash("any text"), "both hash strings alike"
        assert_same(tmp_path / "here", run(nursery, "there", workers=2))


@pytest.mark.faults
def test_hash_seeds_loader_workers_and_repeats_change_nothing(tmp_path: Path, record_property) -> None:
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(settings(tmp_path)))
    runs: list[Path] = []
    for seed in HASH_SEEDS:
        with Nursery(tmp_path, PYTHONHASHSEED=str(seed)) as nursery:
            for workers in WORKERS:
                for repeat in range(REPEATS):
                    runs.append(run(nursery, f"{seed}-{workers}-{repeat}", workers))
                    assert_same(runs[0], runs[-1])
    record_property("cases", len(runs))
