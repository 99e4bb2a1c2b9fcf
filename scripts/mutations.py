"""Does anybody notice when a guard is gone? Removes one at a time from a copy of the sources and runs the tests that
should. Usage: mutations.py [--only TEXT] [--share 1/2]

Exit code 1 where a mutation no longer applies, where the named tests fail without it, or where they pass with it.
The libraries are loaded once; every session of pytest is a fork.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from guards import MUTATIONS, Mutation

ROOT = Path(__file__).parents[1]
LIMIT_S = 1800
LIBRARIES = ("openai", "peft", "trl.trainer.grpo_trainer", "gepa", "transformers.models.llama.modeling_llama")


def copied(folder: Path) -> Path:
    for name in ("src", "tests", "recipes", "scripts"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def passes(copy: Path, tests: tuple[str, ...]) -> bool:
    """Whether these tests pass on the sources in `copy`."""
    (copy / "code.txt").unlink(missing_ok=True)
    process = os.fork()
    if process == 0:
        _test(copy, tests)
    deadline = time.monotonic() + LIMIT_S
    while os.waitpid(process, os.WNOHANG) == (0, 0):
        if time.monotonic() > deadline:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
            raise SystemExit(f"{tests} took longer than {LIMIT_S} s.")
        time.sleep(0.05)
    if not (copy / "code.txt").exists():
        raise SystemExit(f"{tests}: pytest ended early: {(copy / 'log.txt').read_text()[-2000:]}")
    return (copy / "code.txt").read_text() == "0"


def _test(copy: Path, tests: tuple[str, ...]) -> None:
    import pytest

    os.chdir(copy)
    sys.path[:0] = [str(copy / "src"), str(copy)]
    sys.dont_write_bytecode = True
    with (copy / "log.txt").open("w") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    code = pytest.main(["-p", "no:cacheprovider", "-x", *tests])
    with contextlib.suppress(KeyError):
        assert sys.modules["fastslow"].__file__ == str(copy / "src/fastslow/__init__.py"), "these are other sources"
    (copy / "code.txt").write_text(str(int(code)))
    sys.stdout.flush()
    os._exit(0)


def check(mutation: Mutation, copy: Path) -> str | None:
    """What is wrong; None where the tests noticed."""
    file = copy / "src/fastslow" / mutation.file
    original = file.read_text()
    if original.count(mutation.old) != 1:
        return f"no longer applies: {mutation.old!r} stands {original.count(mutation.old)} times in {mutation.file}"
    try:
        file.write_text(original.replace(mutation.old, mutation.new))
        if passes(copy, mutation.tests):
            return "NOT NOTICED"
        if (copy / "code.txt").read_text() != "1":
            return f"pytest could not run: {(copy / 'log.txt').read_text()[-2000:]}"
    finally:
        file.write_text(original)
    return None


def share(text: str) -> tuple[int, int]:
    part, _, parts = text.partition("/")
    if not 1 <= int(part) <= int(parts):
        raise ValueError(text)
    return int(part), int(parts)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="mutations whose promise, guard or file holds this text")
    parser.add_argument("--share", type=share, default=(1, 1), metavar="K/N", help="the K-th of N parts, for N cores")
    options = parser.parse_args()
    part, parts = options.share
    chosen = [m for m in MUTATIONS if options.only in f"{m.proves} {m.guard} {m.file}"][part - 1 :: parts]
    for library in LIBRARIES:
        importlib.import_module(library)
    if not chosen:
        print(f"no guard has '{options.only}' in its promise, its name or its file")
        return 1
    problems = 0
    with tempfile.TemporaryDirectory() as folder:
        copy = copied(Path(folder).resolve())
        if not passes(copy, tuple(sorted({test for m in chosen for test in m.tests}))):
            print((copy / "log.txt").read_text()[-5000:], "\nThe tests fail with all guards in place.")
            return 1
        print("| proves | guard removed | in | noticed by |\n|---|---|---|---|", flush=True)
        for mutation in chosen:
            problem = check(mutation, copy)
            problems += problem is not None
            noticed = ", ".join(f"`{test.removeprefix('tests/')}`" for test in mutation.tests)
            print(f"| {mutation.proves} | {mutation.guard} | `{mutation.file}` | {problem or noticed} |", flush=True)
    print(f"\n{len(chosen) - problems} of {len(chosen)} were noticed.")
    return int(problems > 0)


if __name__ == "__main__":
    sys.exit(main())
