"""Tensors to a safetensors file, one at a time and hashed on the way: nothing is copied that is already in memory.

`safetensors.torch.save_file` writes as well, but whoever wants the hash then has to read the file again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch

from fastslow.core.errors import FastSlowError
from fastslow.files import atomic

# The format's own words for what a tensor holds.
KINDS = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64",
    torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL",
    torch.uint16: "U16", torch.uint32: "U32", torch.uint64: "U64", torch.complex64: "C64",
    torch.float8_e4m3fn: "F8_E4M3", torch.float8_e5m2: "F8_E5M2",
}  # fmt: skip

CHUNK = 2**23
"""Bytes between two looks at whether to go on: a few milliseconds' worth."""


def write_tensors(
    path: Path, tensors: Mapping[str, torch.Tensor], proceed: Callable[[], None] = lambda: None
) -> dict[str, int | str]:
    """Write `tensors` to a new file, have the disk confirm it, and return its length and SHA-256.

    `proceed` is called every few megabytes and may raise. Raises OSError, and FastSlowError for a kind of tensor that
    the format does not know.
    """
    # Wide elements first, as safetensors does: each tensor then starts where its elements may.
    ordered = sorted(tensors.items(), key=lambda item: (-item[1].element_size(), item[0]))
    sha256, length = hashlib.sha256(), 0
    with path.open("xb", buffering=0) as file:
        for chunk in _chunks(ordered):
            proceed()
            sha256.update(chunk)
            length += len(chunk)
            while len(chunk):  # a raw file may take a part only
                chunk = chunk[file.write(chunk) :]
        atomic.sync(file.fileno())
    return {"bytes": length, "sha256": sha256.hexdigest()}


def _chunks(ordered: list[tuple[str, torch.Tensor]]) -> Iterator[memoryview]:
    yield memoryview(_header(ordered))
    for _, tensor in ordered:
        flat = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        content = flat.numpy().data
        for start in range(0, len(content), CHUNK):
            yield content[start : start + CHUNK]


def _header(ordered: list[tuple[str, torch.Tensor]]) -> bytes:
    entries, end = {}, 0
    for name, tensor in ordered:
        if tensor.dtype not in KINDS:
            raise FastSlowError(f"'{name}' cannot be saved: the safetensors format knows no {tensor.dtype}.")
        start, end = end, end + tensor.numel() * tensor.element_size()
        entries[name] = {"dtype": KINDS[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [start, end]}
    text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text
