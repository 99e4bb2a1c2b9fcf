"""The log of a registry is appended to and never changed; a line torn by a kill did not happen."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fastslow.core.errors import BadInput
from fastslow.registry.log import ALIASES, LOG, Log


@pytest.fixture
def log(tmp_path: Path) -> Log:
    (tmp_path / LOG).touch()
    log = Log(tmp_path)
    for number in range(3):
        log.append("add", {"candidate": f"v{number}"}, {"note": "ä\ud800"})
    return log


def test_lines_are_chained_and_the_last_one_is_the_state(log: Log, tmp_path: Path) -> None:
    entries = log.entries()
    lines = [json.loads(line) for line in (tmp_path / LOG).read_text().splitlines()]
    assert [line["previous"] for line in lines] == ["", *(entry.sha256 for entry in entries[:-1])]
    assert dict(entries[-1].aliases) == json.loads((tmp_path / ALIASES).read_text())["aliases"] == {"candidate": "v2"}


def test_any_flipped_bit_of_the_log_is_noticed(log: Log, tmp_path: Path) -> None:
    whole = (tmp_path / LOG).read_bytes()
    for at in range(len(whole)):
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
    assert log.append("promote", {"champion": "v0"}, {}).number == 4
    assert [entry.event for entry in log.entries()] == ["add", "add", "add", "promote"]


def test_aliases_that_lag_behind_are_repaired(log: Log, tmp_path: Path) -> None:
    before = (tmp_path / ALIASES).read_bytes()
    log.append("promote", {"champion": "v0"}, {})
    (tmp_path / ALIASES).write_bytes(before)
    assert dict(log.entries()[-1].aliases) == {"champion": "v0"}
    log.mirror(log.entries()[-1])
    assert json.loads((tmp_path / ALIASES).read_text())["aliases"] == {"champion": "v0"}


def test_damaged_aliases_are_named_and_may_be_deleted(log: Log, tmp_path: Path) -> None:
    (tmp_path / ALIASES).write_text("{")
    with pytest.raises(BadInput, match="delete it"):
        log.entries()
    (tmp_path / ALIASES).unlink()
    assert len(log.entries()) == 3
