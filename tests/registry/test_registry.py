"""A registry keeps versions as they were added, and says at any time which one is the champion."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fastslow.core.errors import BadInput
from fastslow.registry.registry import ModelRegistry, resolve


def bundle(folder: Path, text: str = "weights") -> Path:
    """The smallest folder that counts as a bundle: a registry opens no model."""
    folder.mkdir(parents=True)
    (folder / "bundle.json").write_text(json.dumps({"settings": {}}))
    (folder / "model.safetensors").write_text(text)
    return folder


def test_a_version_is_found_by_alias_name_and_number_and_holds_what_was_added(tmp_path: Path) -> None:
    registry = ModelRegistry.create(tmp_path / "registry")
    version = registry.add(bundle(tmp_path / "run" / "bundle"))
    for name in ("candidate", version, "1"):
        found = resolve(f"{tmp_path / 'registry'}@{name}")
        assert (found / "model.safetensors").read_text() == "weights"


def test_a_run_directory_means_its_bundle(tmp_path: Path) -> None:
    there = bundle(tmp_path / "run" / "bundle")
    assert resolve(str(tmp_path / "run")) == resolve(str(there)) == there


def test_a_version_with_one_changed_byte_is_not_found(tmp_path: Path) -> None:
    registry = ModelRegistry.create(tmp_path / "registry")
    weights = registry.path(registry.add(bundle(tmp_path / "b"))) / "model.safetensors"
    weights.chmod(0o644)
    weights.write_text("weighty")
    with pytest.raises(BadInput, match="SHA-256 differs"):
        resolve(f"{tmp_path / 'registry'}@candidate")


def test_the_same_bundle_is_one_version(tmp_path: Path) -> None:
    registry = ModelRegistry.create(tmp_path / "registry")
    first = registry.add(bundle(tmp_path / "a"))
    assert registry.add(bundle(tmp_path / "b", "other")) != first
    assert registry.add(tmp_path / "a") == first
    assert len(registry.versions()) == 2
    assert registry.aliases() == {"candidate": first}
