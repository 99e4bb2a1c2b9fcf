"""Processes whose routers disagree end with an error in one line, and do not wait for each other for ever."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from fastslow.core.types import GroupEvidence, Route
from fastslow.routers.base import StatelessRouter
from tests.support.nursery import Nursery
from tests.support.runs import tiny_settings


class ByRank(StatelessRouter):
    """Routes by the process it runs in: what no router may do."""

    name = "by-rank"

    def __init__(self, arguments: str = "", *, seed: int = 0):
        self.route_here = Route.SLOW if os.environ.get("RANK", "0") == "0" else Route.FAST

    def route(self, evidence: GroupEvidence) -> Route:
        return self.route_here


@pytest.mark.processes
def test_a_router_that_differs_between_processes_is_named_at_its_first_step(tmp_path: Path) -> None:
    settings = tiny_settings(tmp_path, max_steps=4, problems_per_step=4, router="tests.loop.test_disagreement:ByRank")
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(settings))
    with Nursery(tmp_path) as nursery:
        codes = nursery.launch(["train", "--config", "recipe.yaml"], kind=None)
    assert 0 not in codes
    assert "disagree about the routes of a step" in nursery.log()
    assert not (tmp_path / "run" / "checkpoint-1").exists(), "a step was trained on two different batches"
