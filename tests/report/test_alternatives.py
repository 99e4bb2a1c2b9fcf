"""Arms side by side: what each takes, and a ceiling that is no rival."""

from __future__ import annotations

import json
from pathlib import Path

from fastslow.report.pages.markdown import markdown
from fastslow.report.questions.compare import compare
from fastslow.report.questions.controls import control_arms
from fastslow.report.reading.sources import Source, load_sources
from tests.report.runs import make_comparison
from tests.report.test_kept import make_staged


def told(folder: Path, rows: int, added: float) -> None:
    """Say in a run's summary what it trained on, and what its context adds to a prompt."""
    path = folder / "summary.json"
    summary = json.loads(path.read_text())
    summary |= {"trained": {"rows": rows, "tokens": 5 * rows}, "prompt_tokens": {"seed": 20.0, "lead": 20.0 + added},
                "wall_s": {"total": 60.0}, "tokens": {"slow": 900, "fast": 100}}  # fmt: skip
    path.write_text(json.dumps(summary))


def arms(folder: Path) -> list[Source]:
    """Plain RL and fst through stages, and an arm of plain RL that had both tasks at once."""
    for arm, mode, gain in (("rl", "rl", 0.2), ("fst", "fst", 0.4), ("joint", "rl", 0.6)):
        make_staged(folder / arm, mode, gain)
        told(folder / arm, rows=640, added=150.0)
    config = folder / "joint" / "config.yaml"
    config.write_text(config.read_text() + "stream: mixture\n")
    cells = [
        {"path": arm, "arm": arm, "mode": mode, "seed": 1, "status": "done"}
        for arm, mode in (("rl", "rl"), ("fst", "fst"), ("joint", "rl"))
    ]
    return load_sources([make_comparison(folder, "continual", cells)])


def test_an_arm_that_had_all_tasks_at_once_has_an_average_and_no_stages(tmp_path: Path) -> None:
    text = markdown(arms(tmp_path))
    assert "| average accuracy | 0.25 | 0.40 | 0.55 |" in text
    assert "| forgotten since learned | 0.10 | 0.20 | n/a |" in text


def test_a_ceiling_is_no_rival(tmp_path: Path) -> None:
    (comparison,) = compare(*arms(tmp_path))
    assert [arm.label for arm in control_arms(comparison)] == ["rl"]


def test_what_each_arm_takes_is_in_one_table(tmp_path: Path) -> None:
    text = markdown(arms(tmp_path))
    assert "| fst | 1,280 | 1,000 | 640 | 3,200 | 60 s | 150 |" in text
    assert "| rl | 1,280 | 1,000 | 640 | 3,200 | 60 s | 0 |" in text


def test_runs_that_do_not_say_what_they_trained_on_have_no_such_table(tmp_path: Path) -> None:
    for arm in ("rl", "fst"):
        make_staged(tmp_path / arm, arm, 0.2)
    assert "What each arm takes" not in markdown(load_sources([tmp_path / "rl", tmp_path / "fst"]))
