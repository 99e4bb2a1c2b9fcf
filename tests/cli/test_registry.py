"""`fastslow registry` says in one line each what it did, whatever words its files hold."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from fastslow.cli.main import main
from fastslow.files.jsonl import dumps
from tests.support.registries import bundle, registry_of_two, verdict

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


def test_a_promotion_tells_of_earlier_refusals_and_of_the_verdicts_notes(tmp_path: Path, capsys: Any) -> None:
    registry, _, _ = registry_of_two(tmp_path)
    third = bundle(tmp_path / "third", "best")
    version = registry.add(third)
    promote = ["registry", "promote", str(registry.folder), version, "--verdict"]
    cases: dict[str, dict[str, Any]] = {"no": {"state": "undecided"}, "yes": {"notes": ("few questions",)}}
    for name, changes in cases.items():
        (tmp_path / name).write_bytes(dumps(verdict(third, tmp_path / "second", **changes).to_json()))
    assert main([*promote, str(tmp_path / "no")]) == 2
    capsys.readouterr()
    assert main([*promote, str(tmp_path / "yes")]) == 0
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith(f"note: promotions of {version} were refused 1 time before, last in line ")
    assert said[0].endswith("the verdict is 'undecided', not 'pass'")
    assert said[1] == "note: few questions"


def test_every_refused_promotion_is_a_line_of_the_log(tmp_path: Path, capsys: Any) -> None:
    registry, one, two = registry_of_two(tmp_path)
    forged = tmp_path / "v.json"
    forged.write_text(dumps(verdict(tmp_path / "first", tmp_path / "second").to_json()).decode().replace("0.5", "0.9"))
    whole = tmp_path / "whole.json"
    whole.write_bytes(dumps(verdict(tmp_path / "first", tmp_path / "second").to_json()))
    commands = {
        "SHA-256 differs": (one, "--verdict", str(forged)),
        "cannot be read": (one, "--verdict", str(tmp_path / "nowhere")),
        "needs the verdict": (one,),
        "no version or alias": ("9", "--verdict", str(whole)),
        "policy": (one, "--verdict", str(whole), "--policy", str(tmp_path / "nowhere")),
        "needs a reason": (one, "--force"),
        "is the champion already": (two, "--force", "--reason", "twice"),
    }
    for words, (version, *flags) in commands.items():
        before = len(registry.entries())
        assert main(["registry", "promote", str(registry.folder), version, *flags]) == 2
        assert words in capsys.readouterr().err
        last = registry.entries()[-1]
        assert (last.number, last.event) == (before + 1, "refuse"), words
        assert words in last.about["reason"]
        assert last.about.get("version", last.about.get("asked")) == version
    assert registry.verify() == []
    assert main(["registry", "show", str(registry.folder)]) == 0
    assert "refuse 9: " in capsys.readouterr().out
