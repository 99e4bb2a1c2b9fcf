"""Files of tensors are safetensors files, with the hash and length that were reported."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from fastslow.core.errors import FastSlowError
from fastslow.files.tensors import write_tensors


def test_what_is_written_is_what_safetensors_reads(tmp_path: Path) -> None:
    tensors = {"a": torch.randn(3, 5), "b": torch.arange(7, dtype=torch.uint8), "c": torch.randn(2, 3).t()}
    write_tensors(tmp_path / "x.safetensors", tensors)
    back = load_file(tmp_path / "x.safetensors")
    assert back.keys() == tensors.keys()
    assert all(torch.equal(back[name], tensor) for name, tensor in tensors.items())


def test_the_reported_hash_and_length_are_those_of_the_file(tmp_path: Path) -> None:
    written = write_tensors(tmp_path / "x.safetensors", {"a": torch.randn(10)})
    content = (tmp_path / "x.safetensors").read_bytes()
    assert written == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def test_a_kind_that_the_format_lacks_is_named(tmp_path: Path) -> None:
    with pytest.raises(FastSlowError, match="'a' cannot be saved"):
        write_tensors(tmp_path / "x.safetensors", {"a": torch.zeros(2, dtype=torch.complex128)})


def test_writing_can_be_stopped_between_two_chunks(tmp_path: Path) -> None:
    calls = []

    def stop() -> None:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_tensors(tmp_path / "x.safetensors", {"a": torch.zeros(10)}, stop)
