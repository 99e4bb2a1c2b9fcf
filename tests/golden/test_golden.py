"""Refactoring changes no number: golden runs end to the bit where they did when they were recorded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.golden.cases import CASES, RECORDED, machine, results_of, threads

SLOW = {"quickstart": pytest.mark.real_model, "two-processes": pytest.mark.processes}


def differences(wanted: Any, found: Any, *, exact: bool, place: str = "") -> list[str]:
    """Where `found` lacks or changes what is in `wanted`; it may hold more. Without `exact`, only what is missing."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        missing = [f"{place}.{key} is missing" for key in wanted if key not in found]
        deeper = [differences(wanted[k], found[k], exact=exact, place=f"{place}.{k}") for k in wanted if k in found]
        return missing + [line for lines in deeper for line in lines]
    if isinstance(wanted, list) and isinstance(found, list):
        if len(wanted) != len(found):
            return [f"{place} has {len(found)} entries, not {len(wanted)}"] if exact else []
        pairs = enumerate(zip(wanted, found, strict=True))
        return [line for i, (w, f) in pairs for line in differences(w, f, exact=exact, place=f"{place}[{i}]")]
    return [f"{place} is {found!r}, was {wanted!r}"] if exact and wanted != found else []


@pytest.mark.parametrize("name", [pytest.param(name, marks=SLOW.get(name, ())) for name in CASES])
def test_a_golden_run_ends_where_it_did(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the bit on the kind of machine it was recorded on; elsewhere, last bits may tip a sampled token, and only
    what is written, and how often, can be compared."""
    monkeypatch.chdir(tmp_path)
    recorded = json.loads((RECORDED / f"{name}.json").read_text(encoding="utf-8"))
    back = threads(1)
    try:
        found = json.loads(json.dumps(results_of(CASES[name]())))
    finally:
        back()
    exact = machine() == recorded["machine"]
    wanted = recorded["results"]
    if not exact:
        wanted = {key: wanted[key] for key in ("metrics.jsonl", "evals.jsonl", "summary")}
        wanted["summary"].pop("population")
    problems = differences(wanted, found, exact=exact)
    assert not problems, f"{len(problems)} differences, first: " + "; ".join(problems[:5])
    if name == "quickstart":
        accuracy, kl = found["summary"]["accuracy"], found["summary"]["kl_to_base"]
        assert accuracy["base_lead"] > accuracy["base_seed"], "no context helped"
        assert kl["lead"] > 0, "no weight moved"
