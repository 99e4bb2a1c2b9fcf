"""A registry keeps versions as they were added, and says at any time which one is the champion."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fastslow.bundles.digest import files_of
from fastslow.core.errors import BadInput
from fastslow.files.locks import alone_in
from fastslow.gate.floor import floor_of
from fastslow.gate.policy import parse_policy
from fastslow.registry import versions
from fastslow.registry.log import LOG
from fastslow.registry.registry import ModelRegistry, resolve
from tests.support.registries import POLICY, bundle, registry_of_two, verdict


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
    registry.promote(two, verdict(tmp_path / "second", tmp_path / "first", made=now()))
    assert registry.aliases() == {"champion": two, "previous": one}


def test_a_promotion_that_is_given_again_does_not_undo_a_rollback(tmp_path: Path) -> None:
    """A verdict that the log names before the rollback is old whatever time it says, any other by its time."""
    registry, one, two = registry_of_two(tmp_path)
    made = now()
    used = verdict(tmp_path / "second", tmp_path / "first", made=made)
    registry.record(used)
    registry.rollback()
    for old in (used, verdict(tmp_path / "second", tmp_path / "first"), replace(used, made="soon", seconds=2.0)):
        with pytest.raises(BadInput, match=r"rolled back from at .* \(line 7 of the log\), after this verdict was"):
            registry.promote(two, old)
        assert registry.aliases()["champion"] == one
    registry.force(two, "the phone app is faster now")
    assert registry.aliases()["champion"] == two


def test_a_version_that_a_rollback_passed_over_needs_a_later_verdict_as_well(tmp_path: Path) -> None:
    registry, one, two = registry_of_two(tmp_path)
    registry.force(registry.add(bundle(tmp_path / "third", "third")), "a trial")
    registry.rollback(one)
    with pytest.raises(BadInput, match="gate it again against the present champion"):
        registry.promote(two, verdict(tmp_path / "second", tmp_path / "first"))
    registry.promote(two, verdict(tmp_path / "second", tmp_path / "first", made=now()))


@pytest.mark.parametrize("back", ["force", "verdict", "force over another"])
def test_a_promotion_that_is_given_again_does_not_undo_a_way_back_by_a_promotion(back: str, tmp_path: Path) -> None:
    """As after a rollback: whichever command made an earlier champion the champion again, somebody had a reason."""
    registry, one, two = registry_of_two(tmp_path)
    used = verdict(tmp_path / "second", tmp_path / "first")
    with pytest.raises(BadInput, match="not with the present champion"):
        registry.promote(two, used)
    assert registry.aliases()["champion"] == two, "given again at once, it changes nothing"
    if back == "force over another":
        registry.force(registry.add(bundle(tmp_path / "third", "third")), "a trial")
    if back == "verdict":
        registry.promote(one, verdict(tmp_path / "first", tmp_path / "second", made=now()))
    else:
        registry.force(one, "the new one is slow")
    line = registry.entries()[-1].number
    for old in (used, replace(used, seed=1), replace(used, made="soon")):
        with pytest.raises(BadInput, match=rf"gave way to an earlier champion at .* \(line {line} of the log\), after"):
            registry.promote(two, old)
        assert registry.aliases()["champion"] == one
    registry.promote(two, verdict(tmp_path / "second", tmp_path / "first", made=now()))
    assert (registry.aliases()["champion"], registry.rollback()) == (two, one)


def test_a_forced_way_back_can_itself_be_rolled_back(tmp_path: Path) -> None:
    registry, one, two = registry_of_two(tmp_path)
    registry.force(one, "the new one is slow")
    assert registry.rollback() == two
    with pytest.raises(BadInput, match="was rolled back from at"):
        registry.promote(one, verdict(tmp_path / "first", tmp_path / "second"))


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def test_a_rollback_skips_what_was_rolled_back(tmp_path: Path) -> None:
    registry, one, _ = registry_of_two(tmp_path)
    registry.rollback()
    three = registry.add(bundle(tmp_path / "third", "third"))
    registry.force(three, "a trial")
    assert registry.aliases()["previous"] == one
    assert registry.rollback() == one


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


def test_a_rollback_that_is_refused_says_why(tmp_path: Path) -> None:
    registry, one, two = registry_of_two(tmp_path)
    three = registry.add(bundle(tmp_path / "third", "third"))
    with pytest.raises(BadInput, match=f"'{three}' never was the champion"):
        registry.rollback("3")
    with pytest.raises(BadInput, match=f"'{two}' is the champion already"):
        registry.rollback(two)
    registry.force(three, "a trial")
    registry.rollback(one, reason="too\x1b[2Jslow")
    with pytest.raises(BadInput, match=r"rolled back from \(line 8 of the log: too.\[2Jslow\): gate it"):
        registry.rollback(three)
    with pytest.raises(BadInput, match="passed over it: gate it"):
        registry.rollback(two)


def test_a_forced_champion_keeps_what_policies_have_promised(tmp_path: Path) -> None:
    registry, _, _ = registry_of_two(tmp_path)
    floor = registry.floor()
    registry.force(registry.add(bundle(tmp_path / "third", "third")), "a trial")
    assert registry.floor() == floor == floor_of(parse_policy(POLICY.encode(), "policy"))
    fourth = registry.add(bundle(tmp_path / "fourth", "fourth"))
    with pytest.raises(BadInput, match="no margin for 'old'"):
        registry.promote(fourth, verdict(tmp_path / "fourth", tmp_path / "third", "retain:\n- task: new\n"))


def older_log(registry: ModelRegistry, lines: int) -> bytes:
    """Put a log back that ends after so many lines; returns the newer one."""
    newer = (registry.folder / LOG).read_bytes()
    (registry.folder / LOG).write_bytes(b"".join(newer.splitlines(keepends=True)[:lines]))
    (registry.folder / "aliases.json").unlink()
    return newer


def test_versions_that_an_older_log_does_not_name_are_kept(tmp_path: Path) -> None:
    registry, one, two = registry_of_two(tmp_path)
    newer = older_log(registry, 3)
    assert registry.versions() == [one]
    other = registry.add(bundle(tmp_path / "other", "other"))
    assert other.startswith("0003-"), "a number of its own, as 0002 is on the disk"
    assert f"the log does not name versions/{two}" in registry.verify()[0]
    (registry.folder / LOG).write_bytes(newer)
    (registry.folder / "aliases.json").unlink()
    assert registry.verified("champion").name == two


def test_a_bundle_that_lies_there_whole_is_taken_in_under_its_name(tmp_path: Path) -> None:
    registry, _, two = registry_of_two(tmp_path)
    older_log(registry, 3)
    assert registry.add(tmp_path / "second") == two
    assert registry.versions()[-1] == two


def test_only_temporary_names_of_its_own_are_swept(tmp_path: Path) -> None:
    registry, one, two = registry_of_two(tmp_path)
    folder = registry.folder / "versions"
    ours = [f"0003-{'a' * 12}.tmp", f"0003-{'b' * 12}.old.tmp"]
    foreign = ["notes", "0003-abc.tmp", "backup.tmp", f"0003-{'c' * 12}", f"0003-{'c' * 12}.old", ".tmp"]
    for name in (*ours, *foreign):
        (folder / name / "within").mkdir(parents=True)
    assert len([p for p in registry.verify() if "versions/" in p]) == len(foreign)
    registry.rollback()
    assert sorted(os.listdir(folder)) == sorted([one, two, *foreign])


EXTRA = {
    "verdict changed": (lambda r, v: v.write_text(v.read_text().replace("pass", "fail", 1)), "SHA-256 differs"),
    "verdict no JSON": (lambda r, v: v.write_bytes(b"\xff["), "SHA-256 differs"),
    "verdict missing": (lambda r, v: v.unlink(), "names, is missing"),
    "verdict extra": (lambda r, v: (v.parent / "x.json").write_text("{}"), "does not name verdicts/x.json"),
    "verdict of nobody": (lambda r, v: (v.parent / f"{'a' * 16}.json").write_text("{}"), "does not name verdicts/aaa"),
    "aliases missing": (lambda r, v: (r / "aliases.json").unlink(), "aliases.json is missing"),
    "other aliases": (
        lambda r, v: (r / "aliases.json").write_text((r / "aliases.json").read_text().replace("0002", "0001", 1)),
        "aliases.json says something else than line 5",
    ),
    "file extra": (lambda r, v: (r / "no\x1btes").touch(), "does not belong to the registry"),
    "version extra": (lambda r, v: (r / "versions" / "mine").mkdir(), "does not name versions/mine"),
    "version missing": (lambda r, v: (r / "versions" / next(iter(os.listdir(r / "versions")))).rename(r.parent / "x"),
                        "it is not a folder"),
}  # fmt: skip


@pytest.mark.parametrize("name", EXTRA)
def test_verify_names_whatever_is_missing_changed_or_too_many(name: str, tmp_path: Path) -> None:
    registry, _, _ = registry_of_two(tmp_path)
    assert registry.verify() == []
    change, words = EXTRA[name]
    change(registry.folder, next((registry.folder / "verdicts").iterdir()))
    (problem,) = registry.verify()
    assert words in problem
    assert problem.isprintable()


def test_a_version_that_is_added_while_others_are_verified_is_no_problem(tmp_path: Path, monkeypatch: Any) -> None:
    registry, _, _ = registry_of_two(tmp_path)
    late, real = [bundle(tmp_path / "late", "late")], versions.verify

    def add_then_verify(folder: Path) -> Any:
        if late:
            registry.add(late.pop())
        return real(folder)

    monkeypatch.setattr(versions, "verify", add_then_verify)
    assert registry.verify() == []


def test_a_command_that_writes_while_something_is_wrong_is_named(tmp_path: Path) -> None:
    registry, _, _ = registry_of_two(tmp_path)
    (registry.folder / "x").touch()
    with alone_in(registry.folder):
        assert "is being worked on by process" in registry.verify()[-1]


def test_temporary_files_of_a_kill_are_no_damage(tmp_path: Path) -> None:
    registry, _, _ = registry_of_two(tmp_path)
    for name in ("aliases.json.tmp", f"verdicts/{'a' * 16}.json.tmp", f"versions/0003-{'a' * 12}.tmp"):
        (registry.folder / name).touch()
    assert registry.verify() == []


def test_an_init_that_was_cut_off_is_no_registry_and_can_be_given_again(tmp_path: Path) -> None:
    folder = tmp_path / "registry"
    for torn in (b"", b'{"number": 1, "ev'):
        folder.mkdir(exist_ok=True)
        (folder / LOG).write_bytes(torn)
        with pytest.raises(BadInput, match="not finished"):
            ModelRegistry.open(folder).add(bundle(tmp_path / f"b{len(torn)}"))
    assert ModelRegistry.create(folder, {"policy": "p"}).entries()[0].about == {"policy": "p"}
