"""The registry of proposers, and what is counted and kept of the language models behind them."""

import sys
import types
from pathlib import Path

import pytest

from fastslow.core.errors import BadInput
from fastslow.fast.proposers import (
    PROPOSERS,
    DemonstrationsProposer,
    MixedProposer,
    ReflectionProposer,
    make_proposer,
    usage_of,
)
from fastslow.fast.proposers.base import journal_into
from fastslow.fast.reflection.journal import Journal

from .helpers import SilentLM, inputs, parent, request, trace


@pytest.mark.parametrize("name", PROPOSERS.names())
def test_every_registered_name_is_made_from_the_same_inputs(name: str) -> None:
    assert make_proposer(name, inputs()).name == name


@pytest.mark.parametrize("name", ["demonstrations", "instructions", "offline"])
def test_no_reflection_lm_is_made_for_proposers_without_one(name: str) -> None:
    def unwanted() -> SilentLM:
        raise AssertionError("a reflection LM was made")

    make_proposer(name, inputs(make_reflection_lm=unwanted))


def test_the_inputs_reach_both_parts_of_a_mix() -> None:
    mix = make_proposer("mixed", inputs(max_worked_examples=2, edits="full"))
    assert isinstance(mix, MixedProposer)
    demonstrations, reflection = mix.proposers
    assert isinstance(demonstrations, DemonstrationsProposer)
    assert isinstance(reflection, ReflectionProposer)
    assert (demonstrations.max_examples, demonstrations.edits, reflection.edits) == (2, "full", "full")


def test_a_dotted_path_is_called_with_the_same_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("my_proposers")
    module.shy = lambda given: DemonstrationsProposer(given.max_worked_examples)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "my_proposers", module)
    made = make_proposer("my_proposers.shy", inputs(max_worked_examples=3))
    assert isinstance(made, DemonstrationsProposer)
    assert made.max_examples == 3


def test_an_unknown_name_gets_the_nearest_one() -> None:
    with pytest.raises(BadInput, match="Did you mean 'reflection'"):
        make_proposer("reflektion", inputs())


def test_usage_is_summed_over_the_parts_of_a_mix() -> None:
    parts = [ReflectionProposer(SilentLM()), ReflectionProposer(SilentLM()), DemonstrationsProposer()]
    for part, calls in zip(parts, (2, 3, 0), strict=True):
        if isinstance(part, ReflectionProposer):
            part.lm.usage.calls = calls
    assert usage_of(MixedProposer(parts))["calls"] == 5


def test_usage_of_an_offline_proposer_is_zero() -> None:
    assert set(usage_of(DemonstrationsProposer()).values()) == {0}


def test_the_endpoints_of_a_mix_share_one_journal(tmp_path: Path) -> None:
    lms = [SilentLM(), SilentLM()]
    for lm in lms:
        lm.journal = Journal()  # type: ignore[attr-defined]
    journal_into(MixedProposer([ReflectionProposer(lm) for lm in lms]), tmp_path / "journal.jsonl")
    first, second = (lm.journal for lm in lms)  # type: ignore[attr-defined]
    assert first is second
    assert first.path == tmp_path / "journal.jsonl"


def test_a_proposal_without_an_edit_is_no_proposal() -> None:
    failed = trace("What is 3 * 4?", "13", 0.0)
    proposer = make_proposer("reflection", inputs())
    assert proposer.propose(request(parent(), component="instruction", traces=[failed])) == {}
