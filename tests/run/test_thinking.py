"""A model that thinks first, from its training to an evaluation without its thoughts; and answers that pay for their
length."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fastslow.cli.main import main
from fastslow.config.settings import FastSlowConfig
from fastslow.policy.thinking import NO_END
from fastslow.record.display import SilentDisplay
from fastslow.run.train import train
from tests.policy.test_thinking import PLAIN
from tests.report.runs import read_lines
from tests.support.runs import tiny_settings

SWITCH = PLAIN.replace(
    "assistant\n", "assistant\n{% if enable_thinking is not defined or enable_thinking %}<think>\n{% endif %}"
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("thinking")
    settings: dict[str, Any] = tiny_settings(folder, max_steps=1, overlong_buffer=5, overlong_penalty=0.5)
    (folder / "model" / "chat_template.jinja").write_text(SWITCH)
    train(FastSlowConfig(**settings), display=SilentDisplay())
    return folder / "run"


def test_thoughts_that_a_run_cuts_are_no_answers_and_the_rows_are_trained_on(run: Path) -> None:
    rollouts = read_lines(run / "rollouts.jsonl")
    assert rollouts
    assert all(one["reward"] == 0 and one["feedback"].startswith(NO_END) and one["completion"] for one in rollouts)
    (step,) = [row for row in read_lines(run / "metrics.jsonl") if row["phase"] == "slow"]
    assert step["fst/live_rows"] > 0, "their length alone tells them apart"
    assert step["fst/overlong_penalty"] > 0
    assert step["reward"] == pytest.approx(-step["fst/overlong_penalty"])


def test_an_evaluation_may_switch_the_thoughts_off(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    def accuracy(*flags: str) -> float:
        file = tmp_path / "rows.json"
        words = ["eval", str(run), "--trust_task", "--contexts", "seed", "--kl_examples", "0", "--json", str(file)]
        assert main([*words, "--temperature", "1", "--samples", "4", *flags]) == 0
        return max(row["accuracy"] for row in json.loads(file.read_text()))

    assert accuracy() == 0
    assert accuracy("--chat_template_kwargs", '{"enable_thinking": false}') > 0
    assert main(["eval", str(run), "--chat_template_kwargs", "off"]) == 2
    assert "--chat_template_kwargs" in capsys.readouterr().err
