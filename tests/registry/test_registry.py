"""A registry keeps versions as they were added, and says at any time which one is the champion."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from fastslow.bundles.digest import files_of
from fastslow.core.errors import BadInput
from fastslow.registry.registry import ModelRegistry, resolve
from tests.support.registries import bundle, registry_of_two, verdict


def test_a_version_is_found_by_alias_name_and_number_and_holds_what_was_added(tmp_path: Path) -> None:
    registry = ModelRegistry.create(tmp_path / "registry")
    version = registry.add(bundle(tmp_path / "run" / "bundle"))
    for name in ("candidate", version, "1"):
        found = resolve(f"{tmp_path / 'registry'}@{name}")
        assert (found / "model.safetensors").read_text() == "weights"


def test_a_run_directory_means_its_bundle(tmp_path: Path) -> None:
    there = bundle(tmp_path / "run" / "bundle")
    assert resolve(str(tmp_path / "run")) == resolve(str(there)) == there


def test_a_folder_whose_name_has_an_at_sign_is_a_folder(tmp_path: Path) -> None:
    assert resolve(str(bundle(tmp_path / "a@b"))) == tmp_path / "a@b"


def test_a_version_with_one_changed_byte_is_not_found(tmp_path: Path) -> None:
    registry = ModelRegistry.create(tmp_path / "registry")
    weights = registry.path(registry.add(bundle(tmp_path / "b"))) / "model.safetensors"
    weights.chmod(0o644)
    weights.write_text("weighty")
    with pytest.raises(BadInput, match="SHA-256 differs"):
        resolve(f"{tmp_path / 'registry'}@candidate")
    assert "SHA-256 differs" in registry.verify()[0]


def test_the_same_bundle_is_one_version(tmp_path: Path) -> None:
    registry = ModelRegistry.create(tmp_path / "registry")
    first = registry.add(bundle(tmp_path / "a"))
    assert registry.add(bundle(tmp_path / "b", "other")) != first
    assert registry.add(tmp_path / "a") == first
    assert len(registry.versions()) == 2
    assert registry.aliases() == {"candidate": first}


def test_files_of_a_version_are_protected(tmp_path: Path) -> None:
    registry = ModelRegistry.create(tmp_path / "registry")
    folder = registry.path(registry.add(bundle(tmp_path / "a")))
    assert [path.stat().st_mode & 0o222 for path in (folder, *folder.iterdir())] == [0] * 4


def test_a_bundle_of_folders_within_folders_is_kept_whole(tmp_path: Path) -> None:
    source = bundle(tmp_path / "a")
    (source / "templates").mkdir()
    (source / "templates" / "tool.jinja").write_text("x")
    registry = ModelRegistry.create(tmp_path / "registry")
    assert (registry.verified(registry.add(source)) / "templates" / "tool.jinja").read_text() == "x"


def test_a_link_in_a_bundle_is_refused(tmp_path: Path) -> None:
    source = bundle(tmp_path / "a")
    os.symlink("/etc", source / "etc")
    registry = ModelRegistry.create(tmp_path / "registry")
    with pytest.raises(BadInput, match="not a plain file"):
        registry.add(source)
    assert registry.versions() == []


def test_contexts_of_other_weights_are_refused(tmp_path: Path) -> None:
    source = bundle(tmp_path / "a")
    (source / "population.json").write_text("{}")
    files = files_of(source)
    (source / "bundle.json").write_text(
        json.dumps({"settings": {}, "files": {k: files[k] for k in ("population.json",)}})
    )
    registry = ModelRegistry.create(tmp_path / "registry")
    registry.add(source)
    (source / "population.json").write_text('{"of": "another run"}')
    with pytest.raises(BadInput, match="do not belong together"):
        registry.add(source)


def test_champions_come_and_go_back(tmp_path: Path) -> None:
    registry, one, two = registry_of_two(tmp_path)
    assert registry.aliases() == {"champion": two, "previous": one}
    assert registry.rollback() == one
    assert registry.aliases() == {"champion": one}
    with pytest.raises(BadInput, match="no earlier champion"):
        registry.rollback()
    registry.promote(two, verdict(tmp_path / "second", tmp_path / "first"))
    assert registry.aliases() == {"champion": two, "previous": one}


def test_a_rollback_skips_what_was_rolled_back(tmp_path: Path) -> None:
    registry, one, two = registry_of_two(tmp_path)
    registry.rollback()
    three = registry.add(bundle(tmp_path / "third", "third"))
    registry.force(three, "a trial")
    assert registry.aliases()["previous"] == one
    assert registry.rollback() == one
    with pytest.raises(BadInput, match="was no champion"):
        registry.rollback(two)


def test_a_rollback_to_a_damaged_version_changes_nothing(tmp_path: Path) -> None:
    registry, one, two = registry_of_two(tmp_path)
    weights = registry.path(one) / "model.safetensors"
    weights.chmod(0o644)
    weights.write_text("weighty")
    with pytest.raises(BadInput, match="must not be used"):
        registry.rollback()
    assert registry.aliases()["champion"] == two


def test_a_forced_promotion_needs_a_reason_and_is_logged(tmp_path: Path) -> None:
    registry = ModelRegistry.create(tmp_path / "registry")
    version = registry.add(bundle(tmp_path / "a"))
    with pytest.raises(BadInput, match="needs a reason"):
        registry.force(version, " ")
    registry.force(version, "the gate is down")
    assert (registry.entries()[-1].event, registry.entries()[-1].about["reason"]) == ("force", "the gate is down")


def test_questions_are_counted_by_gate(tmp_path: Path) -> None:
    from fastslow.gate.verdict import Asked

    registry, _, _ = registry_of_two(tmp_path)
    for uses in range(3):
        assert registry.uses_of("d") == uses
        registry.record(verdict(tmp_path / "second", None, questions=(Asked("old", 4, None, "d"),)))


@pytest.mark.parametrize("name", ["champion", "previous", "7", "0009-abc", "nothing"])
def test_an_alias_or_version_that_does_not_exist_is_refused(name: str, tmp_path: Path) -> None:
    ModelRegistry.create(tmp_path / "registry")
    with pytest.raises(BadInput, match=name):
        resolve(f"{tmp_path / 'registry'}@{name}")


def test_a_folder_in_use_does_not_become_a_registry(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("mine")
    with pytest.raises(BadInput, match="not empty"):
        ModelRegistry.create(tmp_path)
    with pytest.raises(BadInput, match="not a registry"):
        ModelRegistry.open(tmp_path)
    ModelRegistry.create(tmp_path / "r")
    with pytest.raises(BadInput, match="already"):
        ModelRegistry.create(tmp_path / "r")
