"""The log of a registry is appended to and never changed; a line torn by a kill did not happen."""

from __future__ import annotations

import io
import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from fastslow.core.errors import BadInput
from fastslow.files.jsonl import dumps
from fastslow.files.manifest import signed
from fastslow.registry.log import ALIASES, LOG, Log

FLOOR = {"most": {"alpha": 0.05}, "least": {}, "margins": {}, "prose": None, "neutral": None}
VERSIONS = [f"{number:04d}-{'0' * 12}" for number in range(1, 4)]
FIRST = {"version": VERSIONS[0]}


@pytest.fixture
def log(tmp_path: Path) -> Log:
    (tmp_path / LOG).touch()
    log = Log(tmp_path)
    for number in range(3):
        about = {"version": VERSIONS[number], "digest": "d", "from": "a", "note": "ä\ud800"}
        log.append("add", {"candidate": VERSIONS[number]}, about)
    return log


def test_lines_are_chained_and_the_last_one_is_the_state(log: Log, tmp_path: Path) -> None:
    entries = log.entries()
    lines = [json.loads(line) for line in (tmp_path / LOG).read_text().splitlines()]
    assert [line["previous"] for line in lines] == ["", *(entry.sha256 for entry in entries[:-1])]
    assert (
        dict(entries[-1].aliases)
        == json.loads((tmp_path / ALIASES).read_text())["aliases"]
        == {"candidate": VERSIONS[2]}
    )


def test_a_line_has_the_host_and_the_user_whom_no_variable_renames(log: Log, monkeypatch: Any) -> None:
    monkeypatch.setenv("LOGNAME", "somebody")
    entry = log.append("note", {}, {})
    assert (entry.by, entry.host, entry.uid) == ("somebody", socket.gethostname(), os.getuid())
    assert log.entries()[-1] == entry


def test_lines_of_an_older_version_have_neither_and_are_read(tmp_path: Path) -> None:
    chain(tmp_path, ADD)
    (entry,) = Log(tmp_path).entries()
    assert (entry.host, entry.uid) == ("", -1)


def test_any_flipped_bit_of_the_log_is_noticed(log: Log, tmp_path: Path) -> None:
    whole = (tmp_path / LOG).read_bytes()
    for at in range(0, len(whole), 3):
        changed = bytearray(whole)
        changed[at] ^= 1 << at % 8
        (tmp_path / LOG).write_bytes(bytes(changed))
        with pytest.raises(BadInput):
            log.entries()


@pytest.mark.parametrize("gone", [0, 1, 2])
def test_a_line_that_is_missing_is_noticed(gone: int, log: Log, tmp_path: Path) -> None:
    lines = (tmp_path / LOG).read_bytes().splitlines(keepends=True)
    (tmp_path / LOG).write_bytes(b"".join(line for number, line in enumerate(lines) if number != gone))
    with pytest.raises(BadInput):
        log.entries()


def test_a_torn_line_did_not_happen_and_gives_way_to_the_next(log: Log, tmp_path: Path) -> None:
    with (tmp_path / LOG).open("ab") as file:
        file.write(b'{"number": 4, "event": "promo')
    assert len(log.entries()) == 3
    assert log.append("promote", {"champion": VERSIONS[0]}, FIRST).number == 4
    assert [entry.event for entry in log.entries()] == ["add", "add", "add", "promote"]


def test_aliases_that_lag_behind_are_repaired(log: Log, tmp_path: Path) -> None:
    before = (tmp_path / ALIASES).read_bytes()
    log.append("promote", {"champion": VERSIONS[0]}, FIRST)
    (tmp_path / ALIASES).write_bytes(before)
    assert dict(log.entries()[-1].aliases) == {"champion": VERSIONS[0]}
    log.mirror(log.entries()[-1])
    assert json.loads((tmp_path / ALIASES).read_text())["aliases"] == {"champion": VERSIONS[0]}


