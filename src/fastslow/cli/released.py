"""What was gated, of a version that a verdict made the champion of a registry."""

from __future__ import annotations

import os
from pathlib import Path

from fastslow.gate.verdict import read_verdict
from fastslow.registry.registry import VERDICTS, ModelRegistry


def verdict_of(name: str) -> Path | None:
    """Return the file of the verdict by which `REGISTRY@VERSION` was last promoted.

    None for a version that never was, or by force alone, and for a run or a bundle. Raises BadInput where the registry
    or the version does not exist.
    """
    folder, at, version = name.rpartition("@")
    if not at or os.path.isdir(name):
        return None
    registry = ModelRegistry.open(folder)
    version = registry.named(version)
    promoted = [e for e in registry.entries() if e.event == "promote" and e.about["version"] == version]
    return registry.folder / VERDICTS / f"{promoted[-1].about['verdict'][:16]}.json" if promoted else None


def gated_contexts(name: str) -> str | None:
    """Return the contexts that were gated with what `name` means: `lead`, `seed`, `cluster` or `nearest`.

    `name` is what `resolve` takes, or an exported folder. None where no verdict is known. Raises BadInput as
    `verdict_of`, and where the verdict cannot be read.
    """
    from fastslow.export.release import gated_of

    verdict = verdict_of(name)
    return gated_of(name) if verdict is None else read_verdict(verdict).contexts
