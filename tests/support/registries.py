"""Registries and verdicts by hand: a registry opens no model, so that a folder with a few bytes is a bundle."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from fastslow.bundles.digest import bundle_digest
from fastslow.gate.verdict import Check, Model, Verdict
from fastslow.registry.registry import ModelRegistry

POLICY = "retain:\n- task: old\n"


def bundle(folder: Path, text: str = "weights") -> Path:
    """The smallest folder that counts as a bundle."""
    folder.mkdir(parents=True)
    (folder / "bundle.json").write_text(json.dumps({"settings": {}}))
    (folder / "model.safetensors").write_text(text)
    return folder


def verdict(candidate: Path, baseline: Path | None, /, **changes: Any) -> Verdict:
    """A pass of one bundle against another, or against its base."""
    against = Model("base", "0" * 64, "base") if baseline is None else Model("b", bundle_digest(baseline))
    passed = Verdict(
        state="pass", candidate=Model("c", bundle_digest(candidate)), baseline=against, policy=POLICY,
        policy_digest=hashlib.sha256(POLICY.encode()).hexdigest(), margins={"old": 0.05}, alpha=0.05, looks=4,
        contexts="lead", seed=0, checks=(Check("retain", "old", "pass", ""),), questions=(), notes=(),
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
