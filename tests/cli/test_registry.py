"""`fastslow registry` says in one line each what it did, whatever words its files hold."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from fastslow.cli.main import main
from tests.support.registries import bundle, registry_of_two

HOSTILE = (
    "fine\x1b[2J\x1b]0;owned\x07\n   9  2026-01-01  root  promote 0009-ffffffffffff: pass\r"
    "\u202etxt.exe\u2028[red]x[/red]"
)


def obeyed(text: str) -> list[str]:
    """The characters of what was printed that are no text."""
    return [c for c in text if not c.isprintable() and c != "\n"]


def test_words_of_files_stay_in_their_line_and_the_terminal_does_not_obey_them(tmp_path: Path, capsys: Any) -> None:
    registry, one, _ = registry_of_two(tmp_path)
    third = bundle(tmp_path / "a\x1b[31m\u202eb", "third")
    where = str(registry.folder)
    registry.add(third, note=HOSTILE)
    registry.force("3", HOSTILE)
    registry.rollback(one, reason=HOSTILE)
    capsys.readouterr()
    for command, lines in (("list", 3), ("show", len(registry.entries()) - 1)):  # the first line names no version
        assert main(["registry", command, where]) == 0
        said = capsys.readouterr().out
        assert not obeyed(said)
        assert len(re.findall(r"\b000[123]-", said)) >= lines
        assert not [line for line in said.splitlines() if line.lstrip().startswith("9  2026")]
    assert "[red]x[/red]" in said
    assert main(["registry", "rollback", where, "--to", "3"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert not obeyed(error)


def test_json_has_every_word_exactly(tmp_path: Path, capsys: Any) -> None:
    registry, _, _ = registry_of_two(tmp_path)
    registry.force("1", HOSTILE)
    third = bundle(tmp_path / "a\x1b[31mb", "third")
    registry.add(third)
    capsys.readouterr()
    assert main(["registry", "show", str(registry.folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[-2]["about"]["reason"] == HOSTILE
    assert main(["registry", "list", str(registry.folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[-1]["from"] == str(third)


@pytest.mark.parametrize("name", ["\x1b[2J", "a\nb"])
def test_problems_and_errors_that_name_a_file_stay_in_their_line(name: str, tmp_path: Path, capsys: Any) -> None:
    registry, one, _ = registry_of_two(tmp_path)
    registry.path(one).chmod(0o755)
    (registry.path(one) / name).touch()
    (registry.folder / name).touch()
    assert main(["registry", "verify", str(registry.folder)]) == 1
    assert main(["registry", "rollback", str(registry.folder)]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 3
    assert not obeyed(said)
