"""Keep released models in a folder: add a version, make it the champion, go back to the one before.

Everything is a file. Versions never change; the log says what happened; nothing else is kept. Every writer holds the
lock of the folder, and a process that is killed at any moment leaves the champion that was there before, or the new
one, whole.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from shlex import quote
from typing import Any, NoReturn

from fastslow.bundles.digest import bundle_digest, folder_of
from fastslow.bundles.released import ALIASES, CANDIDATE, CHAMPION, PREVIOUS
from fastslow.core.errors import BadInput, quoted
from fastslow.core.registry import nearest
from fastslow.files import atomic, locks
from fastslow.files.jsonl import dumps
from fastslow.files.manifest import Damaged
from fastslow.files.typed import read_as
from fastslow.gate.audit import policy_of
from fastslow.gate.floor import Floor, floor_of
from fastslow.gate.verdict import Verdict
from fastslow.registry import champions, inspection, versions
from fastslow.registry.inspection import VERDICTS
from fastslow.registry.log import ALIASES as MIRROR
from fastslow.registry.log import LOG, Entry, Log
from fastslow.registry.promotion import refusal

LONGEST_REASON = 500
"""Most characters of the reason of a refusal that the log keeps."""

logger = logging.getLogger(__name__)


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

        Raises BadInput where the folder holds anything already, and where the disk does not take it: then nothing is
        left.
        """
        path = Path(folder)
        try:
            if (path / LOG).is_file() and (path / LOG).read_bytes().count(b"\n"):
                raise BadInput(f"'{folder}' already is a registry.")
            if path.is_dir() and any(entry.name not in (LOG, locks.LOCK) for entry in path.iterdir()):
                raise BadInput(f"'{folder}' is not empty; give a new folder.")
            new = [one for one in (path, *path.parents) if not one.exists()]
            with _none_left(new), locks.alone_in(path):
                registry = cls(path)
                registry._begin(about or {})
        except OSError as error:
            raise BadInput(f"cannot make a registry in '{folder}': {error.strerror or error}.") from error
        return registry

    @classmethod
    def open(cls, folder: str | Path) -> ModelRegistry:
        """Open an existing registry. Raises BadInput where there is none."""
        path = Path(folder)
        if not str(folder):
            raise BadInput("the registry has no name; give its folder, as in releases@champion.")
        try:
            there = (path / LOG).is_file()
        except OSError as error:
            raise BadInput(f"'{folder}' cannot be read: {error.strerror or error}.") from error
        if not there:
            raise BadInput(f"'{folder}' is not a registry; make one: fastslow registry init {quote(str(folder))}.")
        return cls(path)

    def entries(self) -> list[Entry]:
        """Return the log, verified. Raises BadInput where it was changed, or never begun."""
        entries = self._log.entries()
        if not entries:
            raise BadInput(f"'{self.folder}' was not finished; give fastslow registry init {self.folder} again.")
        return entries

    def aliases(self) -> dict[str, str]:
        """Return the version that each alias names."""
        return dict(self.entries()[-1].aliases)

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
        number = name.lstrip("0")
        found = [v for v in known if v == name or (name.isdecimal() and v.partition("-")[0].lstrip("0") == number)]
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
            added = self._added()
            known = {of: version for version, of in added.items()}.get(digest)
            if known is not None:
                self.verified(known)
            there = known or versions.left_whole(self.folder / versions.FOLDER, digest, added)
            version = there or versions.next_name(self.folder / versions.FOLDER, digest)
            if there is None:
                versions.copy(source, self.path(version), digest)
            about = {"version": version, "digest": digest, "from": str(bundle), "note": note}
            try:
                self._log.append("add" if known is None else "candidate", {**self.aliases(), CANDIDATE: version}, about)
            except OSError:
                if there is None:
                    versions.take_back(self.path(version))
                raise
        return version

    def floor(self) -> Floor | None:
        """Return what the last policy asked for by which a version was promoted; None where none was.

        A rollback does not lower it: what a policy once promised is kept.
        """
        floors = [entry.about["floor"] for entry in self.entries() if entry.about.get("floor")]
        return read_as(Floor, floors[-1]) if floors else None

    def uses_of(self, questions: str) -> int:
        """Return how many gates before asked the questions of this digest."""
        gates = [entry for entry in self.entries() if entry.event == "gate"]
        return sum(questions in entry.about["questions"] for entry in gates)

    def gates_of(self, digest: str) -> list[str]:
        """Return the state of every gate before of the bundle with this digest, oldest first."""
        gates = [entry.about for entry in self.entries() if entry.event == "gate"]
        return [about.get("state", "unknown") for about in gates if about["candidate"] == digest]

    def record(self, verdict: Verdict) -> None:
        """Write a verdict into the log, whatever it says: refusals with their numbers, and which questions were asked.
        The verdict itself goes to `verdicts/`."""
        with self._alone():
            self._log_with(verdict, "gate", self.aliases(), _about(verdict))

    def promote(self, name: str, verdict: Verdict, *, policy: bytes | None = None) -> str:
        """Make a version the champion, and return its name.

        Raises BadInput where `promotion.refusal` has a reason, where the version is damaged, is the champion already
        or does not exist, and where it gave way to an earlier champion after the verdict was measured. Every refusal
        is logged.
        """
        with self._alone():
            with self._refusals(name, verdict):
                version, reason = self._checked(name, verdict, policy)
                if reason is not None:
                    raise BadInput(f"'{version}' is not promoted: {reason}.")
                aliases = self._switched(version)
            floor = floor_of(policy_of(verdict, self.floor()))
            about = {"version": version, "policy": verdict.policy_digest, "floor": asdict(floor)}
            self._log_with(verdict, "promote", aliases, about)
        return version

    def refuse(self, name: str, error: BadInput) -> NoReturn:
        """Log that a promotion is refused before there is a verdict to look at, and raise the reason."""
        with self._alone(), self._refusals(name):
            raise error

    def force(self, name: str, reason: str) -> str:
        """Make a version the champion without a verdict, and log the reason. Raises BadInput where it is damaged, and
        for an empty reason; the refusal is logged."""
        with self._alone():
            with self._refusals(name):
                if not reason.strip():
                    raise BadInput("a forced promotion needs a reason: --reason 'why'.")
                version = self.named(name)
                self.verified(version)
                aliases = self._switched(version)
            self._log.append("force", aliases, {"version": version, "reason": reason})
        return version

    def rollback(self, name: str | None = None, *, reason: str = "") -> str:
        """Make an earlier champion the champion again, by default the one before, and return its name.

        Raises BadInput where there is none, for a version that never was the champion, and where it is damaged: then
        nothing changes.
        """
        with self._alone():
            line = champions.line_of(self.entries())
            if name is None and len(line) < 2:
                raise BadInput(f"'{self.folder}' has no earlier champion to go back to.")
            version = line[-2] if name is None else self.named(name)
            if version not in line[:-1] or version == line[-1]:
                raise BadInput(champions.no_way_back(self.entries(), version))
            self.verified(version)
            before = champions.before(line, version)
            aliases = {**self.aliases(), CHAMPION: version, PREVIOUS: before[-1] if before else ""}
            self._log.append(
                "rollback",
                {k: v for k, v in aliases.items() if v},
                {"version": version, "from": line[-1], "reason": reason},
            )
        return version

    def verify(self) -> list[str]:
        """Check the log, every version and every verdict byte by byte, and that nothing else is there; returns what is
        wrong, in words. Raises BadInput where the log was changed.

        Files of a command that writes meanwhile stand in their place before its line does: then what was found is
        looked at again, or the command is named.
        """
        entries = self.entries()
        found = inspection.problems(self.folder, entries, self._log.mirrored())
        if found and len(self.entries()) > len(entries):
            found = inspection.problems(self.folder, self.entries(), self._log.mirrored())
        if found:
            try:
                locks.refuse_held(self.folder)
            except BadInput as busy:
                found.append(str(busy))
        return found

    def lag(self) -> int:
        """Return by how many lines `aliases.json` lies behind the log: a kill or a full disk may leave it so."""
        seen = self._log.mirrored()
        return 0 if seen is None else len(self.entries()) - seen.line

    def _added(self) -> dict[str, str]:
        """Return the digest of each version, oldest first."""
        return {e.about["version"]: e.about["digest"] for e in self.entries() if e.event == "add"}

    def _log_with(self, verdict: Verdict, event: str, aliases: Mapping[str, str], about: Mapping[str, Any]) -> None:
        """Write a verdict into the registry, and log what it led to. Raises OSError, and leaves neither then."""
        data = verdict.to_json()
        file = self.folder / VERDICTS / inspection.verdict_file(data["sha256"])
        new = not file.exists()
        atomic.write_file(file, dumps(data, indent=2))
        try:
            self._log.append(event, aliases, {**about, "verdict": data["sha256"]})
        except OSError:
            if new:
                with suppress(OSError):
                    file.unlink()
            raise

    def _checked(self, name: str, verdict: Verdict, policy: bytes | None) -> tuple[str, str | None]:
        """Return the version that is meant, and why this verdict does not make it the champion; None where it does."""
        version = self.named(name)
        folder, entries, champion = self.verified(version), self.entries(), self.aliases().get(CHAMPION)
        back = champions.left_by(entries, version)
        if back is not None and champions.is_older(verdict, verdict.to_json()["sha256"], back, entries):
            how = "was rolled back from" if back.event == "rollback" else "gave way to an earlier champion"
            return version, (
                f"it {how} at {back.time} (line {back.number} of the log), after this verdict was measured; gate it "
                "again against the present champion, or promote it with --force --reason 'why'"
            )
        return version, refusal(
            verdict, digest=bundle_digest(folder), floor=self.floor(), policy=policy,
            champion=None if champion is None else self.digest(champion),
        )  # fmt: skip

    @contextmanager
    def _refusals(self, name: str, verdict: Verdict | None = None) -> Iterator[None]:
        """Log what is raised within as a refused promotion: a disk that takes no line more does not hide the reason."""
        try:
            yield
        except BadInput as error:
            try:
                self._log_refusal(name, verdict, str(error))
            except (OSError, BadInput) as problem:
                said = problem.strerror if isinstance(problem, OSError) else None
                logger.warning("note: the refusal could not be logged: %s", said or problem)
            raise

    def _log_refusal(self, name: str, verdict: Verdict | None, reason: str) -> None:
        about = {"asked": quoted(name)}
        with suppress(BadInput):
            about = {"version": self.named(name)}
        said = reason.removeprefix(f"'{about.get('version')}' is not promoted: ").removesuffix(".")
        about["reason"] = quoted(said, LONGEST_REASON)
        if verdict is None:
            self._log.append("refuse", self.aliases(), about)
        else:
            self._log_with(verdict, "refuse", self.aliases(), about)

    def _switched(self, version: str) -> dict[str, str]:
        """Return the aliases once `version` is the champion. Raises BadInput where it is already."""
        aliases = self.aliases()
        if aliases.get(CHAMPION) == version:
            raise BadInput(f"'{version}' is the champion already.")
        changed = {**aliases, CHAMPION: version, PREVIOUS: aliases.get(CHAMPION, "")}
        if aliases.get(CANDIDATE) == version:
            del changed[CANDIDATE]
        return {alias: of for alias, of in changed.items() if of}

    def _begin(self, about: Mapping[str, Any]) -> None:
        """Write the first line of the log. Raises OSError and BadInput, and leaves none of our files then."""
        try:
            (self.folder / LOG).touch()
            atomic.sync(self.folder)
            self._log.append("init", {}, about)
        except (OSError, BadInput):
            for name in (LOG, MIRROR, locks.LOCK):
                with suppress(OSError):
                    (self.folder / name).unlink(missing_ok=True)
            raise

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the lock, and finish or remove first what a killed process left."""
        with locks.alone_in(self.folder):
            self._log.mirror(self.entries()[-1])
            versions.sweep(self.folder / versions.FOLDER)
            try:
                yield
            except OSError as error:
                raise BadInput(f"cannot write to '{self.folder}': {error.strerror or error}.") from error


@contextmanager
def _none_left(folders: list[Path]) -> Iterator[None]:
    """Where something is raised, remove those of the folders that are empty, the innermost first."""
    try:
        yield
    except (OSError, BadInput):
        for folder in folders:
            with suppress(OSError):
                folder.rmdir()
        raise


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
