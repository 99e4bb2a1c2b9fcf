"""Keep released models in a folder: add a version, make it the champion, go back to the one before.

Everything is a file. Versions never change; the log says what happened; nothing else is kept. Every writer holds the
lock of the folder, and a process that is killed at any moment leaves the champion that was there before, or the new
one, whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastslow.bundles.digest import bundle_digest, folder_of
from fastslow.core.errors import BadInput
from fastslow.core.registry import nearest
from fastslow.files import atomic, locks
from fastslow.files.jsonl import dumps
from fastslow.files.manifest import Damaged
from fastslow.gate.verdict import Verdict
from fastslow.registry import versions
from fastslow.registry.log import LOG, Entry, Log
from fastslow.registry.promotion import refusal

CHAMPION, CANDIDATE, PREVIOUS = "champion", "candidate", "previous"
VERDICTS = "verdicts"
ALIASES = (CHAMPION, CANDIDATE, PREVIOUS)


def resolve(name: str) -> Path:
    """Return the bundle folder that `name` means, ready for `open_bundle`.

    `name` is a run directory, a bundle folder, or `REGISTRY@champion` (or another alias or version). A version of a
    registry is verified byte by byte first. Raises BadInput for what does not exist or is damaged.
    """
    folder, at, version = name.rpartition("@")
    if not at or Path(name).is_dir():
        return folder_of(name)
    return ModelRegistry.open(folder).verified(version)


class ModelRegistry:
    """The registry in `folder`."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._log = Log(folder)

    @classmethod
    def create(cls, folder: str | Path, about: Mapping[str, Any] | None = None) -> ModelRegistry:
        """Make an empty registry; `about` goes into the first line of its log.

        Raises BadInput where the folder holds anything already.
        """
        path = Path(folder)
        if (path / LOG).is_file() and (path / LOG).read_bytes().count(b"\n"):
            raise BadInput(f"'{folder}' already is a registry.")
        if path.is_dir() and any(entry.name not in (LOG, locks.LOCK) for entry in path.iterdir()):
            raise BadInput(f"'{folder}' is not empty; give a new folder.")
        with locks.alone_in(path):
            (path / LOG).touch()
            registry = cls(path)
            registry._log.append("init", {}, about or {})
        return registry

    @classmethod
    def open(cls, folder: str | Path) -> ModelRegistry:
        """Open an existing registry. Raises BadInput where there is none."""
        path = Path(folder)
        if not (path / LOG).is_file():
            raise BadInput(f"'{folder}' is not a registry; make one: fastslow registry init {folder}.")
        return cls(path)

    def entries(self) -> list[Entry]:
        """Return the log, verified. Raises BadInput where it was changed."""
        return self._log.entries()

    def aliases(self) -> dict[str, str]:
        """Return the version that each alias names."""
        entries = self.entries()
        return dict(entries[-1].aliases) if entries else {}

    def versions(self) -> list[str]:
        """Return the names of all versions, oldest first."""
        return list(self._added())

    def named(self, name: str) -> str:
        """Return the version that `name` means: an alias, a version, or its number. Raises BadInput for none."""
        aliases, known = self.aliases(), self.versions()
        if name in aliases:
            return aliases[name]
        if name in ALIASES:
            raise BadInput(f"'{self.folder}' has no {name} yet.")
        found = [v for v in known if v == name or (name.isdecimal() and int(v.partition("-")[0]) == int(name))]
        if not found:
            raise BadInput(f"'{self.folder}' has no version or alias '{name}'.{nearest(name, [*aliases, *known])}")
        return found[0]

    def path(self, version: str) -> Path:
        """Return the folder of a version."""
        return self.folder / versions.FOLDER / version

    def verified(self, name: str) -> Path:
        """Return the folder of a version or alias once every byte is known to be as added. Raises BadInput."""
        version = self.named(name)
        try:
            versions.verify(self.path(version))
        except Damaged as damage:
            raise BadInput(f"{damage} It is in '{self.folder}', and must not be used.") from damage
        return self.path(version)

    def digest(self, version: str) -> str:
        """Return the digest of the bundle that was added as this version."""
        return self._added()[version]

    def add(self, bundle: str | Path, *, note: str = "") -> str:
        """Copy a bundle into the registry as a new version, the candidate, and return its name.

        A bundle that is there already becomes the candidate under the name it has. Raises BadInput for what is no
        bundle, or one whose files do not belong together.
        """
        source = folder_of(bundle)
        digest = bundle_digest(source)
        with self._alone():
            known = {of: version for version, of in self._added().items()}
            version = known.get(digest) or versions.name_of(len(known) + 1, digest)
            if digest in known:
                self.verified(version)
            else:
                versions.copy(source, self.path(version), {"digest": digest})
                if bundle_digest(self.path(version)) != digest:
                    raise BadInput(f"'{source}' changed while it was copied; add it again.")
            aliases = {**self.aliases(), CANDIDATE: version}
            event = "candidate" if digest in known else "add"
            self._log.append(event, aliases, {"version": version, "digest": digest, "from": str(bundle), "note": note})
        return version

    def floor(self) -> dict[str, Any] | None:
        """Return what the last policy asked for by which a version was promoted; None where none was.

        A rollback does not lower it: what a policy once promised is kept.
        """
        floors = [entry.about["floor"] for entry in self.entries() if entry.about.get("floor")]
        return floors[-1] if floors else None

    def uses_of(self, questions: str) -> int:
        """Return how many gates before asked the questions of this digest."""
        gates = [entry for entry in self.entries() if entry.event == "gate"]
        return sum(questions in entry.about["questions"] for entry in gates)

    def record(self, verdict: Verdict) -> None:
        """Write a verdict into the log, whatever it says: refusals with their numbers, and which questions were asked.
        The verdict itself goes to `verdicts/`."""
        with self._alone():
            self._log.append("gate", self.aliases(), {**_about(verdict), "verdict": self._keep(verdict)})

    def promote(self, name: str, verdict: Verdict, *, policy: bytes | None = None) -> str:
        """Make a version the champion, and return its name.

        Raises BadInput where `promotion.refusal` has a reason, and where the version is damaged. The refusal is logged.
        """
        with self._alone():
            version = self.named(name)
            folder = self.verified(version)
            champion = self.aliases().get(CHAMPION)
            reason = refusal(
                verdict, digest=bundle_digest(folder), floor=self.floor(), policy=policy,
                champion=None if champion is None else self.digest(champion),
            )  # fmt: skip
            about = {"version": version, "verdict": self._keep(verdict)}
            if reason is not None:
                self._log.append("refuse", self.aliases(), {**about, "reason": reason})
                raise BadInput(f"'{version}' is not promoted: {reason}.")
            floor = {"alpha": verdict.alpha, "margins": dict(verdict.margins)}
            self._switch("promote", version, {**about, "policy": verdict.policy_digest, "floor": floor})
        return version

    def force(self, name: str, reason: str) -> str:
        """Make a version the champion without a verdict, and log the reason. Raises BadInput where it is damaged, and
        for an empty reason."""
        if not reason.strip():
            raise BadInput("a forced promotion needs a reason: --reason 'why'.")
        with self._alone():
            version = self.named(name)
            self.verified(version)
            self._switch("force", version, {"version": version, "reason": reason})
        return version

    def rollback(self, name: str | None = None, *, reason: str = "") -> str:
        """Make an earlier champion the champion again, by default the one before, and return its name.

        Raises BadInput where there is none, for a version that never was the champion, and where it is damaged: then
        nothing changes.
        """
        with self._alone():
            line = self._line_of_champions()
            if name is None and len(line) < 2:
                raise BadInput(f"'{self.folder}' has no earlier champion to go back to.")
            version = line[-2] if name is None else self.named(name)
            if version not in line[:-1]:
                raise BadInput(f"'{version}' was no champion before the present one; promote it.")
            self.verified(version)
            before = line[: _last(line, version)]
            aliases = {**self.aliases(), CHAMPION: version, PREVIOUS: before[-1] if before else ""}
            self._log.append(
                "rollback",
                {k: v for k, v in aliases.items() if v},
                {"version": version, "from": line[-1], "reason": reason},
            )
        return version

    def verify(self) -> list[str]:
        """Check the log and every version byte by byte; returns what is wrong, in words."""
        problems = []
        for version in self.versions():
            try:
                versions.verify(self.path(version))
            except Damaged as damage:
                problems.append(str(damage))
        return problems

    def _added(self) -> dict[str, str]:
        """Return the digest of each version, oldest first."""
        return {e.about["version"]: e.about["digest"] for e in self.entries() if e.event == "add"}

    def _keep(self, verdict: Verdict) -> str:
        """Write a verdict into the registry, and return its SHA-256."""
        data = verdict.to_json()
        atomic.write_file(self.folder / VERDICTS / f"{data['sha256'][:16]}.json", dumps(data, indent=2))
        return data["sha256"]

    def _switch(self, event: str, version: str, about: Mapping[str, Any]) -> None:
        """Log that `version` is the champion now."""
        aliases = self.aliases()
        if aliases.get(CHAMPION) == version:
            raise BadInput(f"'{version}' is the champion already.")
        changed = {**aliases, CHAMPION: version, PREVIOUS: aliases.get(CHAMPION, "")}
        if aliases.get(CANDIDATE) == version:
            del changed[CANDIDATE]
        self._log.append(event, {alias: of for alias, of in changed.items() if of}, about)

    def _line_of_champions(self) -> list[str]:
        """Return the champions that led to the present one, oldest first: those that were rolled back are not among
        them."""
        line: list[str] = []
        for entry in self.entries():
            if entry.event in ("promote", "force"):
                line.append(entry.about["version"])
            elif entry.event == "rollback":
                del line[_last(line, entry.about["version"]) + 1 :]
        return line

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the lock, and finish or remove first what a killed process left."""
        with locks.alone_in(self.folder):
            entries = self.entries()
            if entries:
                self._log.mirror(entries[-1])
            versions.sweep(self.folder / versions.FOLDER, self.versions())
            try:
                yield
            except OSError as error:
                raise BadInput(f"cannot write to '{self.folder}': {error.strerror or error}.") from error


def _about(verdict: Verdict) -> dict[str, Any]:
    """Return what the log says of a verdict: the models, the state, and the numbers of every check."""
    return {
        "state": verdict.state,
        "candidate": verdict.candidate.digest,
        "baseline": verdict.baseline.digest,
        "policy": verdict.policy_digest,
        "checks": [[c.kind, c.name, c.state, c.difference, c.against, c.n] for c in verdict.checks],
        "questions": [asked.digest for asked in verdict.questions],
    }


def _last(line: list[str], version: str) -> int:
    return len(line) - 1 - line[::-1].index(version)
