"""docs/release.md can be followed: its commands are run one after another, with a tiny model for SmolLM2."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import yaml

from fastslow.cli.main import main
from fastslow.gate.policy import parse_policy
from tests.support.bundles import TASK
from tests.support.runs import tiny_settings

PAGE = (Path(__file__).parents[2] / "docs/release.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^    (fastslow .+)$", PAGE, re.MULTILINE)
POLICIES = dict(
    zip(
        re.findall(r"[Ss]ave it as `(\w+\.yaml)`", PAGE), re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL), strict=True
    )
)


def test_the_policies_of_the_page_can_be_read() -> None:
    assert list(POLICIES) == ["first.yaml", "next.yaml"]
    for name, text in POLICIES.items():
        parse_policy(text.encode(), name)


def test_the_page_leads_to_a_champion_and_back(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    settings = tiny_settings(tmp_path, task=TASK, max_steps=1, fast_metric_calls=24)
    del settings["output_dir"]
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "quickstart.yaml").write_text(yaml.safe_dump(settings))
    # Random weights gain nothing: the first release keeps what the base can, and loses hardly anything in one step.
    (tmp_path / "first.yaml").write_text(f"questions: 80\nlooks: 1\nmargin: 0.4\nretain:\n- task: {TASK}\n")
    (tmp_path / "next.yaml").write_text("questions: 80\nlooks: 1\nmargin: 0.4\n")
    for command in COMMANDS:
        assert main(shlex.split(command)[1:]) == 0, f"{command}\n{capsys.readouterr()}"
    assert "rollback" in capsys.readouterr().out
