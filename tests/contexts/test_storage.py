"""Population and router as files: they come back as they were, and damage is refused by name."""

from __future__ import annotations

import json

import pytest

from fastslow.contexts.context import Context, seed_context
from fastslow.contexts.population import Population
from fastslow.contexts.storage import read_population, write_state
from fastslow.core.errors import BadInput


def population() -> Population:
    seed = seed_context("Answer with a number. é")
    child = Context({"instruction": "", "examples": '[{"question": "q", "answer": "a"}]'}, (seed.id,), "demonstrations")
    scores = {seed.id: {"x": 0.0, "y": 0.1}, child.id: {"x": 1.0, "y": 1 / 3}}
    return Population(size=2, seed=seed).rescored([seed, child], scores, policy_version=12)


def test_the_state_of_population_and_router_comes_back_as_it_was(tmp_path) -> None:
    before, router = population(), {"asked": 3, "rates": [0.25, 0.5]}
    write_state(tmp_path, before, router)
    assert read_population(tmp_path) == before
    assert json.loads((tmp_path / "router.json").read_text()) == router


def test_a_folder_without_a_population_is_not_a_bundle(tmp_path) -> None:
    with pytest.raises(BadInput, match=r"not a bundle: it holds no population\.json"):
        read_population(tmp_path)


@pytest.mark.parametrize("damage", ["{", "[]", "{}", "null", "no archive", "no seed"])
def test_a_damaged_population_is_refused_with_the_file(tmp_path, damage: str) -> None:
    write_state(tmp_path, population(), {})
    path = tmp_path / "population.json"
    data = json.loads(path.read_text())
    if damage == "no archive":
        damage = json.dumps({**data, "archive": []})
    elif damage == "no seed":
        damage = json.dumps({k: v for k, v in data.items() if k != "seed"})
    path.write_text(damage)
    with pytest.raises(BadInput, match=r"population\.json' is damaged"):
        read_population(tmp_path)
