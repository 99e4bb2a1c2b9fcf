"""The same settings give the same run, whatever Python hashes strings with and however many workers load the data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

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


def test_a_run_is_the_same_under_another_hash_seed_and_with_loader_workers(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(settings(tmp_path)))
    with Nursery(tmp_path) as nursery:  # whatever its seed is; on one thread, as the other
        here = run(nursery, "here", workers=0)
    with Nursery(tmp_path, PYTHONHASHSEED="7") as nursery:
        assert_same(here, run(nursery, "there", workers=2))


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
