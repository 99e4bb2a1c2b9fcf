"""examples/custom_router runs as its README says, through both channels and a resume."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fastslow.config.settings import FastSlowConfig
from fastslow.record.display import SilentDisplay
from fastslow.run.train import resume, train
from tests.support.runs import tiny_settings

EXAMPLE = Path(__file__).parents[2] / "examples" / "custom_router"


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLE))


def routes(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "routes.jsonl").read_text().splitlines()]


def test_the_example_routes_by_its_own_memory_and_says_why(tmp_path: Path) -> None:
    settings = tiny_settings(tmp_path, router="curriculum_router.Curriculum", max_steps=12, save_bundle=False)
    train(FastSlowConfig(**settings), display=SilentDisplay())
    lines = routes(tmp_path / "run")
    seen: set[str] = set()
    for line in lines:
        if line["example_id"] not in seen:
            assert line["rule"] == "fast", "the first visit"
        expected = "both" if line["why"]["visits_without_progress"] else "fast"
        assert line["rule"] == expected
        seen.add(line["example_id"])
    assert {line["rule"] for line in lines} == {"fast", "both"}
    assert {line["router"] for line in lines} == {"curriculum"}


def test_a_resumed_run_with_the_example_decides_as_the_unbroken_one(tmp_path: Path) -> None:
    settings = tiny_settings(
        tmp_path,
        router="curriculum_router.Curriculum",
        max_steps=8,
        save_bundle=False,
        keep_every=4,
        save_time_share=1.0,
    )
    train(FastSlowConfig(**settings), display=SilentDisplay())
    run = tmp_path / "run"
    whole = routes(run)
    (run / "summary.json").unlink()
    resume(run, checkpoint="checkpoint-4", display=SilentDisplay())
    assert routes(run) == whole
