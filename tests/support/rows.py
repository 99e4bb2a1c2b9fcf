"""The rows of the proof table in docs/promises.md, and how many cases each asks for at least."""

from __future__ import annotations

ROWS = {
    "resume": ("resume, cut in every phase, bit for bit", 50),
    "kills": ("kill -9 of a real process", 200),
    "smollm2": ("kill -9 with SmolLM2-135M", 5),
    "recovery": ("kill -9 during recovery", 40),
    "sigterm": ("SIGTERM", 20),
    "sigint": ("SIGINT", 20),
    "disk": ("ENOSPC, EIO, EINTR at the k-th write, fsync, rename", 150),
    "corruption": ("corrupted checkpoints, all detected", 500),
    "determinism": ("determinism: hash seeds x loader workers x repeats", 18),
    "nonfinite": ("non-finite numbers", 30),
    "fuzz": ("fuzz, 10,000 each of config, JSONL, LM replies, checkpoint", 40_000),
    "lm": ("LM faults", 150),
    "secrets": ("secret canaries", 12),
    "hostile": ("hostile rollouts into reflection and report", 50),
    "registry": ("kill -9 while a registry adds, promotes or rolls back", 100),
    "races": ("two processes, one run directory", 50),
    "soak": ("soak: tiny steps", 2_000),
}
"""Name of the mark `row` -> what it is, number asked. A test counts once, or as often as its property `cases` says."""


class Account:
    """How many cases of every row passed and failed in a session of pytest, and the seconds they took."""

    def __init__(self) -> None:
        self._rows: dict[str, list[float]] = {}  # passed, failed, seconds
        self._failed: set[str] = set()
        self._skipped: set[str] = set()

    def add(self, report) -> None:
        """A pytest report; that of the teardown closes a test."""
        properties = dict(report.user_properties)
        if "row" not in properties:
            return
        row = self._rows.setdefault(properties["row"], [0, 0, 0.0])
        row[2] += report.duration
        if report.failed:
            self._failed.add(report.nodeid)
        if report.skipped:
            self._skipped.add(report.nodeid)
        if report.when == "teardown" and report.nodeid not in self._skipped:
            failed = report.nodeid in self._failed
            row[failed] += 1 if failed else int(properties.get("cases", 1))

    def lines(self) -> list[str]:
        """A Markdown table of the rows that ran."""
        rows = [(ROWS[name][0], ROWS[name][1], *self._rows[name]) for name in ROWS if name in self._rows]
        body = [
            f"| {what} | {asked:,} | {passed:,} | {f'{failed:,} FAILED' if failed else 'ok'} | {seconds / 60:.1f} |"
            for what, asked, passed, failed, seconds in rows
        ]
        return ["| row | asked | passed | result | minutes |", "|---|---|---|---|---|", *body]
