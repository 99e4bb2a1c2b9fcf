"""Copy a run to a second place, any that fsspec knows by a URL, so that a machine may be lost with its disk.

    config.yaml, checkpoint-N/...           as in the run directory; a checkpoint's manifest.json is written last
    logs/NAME/START-END-SHA256              the bytes of an append-only file of the run between two positions

What a checkpoint's manifest is there for is there as well: its files, and the logs up to where it stands in them. Logs
are copied by the part that is new, so that a run of days does not copy its beginning again and again.

Credentials are fsspec's and its file systems' own (environment, files of the user's); nothing here reads or writes any.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import urlsplit

from fastslow.core.errors import BadInput, in_one_line
from fastslow.core.extras import how_to_install
from fastslow.files import atomic
from fastslow.files.manifest import MANIFEST, Damaged
from fastslow.files.sealed import NAME, verify

CONFIG = "config.yaml"
TRIAL = ".fastslow-trial"
LOGS = "logs"
LOCAL = ("file", "local")
PIECE = 2**22
"""Bytes copied between two looks at whether to go on."""
PART_NAME = re.compile(r"(\d{15})-(\d{15})-([0-9a-f]{64})")
PART = 2**26
"""Bytes of a log's part at most, which is in memory while it is copied."""


def check_url(name: str, url: str) -> None:
    """Raise BadInput for what is not a URL, and for one that may hold a secret, as settings are written to files."""
    try:
        parts = urlsplit(url)
        secret = parts.username or parts.password or parts.query or parts.fragment
    except ValueError as error:
        raise BadInput(f"{name} is not a URL ({error}); write for example s3://bucket/run.") from None
    if "::" in url:  # each link would have to be looked through for secrets
        raise BadInput(f"{name} must be a single URL, not a chain of them ('::').")
    if secret:
        raise BadInput(
            f"{name} must hold no user, password or query, which may be secrets; give them to the file system by its "
            "own environment variables or files."
        )
    if not parts.scheme or "://" not in url or not (parts.netloc + parts.path).strip("/"):
        raise BadInput(f"{name} must be a URL with a place in it, such as s3://bucket/run or file:///mnt/run.")
    if parts.scheme in LOCAL and parts.netloc:
        raise BadInput(f"{name} must name a local folder by its whole path, as in file:///mnt/run.")


