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


BLOCKS = re.findall(r"(?:^    fastslow [^\n]+\n)+\n```text\n(.*?)```", PAGE, re.MULTILINE | re.DOTALL)
"""What the page says that commands print, one text for each group of commands."""


def shape(line: str) -> str:
    """A line without what differs from run to run: numbers, digests, times, who did it, and what the run was called."""
    line = re.sub(r"^(\s*\d+  \S+  )\S+", r"\1user", line)
    return re.sub(r"\b[0-9a-f]{12}\b|\d+", "#", line).rstrip()


def test_the_policies_of_the_page_can_be_read() -> None:
    assert list(POLICIES) == ["first.yaml", "next.yaml", "third.yaml"]
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
    for later in ("next.yaml", "third.yaml"):
        (tmp_path / later).write_text("questions: 80\nlooks: 1\nmargin: 0.4\n")
    printed: set[str] = set()
    for command in COMMANDS:
        assert main(shlex.split(command)[1:]) == 0, f"{command}\n{capsys.readouterr()}"
        printed |= {shape(line) for line in capsys.readouterr().out.splitlines()}
    assert "#  #-#-#T#:#:#+#:#  user  rollback #-#: too slow for the phone app" in {line.strip() for line in printed}
    # Tables have the width of the terminal, titles stand in its middle, and the plan is that of the page's own policy.
    promised = [line for block in BLOCKS if "wins passes" not in block for line in block.splitlines()]
    plain = {shape(line) for line in promised if line[:8].strip() and not set(line) & set("┃│┏┡└━")}
    assert len(plain) >= 10, "the page shows what its commands print"
    assert plain - printed == set()
