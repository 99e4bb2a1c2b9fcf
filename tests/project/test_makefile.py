"""`make quickstart` says how to go on with what is there, and touches nothing of it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

MAKEFILE = Path(__file__).parents[2] / "Makefile"


@pytest.mark.parametrize(
    ("summary", "code", "said"),
    [
        (None, 2, ".venv/bin/fastslow resume runs/quickstart"),
        ('{"status": "stopped by SIGTERM"}', 2, ".venv/bin/fastslow resume runs/quickstart"),
        ('{"status": "done"}', 0, ".venv/bin/fastslow eval runs/quickstart"),
    ],
)
def test_a_quickstart_that_is_there_is_kept_and_named_with_what_goes_on_with_it(
    tmp_path: Path, summary: str | None, code: int, said: str
) -> None:
    for name in ("pyproject.toml", "constraints.txt", ".venv/.installed", "runs/quickstart/config.yaml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    if summary is not None:
        (tmp_path / "runs/quickstart/summary.json").write_text(summary)
    done = subprocess.run(
        ["make", "-o", ".venv/.ready", "-f", MAKEFILE, "quickstart"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == code, done.stderr
    assert said in done.stdout
    assert (tmp_path / "runs/quickstart/config.yaml").exists()
