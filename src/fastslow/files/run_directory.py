"""The run directory: files first, every report a function of them."""

from __future__ import annotations

import json
import math
import os
import platform
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from fastslow.core.errors import BadInput
from fastslow.files import atomic, jsonl
from fastslow.files.locks import LOCK

LIBRARIES = ("fastslow", "torch", "transformers", "trl", "gepa", "accelerate", "peft", "reasoning-gym")
FILES = (
    "metrics.jsonl", "routes.jsonl", "contexts.jsonl", "rollouts.jsonl", "evals.jsonl", "answers.jsonl",
    "standings.jsonl",
)  # fmt: skip
MADE_IN = "# Made in "
# What a process killed in its first moments may leave: no reason to refuse a directory.
REMNANTS = frozenset({LOCK, "config.yaml.tmp"})


class RunDirectory:
    """One run's files. Only rank 0 writes."""

    def __init__(self, path: str | Path):
        self.path = Path(path)

    @staticmethod
    def refuse_existing(path: str | Path) -> None:
        """Raises BadInput where a run lives, where anything else does, and where nothing can be made."""
        path, other = Path(path), "choose another --output_dir"
        try:
            if (path / "config.yaml").exists():
                raise BadInput(f"'{path}' already holds a run; {other}, or delete it to start over.")
            if path.is_symlink() and not path.exists():
                raise BadInput(f"'{path}' is a link to nowhere; {other}.")
            if path.exists() and (not path.is_dir() or any(e.name not in REMNANTS for e in path.iterdir())):
                raise BadInput(f"'{path}' is not an empty directory; {other}.")
            parent = next(p for p in (path, *path.absolute().parents) if p.exists())
        except OSError as error:
            raise BadInput(f"'{path}' cannot be a run directory: {error.strerror or error}.") from error
        if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
            raise BadInput(f"cannot make a run directory '{path}': '{parent}' is not a directory one can write to.")

    @classmethod
    def create(cls, path: str | Path, config: str) -> RunDirectory:
        """Start a run whose config.yaml holds the text `config`.

        Raises BadInput where a run already lives, or where nothing can be written.
        """
        cls.refuse_existing(path)
        run = cls(path)
        try:
            run.path.mkdir(parents=True, exist_ok=True)
            # First, so that a run killed here can be started over by `fastslow resume` like any other.
            run.write_bytes("config.yaml", f"{MADE_IN}{os.getcwd()}\n{config}".encode())
            for name in FILES:
                (run.path / name).touch()
        except OSError as error:
            raise BadInput(f"cannot write to run directory '{path}': {error.strerror or error}.") from error
        return run

    @classmethod
    def open(cls, path: str | Path) -> RunDirectory:
        """A finished or running run, or a bundle's parent. Raises BadInput where there is none."""
        run = cls(path)
        if not (run.path / "config.yaml").is_file():
            raise BadInput(f"'{path}' holds no run (no config.yaml); give a directory written by 'fastslow train'.")
        return run

    def made_in(self) -> str | None:
        """Return the folder that the run was started in, where modules of the user's were found; None: unknown."""
        try:
            with (self.path / "config.yaml").open(encoding="utf-8") as file:
                line = file.readline()
        except (OSError, UnicodeDecodeError):
            return None
        return line.removeprefix(MADE_IN).rstrip("\n") if line.startswith(MADE_IN) else None

    def written_to(self) -> str | None:
        """Return the run's folder when it was made, which may have moved since; None: unknown."""
        try:
            settings = yaml.safe_load((self.path / "config.yaml").read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError):
            return None
        folder = settings.get("output_dir") if isinstance(settings, dict) else None
        return folder if isinstance(folder, str) else None

    def append(self, name: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add lines to a JSONL file."""
        jsonl.append(self.path / name, map(to_json, rows))

    def positions(self) -> dict[str, int]:
        """How long every JSONL file is: where a checkpoint stands in them, once the disk has them (`sync`)."""
        return {name: (self.path / name).stat().st_size for name in FILES}

    def sync(self) -> None:
        """Have the disk confirm the JSONL files as far as they go."""
        for name in FILES:
            atomic.sync(self.path / name)

    def rewind(self, positions: Mapping[str, int]) -> None:
        """Cut the JSONL files where a checkpoint stood in them; what came later will happen again."""
        for name in FILES:
            with (self.path / name).open("ab") as file:
                file.truncate(positions.get(name, 0))

    def read(self, name: str) -> list[dict[str, Any]]:
        """Rows of a JSONL file; none if it was never written."""
        return jsonl.read(self.path / name)

    def write_json(self, name: str, data: Mapping[str, Any]) -> None:
        self.write_bytes(name, to_json(data, indent=2))

    def write_bytes(self, name: str, content: bytes) -> None:
        """Replace a file as a whole: a reader sees the old text or the new one."""
        atomic.write_file(self.path / name, content)

    def summary(self) -> dict[str, Any]:
        path = self.path / "summary.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def starts_yet(path: str | Path) -> bool:
    """Return whether a run may still start in a folder: it is not there, or holds nothing but what a run writes
    first."""
    path = Path(path)
    try:
        return not os.path.lexists(path) or (path.is_dir() and all(e.name in REMNANTS for e in path.iterdir()))
    except OSError:
        return False


def missing_folders(path: Path) -> list[Path]:
    """Return the folders that have to be made for `path` to be one, the innermost first."""
    return [folder for folder in (path, *path.parents) if not folder.exists()]


def remove_empty(folders: Iterable[Path]) -> None:
    """Remove those of the folders that are there and empty, in this order."""
    for folder in folders:
        with suppress(OSError):  # not made, or in use by others meanwhile
            folder.rmdir()


@contextmanager
def no_new_folders(path: str | Path | None) -> Iterator[None]:
    """Remove afterwards what was made of `path` and its parents and is empty."""
    missing = missing_folders(Path(path or "."))
    try:
        yield
    finally:
        remove_empty(missing)


def to_json(data: Mapping[str, Any], indent: int | None = None) -> bytes:
    """Readable UTF-8. What model text may hold and UTF-8 may not, lone surrogates, stays as JSON's own escape."""
    return (json.dumps(clean(data), indent=indent, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace")


def clean(value: Any) -> Any:
    """JSON has no NaN or infinity: they become null rather than a file other tools refuse."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(k): clean(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [clean(v) for v in value]
    if hasattr(value, "item") and not isinstance(value, (str, bytes)):
        return clean(value.item())
    return value


def machine(device: str = "cpu") -> dict[str, Any]:
    """The kind of machine, for whoever compares seconds."""
    import torch  # seconds, which commands that only read files do without

    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8", errors="replace").splitlines() if info.exists() else []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    gpu = torch.cuda.get_device_name() if device.startswith("cuda") else None
    return {
        "cpu": model or platform.processor() or platform.machine(), "cores": os.cpu_count(),
        "threads": torch.get_num_threads(), "device": device, **({"gpu": gpu} if gpu else {}),
    }  # fmt: skip


def versions() -> dict[str, str]:
    return {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}}
