"""Registries and verdicts by hand: a registry opens no model, so that a folder with a few bytes is a bundle."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from fastslow.bundles.digest import bundle_digest
from fastslow.gate.policy import parse_policy
from fastslow.gate.verdict import Check, Model, Verdict
from fastslow.registry.registry import ModelRegistry

POLICY = "retain:\n- task: old\n"


def bundle(folder: Path, text: str = "weights") -> Path:
    """The smallest folder that counts as a bundle."""
    folder.mkdir(parents=True)
    (folder / "bundle.json").write_text(json.dumps({"settings": {}}))
    (folder / "model.safetensors").write_text(text)
    return folder


def verdict(candidate: Path, baseline: Path | None, /, policy: str = POLICY, **changes: Any) -> Verdict:
    """A pass of one bundle against another, or against its base, by a policy of `gain` and `retain`."""
    against = Model("base", "0" * 64, "base") if baseline is None else Model("b", bundle_digest(baseline))
    asked = parse_policy(policy.encode(), "policy")
    checks = [
        Check("gain", one.task, "pass", "", 0.95, 0.5, 0.45, 0.4, 0.5, one.min_gain, 100, 45) for one in asked.gain
    ]
    kept = [(one.task, -asked.margin_of(one)) for one in asked.retain]
    checks += [Check("retain", t, "pass", "", 0.5, 0.5, 0.0, m / 2, -m / 2, m, 100, 5, 5, 2) for t, m in kept]
    passed = Verdict(
        state="pass", candidate=Model("c", bundle_digest(candidate)), baseline=against, policy=policy,
        policy_digest=asked.digest, margins=asked.margins(), alpha=asked.rules.alpha, looks=asked.rules.looks,
        contexts=asked.rules.contexts, seed=0, checks=tuple(checks), questions=(), notes=(),
        made="2026-01-01T00:00:00+00:00", seconds=1.0, versions={},
    )  # fmt: skip
    return replace(passed, **changes)


def registry_of_two(folder: Path) -> tuple[ModelRegistry, str, str]:
    """A registry whose first version was the champion and whose second is."""
    first, second = bundle(folder / "first"), bundle(folder / "second", "better")
    registry = ModelRegistry.create(folder / "registry")
    one = registry.add(first)
    registry.promote(one, verdict(first, None))
    two = registry.add(second)
    registry.promote(two, verdict(second, first))
    return registry, one, two
