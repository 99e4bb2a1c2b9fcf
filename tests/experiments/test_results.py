"""The file of probes: what is committed under results/ stays readable, and what is written is read back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fastslow.core.errors import BadInput
from fastslow.experiments.probe.results import Probe, ProbesFile

COMMITTED = Path(__file__).parents[2] / "results/probe-routes/learned-s1.jsonl"
ABOUT = {"seed": 1}


def probe(name: str = "e") -> Probe:
    gains: dict[str, tuple[float, float]] = dict.fromkeys(("fast", "slow", "both"), (0.1, 0.2))
    return Probe(name, "t", "t", {"rewards": [1.0]}, {"both": "both"}, {"slow": 0.5}, gains, dict.fromkeys(gains, 8))


def test_the_committed_probes_are_readable(tmp_path: Path) -> None:
    path = tmp_path / "probes.jsonl"
    path.write_bytes(COMMITTED.read_bytes())
    about = json.loads(path.read_text(encoding="utf-8").split("\n")[0])["about"]
    file = ProbesFile(path, about)
    with file.held():
        assert file.probes
        assert all(probe.expected_gains for probe in file.probes.values())


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "probes.jsonl"
    with ProbesFile(path, ABOUT).held() as file:
        file.add(probe())
        file.pass_over("u")
    again = ProbesFile(path, ABOUT)
    with again.held():
        assert again.probes == {"e": probe()}
        assert again.unscorable == {"u"}


def test_a_line_cut_by_a_kill_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "probes.jsonl"
    with ProbesFile(path, ABOUT).held() as file:
        file.add(probe())
        file.add(probe("f"))
    path.write_bytes(path.read_bytes()[:-5])
    again = ProbesFile(path, ABOUT)
    with again.held():
        assert set(again.probes) == {"e"}


def test_probes_of_another_plan_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "probes.jsonl"
    with ProbesFile(path, ABOUT).held():
        pass
    with pytest.raises(BadInput, match="another seed"), ProbesFile(path, {"seed": 2}).held():
        pass


def test_two_probes_do_not_write_one_file(tmp_path: Path) -> None:
    path = tmp_path / "probes.jsonl"
    refused = pytest.raises(BadInput, match="by another probe")
    with ProbesFile(path, ABOUT).held(), refused, ProbesFile(path, ABOUT).held():
        pass
