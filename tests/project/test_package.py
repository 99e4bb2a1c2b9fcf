"""The wheel that is built from these sources holds all that an installation needs, and works without them."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_every_file_of_the_package_and_nothing_else(wheel: Path) -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "src/fastslow"], cwd=ROOT, check=True,
        capture_output=True, text=True,
    ).stdout.split()  # fmt: skip
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert held == {name.removeprefix("src/") for name in tracked if (ROOT / name).exists()}
    assert {name.rpartition(".dist-info/")[2] for name in zipfile.ZipFile(wheel).namelist()} >= {"licenses/LICENSE"}


def test_what_the_wheel_holds_runs_from_anywhere(wheel: Path, tmp_path: Path) -> None:
    """Drafting a task reads files that are no modules of Python."""
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    rows = (f'{{"question": "What is {i} + {i}?", "answer": {2 * i}}}\n' for i in range(9))
    (tmp_path / "sums.jsonl").write_text("".join(rows))
    run = "import fastslow.cli.main as cli, sys; print(cli.__file__); sys.exit(cli.main(sys.argv[1:]))"
    command = [sys.executable, "-c", run, "tasks", "new", "sums", "--from", "sums.jsonl"]
    where = {"cwd": tmp_path, "env": {**os.environ, "PYTHONPATH": str(tmp_path / "site")}}
    drafted = subprocess.run(command, **where, capture_output=True, text=True, check=False)
    assert drafted.returncode == 0, drafted.stderr
    assert drafted.stdout.startswith(str(tmp_path / "site"))
    assert (tmp_path / "sums.py").exists()


def test_versions_agree() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert cited["version"] == VERSION
    assert f"## [{VERSION}] - {cited['date-released']}" in (ROOT / "CHANGELOG.md").read_text()
