"""`fastslow doctor --config RECIPE --gpus 8xH100`, as a user meets it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from fastslow.cli.main import main
from fastslow.record.display import SilentDisplay
from fastslow.run.train import train
from tests.support.nursery import ROOT
from tests.support.recipes import readable

RECIPE = ROOT / "recipes/qwen3-8b-8xh100.yaml"


@pytest.fixture(autouse=True)
def recipe(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECIPE", str(readable(RECIPE, tmp_path_factory.mktemp("recipe"))))


def doctor(*arguments: str) -> int:
    return main(["doctor", "--config", os.environ["RECIPE"], *arguments])


def lines(capsys: Any) -> dict[str, dict[str, float]]:
    """Name -> its three cases, from --json."""
    table = json.loads(capsys.readouterr().out)
    return {f"{line['part']}: {line['name']}": line["value"] for line in table["lines"]}


def test_the_table_has_every_part_and_the_exact_parameters(capsys, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "220")
    assert doctor("--gpus", "8xH100") == 0
    shown = capsys.readouterr().out
    for part in (
        "8,190,735,360",
        "memory of each GPU",
        "optimiser",
        "tail",
        "one fast phase",
        "one checkpoint",
        "GPUs",
    ):
        assert part in shown


def test_every_number_is_there_on_a_narrow_terminal(capsys, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert doctor("--gpus", "8xH100") == 0
    shown = capsys.readouterr().out
    assert "8,190,735,360" in shown
    assert max(map(len, shown.splitlines())) < 400


def test_a_machine_that_is_too_small_is_a_no(capsys) -> None:
    assert doctor("--gpus", "1xH100") == 1
    assert "MEMORY IS TOO SMALL" in capsys.readouterr().out


def test_lengths_prices_and_settings_that_are_given_enter_the_table(tmp_path: Path, capsys) -> None:
    prices = tmp_path / "prices.yaml"
    prices.write_text("gpus: {H100: 1}\nstorage: 0.1\n")
    given = (
        "--gpus",
        "8xH100",
        "--json",
        "--answer_tokens",
        "1000",
        "--prompt_tokens=100,200,300",
        "--max_steps",
        "12",
    )
    assert doctor(*given, "--prices", str(prices)) == 0
    table = lines(capsys)
    assert table["tokens of a step: answer"] == dict.fromkeys(("low", "typical", "high"), 1000)
    assert table["tokens of a step: prompt"]["high"] == 300
    assert table["money: GPUs"] == pytest.approx(table["money: GPU hours"])
    assert "money: disk" in table


def test_fewer_processes_than_gpus_share_the_weights_among_themselves(capsys) -> None:
    assert doctor("--gpus", "8xH200", "--json", "--servers", "4") == 0
    four = lines(capsys)["memory of a training GPU: weights"]["typical"]
    assert doctor("--gpus", "8xH200", "--json") == 0
    assert four == pytest.approx(2 * lines(capsys)["memory of each GPU: weights"]["typical"], rel=1e-3)


def test_a_pilot_gives_lengths_and_shares(tmp_path: Path, capsys) -> None:
    from fastslow.config.settings import FastSlowConfig
    from tests.support.runs import tiny_settings

    train(FastSlowConfig(**tiny_settings(tmp_path)), display=SilentDisplay())
    assert doctor("--gpus", "8xH100", "--json", "--pilot", str(tmp_path / "run")) == 0
    table = lines(capsys)
    assert table["tokens of a step: answer"]["typical"] == 5  # max_completion_length of the pilot, which never ends
    assert 20 < table["tokens of a step: prompt"]["typical"] < 200
    assert 0 < table["tokens of a step: reused"]["typical"] < 1


WRONG = [
    (["--gpus", "8xH101"], "H101"), (["--gpus", "8xH100", "--answer_tokens", "3,2,1"], "rise"), (["--gpus"], "gpus"),
    (["--gpus", "8xH100", "--answer_tokens", "many"], "many"), (["--gpus", "8xH100", "--live_share", "2"], "share"),
    (["--gpus", "8xH100", "--answer_tokens", "9000"], "max_completion_length"), (["--pilot", "runs/x"], "--gpus"),
    (["--gpus", "8xH100", "--pilot", "nowhere"], "nowhere"), (["--gpus", "8xH100", "--max_stepps", "3"], "max_steps"),
    (["--gpus", "8xH100", "--servers", "9"], "servers"), (["--gpus", "8xH100", "--processes", "7"], "processes"),
    (["--gpus", "8xH100", "--prices", "nowhere.yaml"], "nowhere"), (["--json"], "--gpus"),
    (["--gpus", "8xH100", "--mfu", "0"], "mfu"), (["--gpus", "8xH100", "--processes", "0"], "processes"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "named"), WRONG, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_bad_input_is_refused_in_one_line(arguments: list[str], named: str, capsys) -> None:
    assert doctor(*arguments) == 2
    error = capsys.readouterr().err.strip()
    assert named in error
    assert "\n" not in error


def test_gpus_without_a_recipe_is_refused(capsys) -> None:
    assert main(["doctor", "--gpus", "8xH100"]) == 2
    assert "--config" in capsys.readouterr().err


def test_a_model_without_a_shipped_configuration_is_read_from_its_folder(tmp_path: Path, capsys) -> None:
    from tests.support.tiny import save_tiny

    folder = save_tiny(tmp_path / "model")
    assert doctor("--gpus", "H100", "--json", "--model", str(folder)) == 0
    assert 50_000 < lines(capsys)["model: parameters"]["typical"] < 200_000
