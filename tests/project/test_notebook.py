"""examples/quickstart.ipynb runs from its first cell to its last, on the tiny model and with small settings."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.tiny import save_tiny

EXAMPLES = Path(__file__).parents[2] / "examples"
NOTEBOOK: dict[str, Any] = json.loads((EXAMPLES / "quickstart.ipynb").read_text(encoding="utf-8"))
CODE = [cell for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]
SMALL = {"max_steps": 1, "slow_steps_per_cycle": 1, "problems_per_step": 1, "num_generations": 4, "anchor_size": 2}
SMALL |= {"fast_metric_calls": 20, "max_completion_length": 4, "validation_size": 2, "kl_examples": 0}


def test_every_cell_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.chdir(EXAMPLES)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "orders", raising=False)
    names: dict[str, Any] = {"__name__": "__main__"}
    for cell in CODE:
        exec(compile("".join(cell["source"]), cell["id"], "exec"), names)
        if "parameters" in cell["metadata"].get("tags", ()):
            names |= {"model": str(save_tiny(tmp_path / "model")), "output_dir": str(tmp_path / "run"), "more": SMALL}
    assert names["summary"]["status"] == "done"
    assert names["watched"].steps == [1]
    assert names["messages"][-1]["content"].endswith(names["question"])
    assert "user: Zoe from Paris" in capsys.readouterr().out


def test_it_is_kept_without_outputs_and_its_links_lead_somewhere() -> None:
    assert not [cell["id"] for cell in CODE if cell["outputs"] or cell["execution_count"]]
    text = "".join("".join(cell["source"]) for cell in NOTEBOOK["cells"] if cell["cell_type"] == "markdown")
    assert not [link for link in re.findall(r"\]\(([^)#:]+)\)", text) if not (EXAMPLES / link).exists()]
