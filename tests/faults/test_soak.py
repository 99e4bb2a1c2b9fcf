"""A process that takes thousands of steps does not grow: memory, objects, descriptors, threads, temporary files."""

from __future__ import annotations

import gc
import os
import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest
from transformers import TrainerCallback

from fastslow.config.settings import FastSlowConfig
from fastslow.files.run_directory import FILES
from fastslow.record.display import SilentDisplay
from fastslow.run.train import train
from tests.support.runs import tiny_settings

pytestmark = pytest.mark.row(name="soak")
STEPS, EVERY, WARM = 2_000, 50, 500
GROWTH = 1.05


class Meter(TrainerCallback):
    """Measures the process every so many steps."""

    def __init__(self, run: Path, every: int):
        self.run, self.every = run, every
        self.rows: list[dict[str, float]] = []

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step % self.every == 0:
            gc.collect()
            self.rows.append(
                {
                    "step": state.global_step,
                    "resident MB": _status("VmRSS") / 1024,
                    "descriptors": len(os.listdir("/proc/self/fd")),
                    "threads": threading.active_count(),
                    "temporary files": sum(len(files) for _, _, files in os.walk(tempfile.gettempdir())),
                    "files of the run": sum(p.name not in FILES for p in self.run.rglob("*")),
                }
            )


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1])


def soak(folder: Path, monkeypatch, steps: int, every: int) -> list[dict[str, float]]:
    temporary = folder / "tmp"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    settings = tiny_settings(
        folder, max_steps=steps, problems_per_step=2, num_generations=2, max_completion_length=3, learning_rate=1e-4,
        slow_steps_per_cycle=20, fast_metric_calls=24, anchor_size=3, validation_size=2, kl_examples=1,
        eval_strategy="steps", eval_steps=100, save_bundle=False,
    )  # fmt: skip
    meter = Meter(folder / "run", every)
    train(FastSlowConfig(**settings), display=SilentDisplay(), callbacks=[meter])
    return meter.rows


def check(rows: list[dict[str, float]], warm: int) -> None:
    """The last third after the warm-up against the first: their highest values."""
    rows = [row for row in rows if row["step"] > warm]
    third = len(rows) // 3
    for what in rows[0]:
        before, after = (max(row[what] for row in some) for some in (rows[:third], rows[-third:]))
        if what != "step":
            assert after <= before * GROWTH, f"{what} grew: {[row[what] for row in rows]}"


@pytest.mark.faults
def test_two_thousand_steps_leave_the_process_as_it_was(tmp_path: Path, monkeypatch, record_property) -> None:
    rows = soak(tmp_path, monkeypatch, STEPS, EVERY)
    check(rows, WARM)
    record_property("cases", STEPS)


def test_sixty_steps_open_nothing_that_stays_open(tmp_path: Path, monkeypatch) -> None:
    rows = soak(tmp_path, monkeypatch, 60, 10)
    for row in rows:
        del row["resident MB"]  # still warming up
    check(rows, 0)
