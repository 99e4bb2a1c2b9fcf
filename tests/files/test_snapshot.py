"""A checkpoint knows its parts by name, and gives every part back what it had, tensors bit by bit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from fastslow.core.errors import BadInput
from fastslow.files import snapshot


class Part:
    """Holds a state, and counts nothing else."""

    def __init__(self, state: dict[str, Any], stands_still: bool = False):
        self.state = state
        self.stands_still = stands_still

    def state_dict(self) -> dict[str, Any]:
        return self.state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.state = {"number": state["number"], "tensor": state["tensor"]}


def parts(number: int = 3, stands_still: bool = False) -> dict[str, Part]:
    tensor = torch.tensor([1.0, float("nan"), -0.0])
    return {
        "a": Part({"number": number, "tensor": tensor}, stands_still),
        "b": Part({"number": 7, "tensor": tensor * 2}),
    }


def write(folder: Path, made: dict[str, Part]) -> snapshot.Standing:
    weights = {"w": torch.arange(4.0)}
    return snapshot.take(made, snapshot.states_of(made), weights, {"other.json": b"{}"}).put(folder)


def test_every_part_gets_back_what_it_had(tmp_path: Path) -> None:
    write(tmp_path, parts()).write(tmp_path, lambda: None)
    fresh = {name: Part({}) for name in ("a", "b")}
    snapshot.load(fresh, snapshot.read(tmp_path), tmp_path)
    for name, part in parts().items():
        assert fresh[name].state["number"] == part.state["number"]
        ours, theirs = fresh[name].state["tensor"], part.state["tensor"]
        assert ours.view(torch.int32).equal(theirs.view(torch.int32)), "NaN and -0.0 have bits too"
    assert (tmp_path / "other.json").read_bytes() == b"{}"


def test_tensors_of_a_part_that_may_change_are_copied_and_others_are_not(tmp_path: Path) -> None:
    for stands_still, expected in ((False, 1.0), (True, 9.0)):
        folder = tmp_path / str(stands_still)
        folder.mkdir()
        made = parts(stands_still=stands_still)
        standing = write(folder, made)
        made["a"].state["tensor"].data[0] = 9.0  # .data: torch does not count this change
        standing.write(folder, lambda: None)
        assert float(snapshot.read(folder)["a"]["tensor"][0]) == expected


def test_a_tensor_that_moves_while_it_waits_makes_no_checkpoint(tmp_path: Path) -> None:
    made = parts(stands_still=True)
    standing = write(tmp_path, made)
    made["a"].state["tensor"].add_(1.0)
    with pytest.raises(snapshot.WeightsMoved, match="a/tensor"):
        standing.write(tmp_path, lambda: None)


def test_a_missing_part_is_named(tmp_path: Path) -> None:
    write(tmp_path, parts()).write(tmp_path, lambda: None)
    with pytest.raises(BadInput, match="has no part 'c'"):
        snapshot.load({"c": Part({})}, snapshot.read(tmp_path), tmp_path)


@pytest.mark.parametrize("content", [b"", b"[1]", b'{"a": {"$": "tensor", "name": "x"}}', b"\xff"])
def test_what_no_version_wrote_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    write(tmp_path, parts()).write(tmp_path, lambda: None)
    (tmp_path / snapshot.STATE).write_bytes(content)
    with pytest.raises(BadInput) as caught:
        snapshot.load(parts(), snapshot.read(tmp_path), tmp_path)
    assert "\n" not in str(caught.value)


def test_one_part_can_be_read_without_the_tensors(tmp_path: Path) -> None:
    write(tmp_path, parts(number=5))  # tensors not written yet
    assert snapshot.read_plain(tmp_path, "a")["number"] == 5
    with pytest.raises(BadInput):
        snapshot.read_plain(tmp_path, "z")
