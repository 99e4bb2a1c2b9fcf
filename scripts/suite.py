"""Run the test suite in two processes at once; with --fail-under, count the lines that the tests of both run.

    python scripts/suite.py [--fail-under 90] [ARGUMENT OF PYTEST ...]

One process spends a third of its time waiting for processes that tests start, and keeps the second core idle. The
tests of a file share models and runs, so that whole folders are dealt out, by the seconds they took. What the first
process says is shown as it comes, what the second says after it. Exit code 1 where either fails.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
# About half of the suite's time; whatever is not listed runs in the second process.
FIRST = ("cli", "experiments", "export", "faults", "golden", "project", "registry", "run", "topics")
COVERED = ("--source", "src/fastslow", "--omit", "*/sandbox/inside/*")  # the inside runs in processes of its own


def halves() -> list[list[str]]:
    """Return the arguments that make pytest run each half."""
    first = [f"tests/{name}" for name in FIRST]
    return [first, ["tests", *(f"--ignore={folder}" for folder in first)]]


def start(half: list[str], counts: Path | None, arguments: list[str], log: Path | None) -> subprocess.Popen[bytes]:
    counting = [] if counts is None else ["-m", "slipcover", *COVERED, "--json", "--out", str(counts)]
    command = [sys.executable, *counting, "-m", "pytest", *half, *arguments]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}  # one core each
    return subprocess.Popen(command, cwd=ROOT, env=env, stdout=log.open("wb") if log else None)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fail-under", type=float, help="count: per cent of the lines that tests have to run")
    options, arguments = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        counts = [None if options.fail_under is None else folder / f"{n}.json" for n in range(2)]
        logs = [None, folder / "second.log"]
        running = [start(*each) for each in zip(halves(), counts, [arguments] * 2, logs, strict=True)]
        codes = [process.wait() for process in running]
        print((folder / "second.log").read_text(encoding="utf-8", errors="replace"), flush=True)
        if any(codes) or options.fail_under is None:
            return int(any(codes))
        merge = ["--merge", *map(str, counts), "--out", str(folder / "all.json")]
        shown = ["--skip-covered", "--fail-under", str(options.fail_under)]
        return subprocess.run([sys.executable, "-m", "slipcover", *shown, *merge], cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
