"""Write tensors to a safetensors file, one at a time and hashed while written, without copying what is in memory.

`safetensors.torch.save_file` writes the same format, but a hash then takes a second read of the file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch

from fastslow.core.errors import FastSlowError
from fastslow.files import atomic

# Names of the element types in the safetensors format.
KINDS = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64",
    torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL",
    torch.uint16: "U16", torch.uint32: "U32", torch.uint64: "U64", torch.complex64: "C64",
    torch.float8_e4m3fn: "F8_E4M3", torch.float8_e5m2: "F8_E5M2",
}  # fmt: skip

CHUNK = 2**23
"""Bytes between two calls of `proceed`: a few milliseconds."""


def write_tensors(
    path: Path, tensors: Mapping[str, torch.Tensor], proceed: Callable[[], None] = lambda: None
) -> dict[str, int | str]:
    """Write `tensors` to a new file, sync it to the disk, and return its length (bytes) and SHA-256.

    `proceed` is called every few megabytes and may raise. Raises OSError, and FastSlowError for an element type that
    the format does not have.
    """
    # Wide elements first, as safetensors does, so that every tensor is aligned to its element size.
    ordered = sorted(tensors.items(), key=lambda item: (-item[1].element_size(), item[0]))
    sha256, length = hashlib.sha256(), 0
    with path.open("xb", buffering=0) as file:
        for chunk in _chunks(ordered):
            proceed()
            sha256.update(chunk)
            length += len(chunk)
            while len(chunk):  # a raw file may write only a part
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
            raise FastSlowError(f"'{name}' cannot be saved: the safetensors format has no {tensor.dtype}.")
        start, end = end, end + tensor.numel() * tensor.element_size()
        entries[name] = {"dtype": KINDS[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [start, end]}
    text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text
