"""Decide which files the sandboxed processes see: the interpreter's, /dev/null, and a small /tmp."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.machinery
import os
import sys
from collections.abc import Iterable

from . import kernel
from .identity import NOBODY

# Public data that `zoneinfo` reads; it belongs to the standard library in all but place.
ZONES = "/usr/share/zoneinfo"
WRITABLE = "/tmp"
NULL = "/dev/null"

# Any folder will do to mount the new root on: what it holds appears again once the old root has moved aside.
_STAGE = "/tmp"
_OLD = "/.old"

# Modules that lean on system libraries. Loading those now spares the sandbox the machine's library folders: the loader
# knows a library by name once it is there.
_LINKED = ("_ssl", "_hashlib", "_sqlite3", "_lzma", "_bz2", "zlib", "_ctypes", "_uuid", "_decimal", "pyexpat", "_zstd")
# For threads that end early; then for packages: C++, and what was once apart from the C library.
_RUNTIMES = ("libgcc_s.so.1",)
_PACKAGE_RUNTIMES = ("libstdc++.so.6", "libpthread.so.0", "libdl.so.2", "librt.so.1", "libutil.so.1")


def standard_library() -> list[str]:
    """Return where the interpreter keeps the standard library: folders, and a zip file if it has one."""
    home = os.path.dirname(os.__file__)
    entries = [home, *(path for path in sys.path if os.path.basename(path) == "lib-dynload" or path.endswith(".zip"))]
    return [path for path in dict.fromkeys(entries) if os.path.exists(path)]


def load_system_libraries(packages: bool) -> None:
    specs = (importlib.machinery.PathFinder.find_spec(name) for name in _LINKED)
    paths = [spec.origin for spec in specs if spec and spec.origin and spec.origin.endswith(".so")]
    for path in (*paths, *_RUNTIMES, *(_PACKAGE_RUNTIMES if packages else ())):
        # A library that is missing here makes `import` fail inside, as it would outside.
        with contextlib.suppress(OSError):
            ctypes.CDLL(path)


def enter(visible: list[str], disk: int) -> None:
    """Make a root of `visible` (read-only, at their own paths) and a /tmp of `disk` bytes, and hide the rest."""
    sources = {path: os.path.realpath(path) for path in dict.fromkeys([*visible, ZONES, NULL]) if os.path.exists(path)}
    kernel.mount(None, "/", None, kernel.MS_REC | kernel.MS_PRIVATE)
    _memory(_STAGE, "size=1m,nr_inodes=4k,mode=0755", 0)
    os.mkdir(_STAGE + _OLD)
    kernel.pivot_root(_STAGE, _STAGE + _OLD)
    os.chdir("/")
    # Before what is visible is put in place: an environment below /tmp would vanish under it.
    os.makedirs(WRITABLE, exist_ok=True)
    _memory(WRITABLE, f"size={disk},nr_inodes=4k,mode=0700,uid={NOBODY},gid={NOBODY}", kernel.MS_NOEXEC)
    covers = []
    for target, source in sources.items():
        if _inside(target, sources) and not _inside(target, covers):
            continue  # already visible through the folder above it
        _bind(_OLD + source, target)
        # Third-party packages that live below the standard library are not the interpreter's own.
        for name in ("site-packages", "dist-packages"):
            if os.path.isdir(cover := os.path.join(target, name)):
                _memory(cover, "size=1m,nr_inodes=4k,mode=0755", 0)
                covers.append(cover)
    kernel.unmount(_OLD)
    os.rmdir(_OLD)
    for place in ("/", *covers):
        _read_only(place)
    os.chdir(WRITABLE)
    _verify(sources)


def _inside(path: str, folders: Iterable[str]) -> bool:
    return any(path.startswith(folder + "/") for folder in folders)


def _memory(target: str, options: str, flags: int) -> None:
    kernel.mount("tmpfs", target, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV | flags, options)


def _bind(source: str, target: str) -> None:
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
    kernel.mount(source, target, None, kernel.MS_BIND)
    if target != NULL:  # a device cannot be opened on a mount without devices, and writing to this one changes nothing
        _read_only(target)


def _read_only(target: str) -> None:
    # A flag that the machine's own mount has must be named again, or an ordinary user may not remount.
    kept = kernel.MS_NOEXEC if os.statvfs(target).f_flag & os.ST_NOEXEC else 0
    flags = kernel.MS_REMOUNT | kernel.MS_BIND | kernel.MS_RDONLY | kernel.MS_NOSUID | kernel.MS_NODEV | kept
    kernel.mount(None, target, None, flags)


def _verify(sources: dict[str, str]) -> None:
    """Check the new root by looking: it holds what was put there, and only /tmp can be written."""
    expected = {path.split("/")[1] for path in (*sources, WRITABLE)}
    if set(os.listdir("/")) != expected:
        raise PermissionError(f"the new root holds {sorted(os.listdir('/'))} instead of {sorted(expected)}")
    writable = [path for path in ("/", *sources) if path != NULL and not os.statvfs(path).f_flag & os.ST_RDONLY]
    if writable:
        raise PermissionError(f"{writable} should be read-only")
