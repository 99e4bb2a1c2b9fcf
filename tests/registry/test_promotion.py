"""A promotion needs a verdict on exactly these bytes, the present champion, and a policy as strict as the last."""

from __future__ import annotations

import json
import random
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from fastslow.core.errors import BadInput
from fastslow.files.jsonl import dumps
from fastslow.files.manifest import signed
from fastslow.gate.floor import floor_of
from fastslow.gate.policy import parse_policy
from fastslow.gate.verdict import Model, read_verdict
from fastslow.registry.registry import ModelRegistry
from tests.support.registries import POLICY, bundle, registry_of_two, verdict


@pytest.fixture
def ready(tmp_path: Path) -> tuple[ModelRegistry, str]:
    """A registry with a champion, and a third version that was gated against it."""
    registry, _, _ = registry_of_two(tmp_path)
    return registry, registry.add(bundle(tmp_path / "third", "third"))


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "failed": ({"state": "fail"}, "'fail', not 'pass'"),
    "undecided": ({"state": "undecided"}, "'undecided', not 'pass'"),
    "invalid": ({"state": "invalid"}, "'invalid', not 'pass'"),
    "other candidate": ({"candidate": Model("c", "1" * 64)}, "other bytes"),
    "other champion": ({"baseline": Model("b", "1" * 64)}, "not with the present champion"),
    "base": ({"baseline": Model("base", "1" * 64, "base")}, "not with the present champion"),
    "no task": ({"policy": "retain:\n- task: new\n"}, "no margin for 'old'"),
    "wider margin": ({"policy": "retain:\n- {task: old, margin: 0.06}\n"}, "margin for 'old'"),
    "larger alpha": ({"policy": f"alpha: 0.1\n{POLICY}"}, "alpha is 0.1"),
    "other digest": ({"policy_digest": "1" * 64}, "does not hold the policy"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_verdict_on_anything_else_is_refused_and_the_refusal_is_logged(name: str, ready: Any, tmp_path: Path) -> None:
    registry, version = ready
    changes, words = REFUSED[name]
    with pytest.raises(BadInput, match=words):
        registry.promote(version, verdict(tmp_path / "third", tmp_path / "second", **changes))
    last = registry.entries()[-1]
    assert (last.event, registry.aliases()["candidate"]) == ("refuse", version)
    assert words in last.about["reason"]


def test_a_pass_that_was_written_over_a_fail_is_refused_though_its_digest_was_renewed(
    ready: Any, tmp_path: Path
) -> None:
    registry, version = ready
    (check,) = verdict(tmp_path / "third", tmp_path / "second").checks
    failed = verdict(
        tmp_path / "third", tmp_path / "second", state="fail",
        checks=(replace(check, state="fail", candidate=0.3, difference=-0.2, low=-0.3, high=-0.1, won=0, lost=20),),
    )  # fmt: skip
    whole = dumps({key: value for key, value in failed.to_json().items() if key != "sha256"})
    only_the_whole = whole.replace(b'"state": "fail"', b'"state": "pass"', 1)
    every_state = whole.replace(b'"state": "fail"', b'"state": "pass"')
    for edited in (only_the_whole, every_state):
        (tmp_path / "v.json").write_bytes(dumps(signed(json.loads(edited))))
        with pytest.raises(BadInput, match="contradicts itself"):
            registry.promote(version, read_verdict(tmp_path / "v.json"))
    assert registry.entries()[-1].event == "refuse"


def test_a_verdict_that_names_all_three_is_enough(ready: Any, tmp_path: Path) -> None:
    registry, version = ready
    registry.promote(version, verdict(tmp_path / "third", tmp_path / "second"), policy=POLICY.encode())
    assert registry.aliases()["champion"] == version


def test_a_policy_file_that_was_edited_afterwards_is_refused(ready: Any, tmp_path: Path) -> None:
    registry, version = ready
    with pytest.raises(BadInput, match="policy file is not the one"):
        registry.promote(version, verdict(tmp_path / "third", tmp_path / "second"), policy=b"retain: []\n")


def test_a_champion_that_changed_since_the_gate_makes_the_verdict_worthless(ready: Any, tmp_path: Path) -> None:
    registry, version = ready
    measured = verdict(tmp_path / "third", tmp_path / "second")
    registry.rollback()
    with pytest.raises(BadInput, match="not with the present champion"):
        registry.promote(version, measured)


def test_the_first_champion_is_gated_against_its_base(tmp_path: Path) -> None:
    registry = ModelRegistry.create(tmp_path / "registry")
    version = registry.add(bundle(tmp_path / "a"))
    with pytest.raises(BadInput, match="--baseline base"):
        registry.promote(version, verdict(tmp_path / "a", bundle(tmp_path / "b", "other")))
    registry.promote(version, verdict(tmp_path / "a", None))


def test_a_registry_may_name_the_least_policy_when_it_is_made(tmp_path: Path) -> None:
    floor = floor_of(parse_policy(b"retain: [{task: first}]", "policy"))
    registry = ModelRegistry.create(tmp_path / "registry", {"floor": asdict(floor)})
    version = registry.add(bundle(tmp_path / "a"))
    with pytest.raises(BadInput, match="no margin for 'first'"):
        registry.promote(version, verdict(tmp_path / "a", None))


def test_a_rollback_does_not_lower_what_policies_have_promised(ready: Any, tmp_path: Path) -> None:
    registry, version = ready
    registry.promote(version, verdict(tmp_path / "third", tmp_path / "second", f"{POLICY}- task: new\n"))
    registry.rollback()
    fourth = registry.add(bundle(tmp_path / "fourth", "fourth"))
    with pytest.raises(BadInput, match="no margin for 'new'"):
        registry.promote(fourth, verdict(tmp_path / "fourth", tmp_path / "second"))


def flip(path: Path, rng: random.Random) -> None:
    content = bytearray(path.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.parent.chmod(0o755)
    path.chmod(0o644)
    path.write_bytes(bytes(content))


def test_a_hundred_flipped_bits_between_verdict_and_promotion_are_a_hundred_refusals(
    ready: Any, tmp_path: Path
) -> None:
    """In any file of the version, in the verdict, in the policy."""
    registry, version = ready
    (tmp_path / "v.json").write_bytes(dumps(verdict(tmp_path / "third", tmp_path / "second").to_json()))
    (tmp_path / "gate.yaml").write_text(POLICY)
    victims = [*sorted(registry.path(version).iterdir()), tmp_path / "v.json", tmp_path / "gate.yaml"]
    whole = {victim: victim.read_bytes() for victim in victims}
    rng, refused = random.Random(0), 0
    for number in range(100):
        victim = victims[number % len(victims)]
        flip(victim, rng)
        with pytest.raises(BadInput):
            registry.promote(version, read_verdict(tmp_path / "v.json"), policy=(tmp_path / "gate.yaml").read_bytes())
        refused += 1
        victim.write_bytes(whole[victim])
    assert refused == 100
    registry.promote(version, read_verdict(tmp_path / "v.json"), policy=(tmp_path / "gate.yaml").read_bytes())
