"""A disk under one folder that counts its writes, syncs and renames, and can fail at the k-th of a kind."""

from __future__ import annotations

import builtins
import importlib
import io
import os
import threading
from collections import Counter
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

KINDS = ("write", "sync", "rename")
# safetensors' own files do not go through Python, and its errors are its own. Where it is called by name, and how.
SAVERS = ("fastslow.topics.topics", "transformers.modeling_utils", "peft.peft_model")


class Disk:
    """`Disk(root, patch)` counts in `counts`; with `kind`, `at` and `number` that operation fails with that error.

    A write that fails has written half of it. `struck` says whether it came to that.
    """

    def __init__(self, root: Path, patch: Any, kind: str = "", at: int = 0, number: int = 0):
        self.root, self.kind, self.at, self.number = root.absolute(), kind, at, number
        self.counts: Counter[str] = Counter()
        self.struck = False
        self._lock = threading.Lock()
        for module, name in ((io, "open"), (builtins, "open")):
            patch(module, name, self._opening(getattr(module, name)))
        for name in ("rename", "replace"):
            patch(os, name, self._renaming(getattr(os, name)))
        patch(os, "fsync", self._syncing(os.fsync))
        for module in SAVERS:
            for name in ("save_file", "safe_save_file"):
                if hasattr(importlib.import_module(module), name):
                    owner = importlib.import_module(module)
                    patch(owner, name, self._saving(getattr(owner, name)))

    def __contains__(self, path: Any) -> bool:
        return isinstance(path, (str, Path)) and Path(path).absolute().is_relative_to(self.root)

    def error(self, path: Any = None) -> OSError:
        return OSError(self.number, os.strerror(self.number), str(path) if path else None)

    def fails(self, kind: str) -> bool:
        with self._lock:
            self.counts[kind] += 1
            now = kind == self.kind and self.counts[kind] == self.at
            self.struck |= now
            return now

    def _opening(self, real: Any) -> Any:
        def opened(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
            found = real(file, mode, *args, **kwargs)
            return _File(found, self, file) if set(mode) & set("wax+") and file in self else found

        return opened

    def _renaming(self, real: Any) -> Any:
        def rename(source: Any, target: Any, **kwargs: Any) -> None:
            if target in self and self.fails("rename"):
                raise self.error(target)
            real(source, target, **kwargs)

        return rename

    def _syncing(self, real: Any) -> Any:
        def fsync(descriptor: int) -> None:
            path = os.readlink(f"/proc/self/fd/{descriptor}")
            if path in self and self.fails("sync"):
                raise self.error(path)
            real(descriptor)

        return fsync

    def _saving(self, real: Any) -> Any:
        def save(tensors: Any, path: Any, *args: Any, **kwargs: Any) -> None:
            if path in self and self.fails("write"):
                Path(path).write_bytes(b"half of it")
                problem = f"I/O error: {os.strerror(self.number)} (os error {self.number})"
                raise SafetensorError(f"Error while serializing: {problem}")
            real(tensors, path, *args, **kwargs)

        return save


class _File:
    """An open file whose writes are counted, and may fail half way."""

    def __init__(self, file: Any, disk: Disk, path: Any):
        self._file, self._disk, self._path = file, disk, path

    def write(self, data: Any) -> int:
        if self._disk.fails("write"):
            self._file.write(data[: len(data) // 2])
            self._file.flush()
            raise self._disk.error(self._path)
        return self._file.write(data)

    def __enter__(self) -> _File:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def __iter__(self) -> Any:
        return iter(self._file)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)