@pytest.mark.parametrize(
    "text",
    ["{", "[]", "null", '{"aliases": {}, "line": 1e999, "sha256": ""}', '{"aliases": {}, "line": -1, "sha256": ""}',
     '{"aliases": {}, "line": %s, "sha256": ""}' % ("9" * 5000), '{"aliases": [], "line": 1, "sha256": ""}',
     "[" * 100_000, "\xff"],
)  # fmt: skip
def test_damaged_aliases_are_named_and_may_be_deleted(text: str, log: Log, tmp_path: Path) -> None:
    (tmp_path / ALIASES).write_bytes(text.encode("latin-1"))
    with pytest.raises(BadInput, match="delete it"):
        log.entries()
    (tmp_path / ALIASES).unlink()
    assert len(log.entries()) == 3


def chain(tmp_path: Path, *lines: dict[str, Any]) -> None:
    """Write a log as somebody would who renews every SHA-256."""
    written, previous = b"", ""
    for number, line in enumerate(lines, start=1):
        whole = signed({"number": number, "time": "t", "by": "me", "aliases": {}, **line, "previous": previous})
        written, previous = written + dumps(whole), whole["sha256"]
    (tmp_path / LOG).write_bytes(written)


ADD = {"event": "add", "about": {"version": VERSIONS[0], "digest": "d", "from": "runs/a"}}


@pytest.mark.parametrize(
    "line",
    [
        {"event": "add", "about": []},
        {"event": ["add"], "about": {}},
        {"event": "add", "about": {}},
        {"event": "add", "about": {**ADD["about"], "version": "../../etc"}},
        {"event": "add", "about": {**ADD["about"], "version": VERSIONS[0]}},
        {"event": "add", "about": {**ADD["about"], "version": VERSIONS[1], "from": 7}},
        {"event": "force", "about": {"version": VERSIONS[1]}},
        {"event": "promote", "about": {"version": VERSIONS[0], "floor": {**FLOOR, "most": {"alpha": "x"}}}},
        {"event": "promote", "about": {"version": VERSIONS[0], "floor": {**FLOOR, "most": {"alpha": 10**400}}}},
        {"event": "gate", "about": {"candidate": "c", "verdict": "v", "questions": "q"}},
        {"event": "note", "about": {}, "aliases": {"champion": VERSIONS[1]}},
        {"event": "note", "about": {}, "aliases": ["champion"]},
        {"event": "note", "about": {}, "time": 10**4000},
        {"event": "note", "about": {}, "more": 1},
    ],
)
def test_a_line_that_no_command_writes_is_refused_though_its_hashes_are_right(
    line: dict[str, Any], tmp_path: Path
) -> None:
    chain(tmp_path, ADD)
    assert len(Log(tmp_path).entries()) == 1
    chain(tmp_path, ADD, line)
    with pytest.raises(BadInput, match="line 2 "):
        Log(tmp_path).entries()


def test_a_line_that_could_not_be_read_again_is_not_written(log: Log) -> None:
    with pytest.raises(BadInput, match="note must be text"):
        log.append("candidate", {}, {**FIRST, "note": 7})
    assert len(log.entries()) == 3


def test_a_promotion_while_the_log_is_read_is_no_damage(log: Log, tmp_path: Path, monkeypatch: Any) -> None:
    """Whichever of the two files a reader opens first, a writer may be done before it opens the other."""
    opened: list[str] = []
    real = io.open

    def open_then_write(file: Any, *args: Any, **kwargs: Any) -> Any:
        found = real(file, *args, **kwargs)
        if Path(str(file)).parent == tmp_path and not opened:
            opened.append(Path(str(file)).name)
            content = found.read()
            Log(tmp_path).append("promote", {"champion": VERSIONS[0]}, FIRST)
            return io.StringIO(content) if isinstance(content, str) else io.BytesIO(content)
        return found

    monkeypatch.setattr(io, "open", open_then_write)
    assert len(log.entries()) in (3, 4)
    assert opened