class SecondPlace:
    """Hold one run at a URL. Whatever the file system raises rises, but where it is opened.

    Raises BadInput for a URL that no installed file system reads.
    """

    def __init__(self, url: str):
        import fsspec

        check_url("the second place", url)
        self.url = url.rstrip("/")
        self._local = urlsplit(url).scheme in LOCAL
        try:
            self._fs, self._root = fsspec.core.url_to_fs(self.url, **({"auto_mkdir": True} if self._local else {}))
        except Exception as error:  # each file system has exceptions of its own
            mend = f" Install it: {how_to_install('s3')}." if urlsplit(url).scheme in ("s3", "s3a") else ""
            raise BadInput(f"'{url}' cannot be opened: {in_one_line(error)}.{mend}") from error

    def refuse_overlap(self, run: Path) -> None:
        """Raise BadInput where one of the two folders lies in the other: copying would overwrite what is copied."""
        if self._local:
            here, there = run.resolve(), Path(self._root).resolve()
            if here.is_relative_to(there) or there.is_relative_to(here):
                raise BadInput(f"the second place '{self.url}' and the run directory '{run}' lie in one another.")

    def try_out(self) -> None:
        """Write an empty file and delete it again."""
        self._fs.pipe_file(self._at(TRIAL), b"")
        self._fs.rm_file(self._at(TRIAL))

    # What is there

    def holds_a_run(self) -> bool:
        """Return whether a run has been copied here."""
        self._fs.invalidate_cache()
        return bool(self._fs.exists(self._at(CONFIG)))

    def steps(self) -> list[int]:
        """Return the steps of the checkpoints that were copied to their end, in order."""
        found = (NAME.fullmatch(name) for name in self._names(""))
        return sorted(int(m[1]) for m in found if m and self._fs.exists(self._at(m[0], MANIFEST)))

    def is_of(self, run: Path) -> bool:
        """Return whether the run that is here is the one in the directory `run`, by its config.yaml."""
        return self._fs.cat_file(self._at(CONFIG)) == (run / CONFIG).read_bytes()

    # Writing

    def push_config(self, run: Path) -> None:
        self._fs.pipe_file(self._at(CONFIG), (run / CONFIG).read_bytes())

    def push_logs(self, run: Path, ends: Mapping[str, int], proceed: Callable[[], None]) -> None:
        """Copy what is new of each log up to its position in `ends`."""
        for name, end in ends.items():
            start = max((part.end for part in self._parts(name)), default=0)
            for at in range(start, end, PART):
                proceed()
                with (run / name).open("rb") as file:
                    file.seek(at)
                    data = file.read(min(PART, end - at))
                self._fs.pipe_file(self._at(LOGS, name, _Part.of(at, data).name), data)

    def push_checkpoint(self, folder: Path, proceed: Callable[[], None]) -> None:
        """Copy a checkpoint, its manifest last. What an earlier attempt left of it is deleted first."""
        self.drop(folder.name)
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        manifest = folder / MANIFEST
        for path in files:
            if path != manifest:
                self.push_file(path, f"{folder.name}/{path.relative_to(folder).as_posix()}", proceed)
        proceed()
        self._fs.pipe_file(self._at(folder.name, MANIFEST), manifest.read_bytes())

    def push_file(self, path: Path, name: str, proceed: Callable[[], None] = lambda: None) -> None:
        """Copy one file piece by piece. Where that is broken off, a file system may keep the pieces under the file's
        name: only what is judged by a checksum afterwards is copied this way."""
        with path.open("rb") as file, self._fs.open(self._at(name), "wb") as out:
            while data := file.read(PIECE):
                proceed()
                out.write(data)

    def drop(self, name: str) -> None:
        """Delete a checkpoint, its manifest first, so that it is never taken for whole."""
        self._fs.invalidate_cache()
        if self._fs.exists(self._at(name, MANIFEST)):
            self._fs.rm_file(self._at(name, MANIFEST))
        if self._fs.exists(self._at(name)):
            self._fs.rm(self._at(name), recursive=True)

    def rewind(self, step: int, positions: Mapping[str, int]) -> None:
        """Bring the copy to where checkpoint `step` stood: what came later will happen again."""
        for later in [name for name in self._names("") if (m := NAME.fullmatch(name)) and int(m[1]) > step]:
            self.drop(later)
        for name in self._names(LOGS):
            for part in self._parts(name):
                if part.end > positions.get(name, part.end):
                    self._fs.rm_file(self._at(LOGS, name, part.name))

    # Reading

    def pull(self, run: Path, checkpoint: str | None = None) -> str:
        """Copy config.yaml, logs and one checkpoint, the newest by default, into the empty directory `run`, and return
        the checkpoint's name.

        Raises BadInput where there is no such checkpoint, Damaged where it is not what was written; `run` is then as it
        was.
        """
        names = [f"checkpoint-{step}" for step in self.steps()]
        if not self.holds_a_run() or not names:
            raise BadInput(f"'{self.url}' holds no checkpoint of a run.")
        name = checkpoint or names[-1]
        if name not in names:
            raise BadInput(f"'{self.url}' has no checkpoint '{name}'; there are: {', '.join(names)}.")
        aside = run / f"{name}.tmp"
        try:
            self._pull_folder(name, aside)
            self._pull_logs(run)
            # The folder takes its own name last but one, and config.yaml, by which a directory is a run, last.
            aside.rename(run / name)
            self._verify(run / name, names)
            (run / f"{CONFIG}.tmp").write_bytes(self._fs.cat_file(self._at(CONFIG)))
            (run / f"{CONFIG}.tmp").rename(run / CONFIG)
        except BaseException:
            for entry in run.iterdir():
                if entry.name != ".lock":
                    atomic.remove(entry)
            raise
        return name

    def _verify(self, folder: Path, names: list[str]) -> None:
        try:
            verify(folder)
        except Damaged as damage:
            before = [name for name in names if int(name.rpartition("-")[2]) < int(folder.name.rpartition("-")[2])]
            mend = f" The one before: --checkpoint {before[-1]}." if before else ""
            raise Damaged(f"At '{self.url}': {damage}{mend}") from None

    def _pull_folder(self, name: str, target: Path) -> None:
        target.mkdir(parents=True)
        root = self._at(name)
        for path in self._fs.find(root):
            relative = PurePosixPath(path[len(root) :].lstrip("/"))
            if not relative.parts or ".." in relative.parts:  # a store of keys may have any
                raise Damaged(f"At '{self.url}': {name} has a file outside of its folder.")
            local = target / relative
            local.parent.mkdir(parents=True, exist_ok=True)
            self._fs.get_file(path, str(local))

    def _pull_logs(self, run: Path) -> None:
        for name in self._names(LOGS):
            if name == ".." or (run / name).exists():
                raise Damaged(f"At '{self.url}': '{name}' is no log of a run.")
            with (run / name).open("wb") as file:
                for part in self._parts(name):
                    if part.start != file.tell():
                        break  # a part was lost: what follows cannot be placed; the checkpoint's check says so
                    data = self._fs.cat_file(self._at(LOGS, name, part.name))
                    if _Part.of(part.start, data) != part:
                        raise Damaged(f"At '{self.url}': {name} does not hold what was written (SHA-256 differs).")
                    file.write(data)

    # Names

    def _at(self, *parts: str) -> str:
        return "/".join((self._root, *parts))

    def _names(self, folder: str) -> list[str]:
        """Return the names in a folder, none where there is none."""
        self._fs.invalidate_cache()
        with contextlib.suppress(FileNotFoundError):
            paths: Iterable[str] = self._fs.ls(self._at(folder) if folder else self._root, detail=False)
            return sorted({path.rstrip("/").rpartition("/")[2] for path in paths})
        return []

    def _parts(self, name: str) -> list[_Part]:
        """Return the parts of a log, in order. One of another length was broken off, and is none."""
        self._fs.invalidate_cache()
        found: list[_Part] = []
        with contextlib.suppress(FileNotFoundError):
            for entry in self._fs.ls(self._at(LOGS, name), detail=True):
                match = PART_NAME.fullmatch(entry["name"].rpartition("/")[2])
                if match and entry["size"] == int(match[2]) - int(match[1]):
                    found.append(_Part(int(match[1]), int(match[2]), match[3]))
        return sorted(found)


class _Part(NamedTuple):
    """Bytes of a log from `start` to before `end`, and their SHA-256."""

    start: int
    end: int
    sha256: str

    @classmethod
    def of(cls, start: int, data: bytes) -> _Part:
        return cls(start, start + len(data), hashlib.sha256(data).hexdigest())

    @property
    def name(self) -> str:
        return f"{self.start:015d}-{self.end:015d}-{self.sha256}"
