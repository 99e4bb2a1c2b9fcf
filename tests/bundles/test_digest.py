"""A bundle whose files are not those that its run wrote is named by the first of them, before anything is loaded."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fastslow.bundles.digest import bundle_digest, has_manifest, manifest_of, verified_files
from fastslow.cli.main import main
from fastslow.core.errors import BadInput
from fastslow.files import manifest
from tests.support.bundles import tiny_bundle

WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A bundle with its manifest."""
    bundle = tiny_bundle(tmp_path_factory.mktemp("whole") / "bundle")
    about = json.loads((bundle / "bundle.json").read_text())
    (bundle / "bundle.json").write_text(json.dumps({**about, **manifest_of(bundle)}))
    return bundle


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


DAMAGES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "cut": (lambda file: os.truncate(file, 1000), "has 1000 bytes and was written with "),
    "flipped": (flip, "is not the file that the run wrote (SHA-256 differs)"),
    "missing": (Path.unlink, "is missing"),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", [WEIGHTS, "tokenizer.json", "population.json"])
def test_whatever_differs_is_named(whole: Path, tmp_path: Path, name: str, damage: str) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(whole, bundle)
    assert bundle_digest(bundle) == bundle_digest(whole)
    change, said = DAMAGES[damage]
    change(bundle / name)
    with pytest.raises(BadInput) as error:
        verified_files(bundle)
    assert str(error.value).startswith(f"'{bundle / name}' {said}")


def test_every_command_that_takes_a_bundle_refuses_a_damaged_one_in_one_line(
    whole: Path, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, registry, policy = tmp_path / "run", str(tmp_path / "registry"), tmp_path / "gate.yaml"
    shutil.copytree(whole, run / "bundle")
    os.truncate(run / "bundle" / WEIGHTS, 1000)
    policy.write_text("retain: [{task: arithmetic}]\n")
    (run / "config.yaml").write_text("max_steps: 1\n")
    (run / "summary.json").write_text('{"status": "done"}')
    assert main(["registry", "init", registry]) == 0
    monkeypatch.setattr("fastslow.bundles.bundle.load_tokenizer", lambda source: pytest.fail("something was loaded"))
    commands = {
        "doctor": ["doctor", str(run)], "eval": ["eval", str(run), "--trust_task"],
        "add": ["registry", "add", registry, str(run)],
        "export": ["export", str(run), "--output", str(tmp_path / "out")],
        "gate": ["gate", str(run), "--baseline", str(whole), "--policy", str(policy)],
        "serve": ["serve", str(run), "--upstream", "http://127.0.0.1:1/v1", "--port", "0"],
    }  # fmt: skip
    capsys.readouterr()
    for name, argv in commands.items():
        code, said = main(argv), capsys.readouterr()
        assert code == (1 if name == "doctor" else 2), name
        assert f"{WEIGHTS}' has 1000 bytes" in " ".join((said.out + said.err).split()), name


def test_a_bundle_of_an_older_version_says_that_it_has_no_manifest(tmp_path: Path, capsys: Any) -> None:
    run = tmp_path / "run"
    tiny_bundle(run / "bundle")
    (run / "config.yaml").write_text("max_steps: 1\n")
    assert not has_manifest(run / "bundle")
    assert verified_files(run / "bundle")
    assert main(["doctor", str(run)]) == 0
    assert "no manifest" in " ".join(capsys.readouterr().out.split())


def test_a_file_that_has_not_changed_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that has just been written is read again, as a second change in the same tick would not show."""
    reads: list[str] = []
    real = manifest.hashlib.file_digest
    monkeypatch.setattr(manifest.hashlib, "file_digest", lambda file, kind: reads.append(file.name) or real(file, kind))
    file = tmp_path / "file"
    file.write_bytes(b"one")
    monkeypatch.setattr(manifest, "RACY_NS", 10**18)
    assert manifest.digest(file) == manifest.digest(file)
    assert len(reads) == 2
    monkeypatch.setattr(manifest, "RACY_NS", -(10**12))  # as if it had been written long ago
    before = {manifest.digest(file) for _ in range(3)}
    assert len(reads) == 3
    file.write_bytes(b"three")
    assert manifest.digest(file) not in before
