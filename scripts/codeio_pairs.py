"""Run the programs of reasoning-gym's CodeI/O data once and keep what they compute, for the task `codeio`.

    python scripts/codeio_pairs.py            # a minute or two; writes src/fastslow/tasks/codeio_pairs.jsonl.gz
    python scripts/codeio_pairs.py --worker   # reads programs from stdin; what the script starts

The programs were written by an LLM from code found in the wild. With their results in a file, neither building the
task nor scoring an output runs any of them. Here they run in processes of their own, in an empty folder, with limits on
time, memory and output, and without a network where the machine allows `unshare -n`: run this on a machine to spare.
What is kept must come out twice the same, under two hash seeds and two global random seeds.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import gzip
import hashlib
import io
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

TARGET = Path(__file__).parent.parent / "src" / "fastslow" / "tasks" / "codeio_pairs.jsonl.gz"
PAIRS = 4  # kept for each program
TRIES = 10  # inputs drawn for each program
SECONDS = 10  # of processor time for all tries of one program, so that a busy machine keeps the same programs
MEMORY = 2 << 30
MOST_INPUT, MOST_OUTPUT, MOST_PROGRAM = 600, 400, 6_000  # characters; longer ones are little but arithmetic or paging
CHUNK = 100  # programs a process
# Libraries whose results follow from their arguments alone. No clock, no files, no processes, no network.
_MODULES = (
    "abc bisect cmath collections copy dataclasses decimal enum fractions functools heapq itertools json math numbers "
    "numpy operator queue random re statistics string typing"
)
_NAMES = "open input exec eval compile __import__ globals locals vars breakpoint exit quit id hash"
MODULES = frozenset(_MODULES.split())
NAMES = frozenset(_NAMES.split())
PRIVATE = frozenset({"__globals__", "__subclasses__", "__builtins__"})


def program_key(row: dict[str, Any]) -> str:
    """As in fastslow.tasks.families.codeio, which finds a program's pairs by it."""
    return hashlib.sha256(row["code_sample"].encode()).hexdigest()[:16]


def harmless(source: str) -> bool:
    """Imports only from MODULES, no name of NAMES, no global random state. A sieve: the limits are the wall."""
    try:
        nodes = list(ast.walk(ast.parse(source)))
    except (SyntaxError, ValueError):
        return False
    modules = {a.name.partition(".")[0] for n in nodes if isinstance(n, ast.Import) for a in n.names}
    sources = {(n.module or ".").partition(".")[0] for n in nodes if isinstance(n, ast.ImportFrom)}
    names = {n.id for n in nodes if isinstance(n, ast.Name)}
    names |= {a.name for n in nodes if isinstance(n, ast.Import) for a in n.names if a.asname}
    attributes = {n.attr for n in nodes if isinstance(n, ast.Attribute)}
    draws = "random" in sources | names | attributes
    return modules | sources <= MODULES and not draws and not names & NAMES and not attributes & PRIVATE


def plain(value: Any, most: int) -> str | None:
    """The value as JSON that reads back as the same JSON, or None."""
    try:
        text = json.dumps(value, allow_nan=False)
        return text if len(text) <= most and json.dumps(json.loads(text)) == text else None
    except (TypeError, ValueError, RecursionError):
        return None


def compute(row: dict[str, Any]) -> list[list[Any]]:
    """Distinct pairs of inputs and output; none if every input gives the same output."""
    space: dict[str, Any] = {"Random": random.Random, "__name__": "program"}
    exec(compile(row["code_sample"] + "\n\n" + row["input_generator"], "program", "exec"), space)
    pairs: dict[str, str] = {}
    for attempt in range(TRIES):
        inputs = plain(space["generate_inputs"](random.Random(f"{program_key(row)}:{attempt}")), MOST_INPUT)
        if inputs is None or inputs in pairs or not isinstance(json.loads(inputs), dict):
            continue
        output = plain(space["main_solution"](**json.loads(inputs)), MOST_OUTPUT)
        if output is not None and output != "null":
            pairs[inputs] = output
    if len(set(pairs.values())) < 2:
        return []
    return [[json.loads(inputs), json.loads(output)] for inputs, output in list(pairs.items())[:PAIRS]]


def worker() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
    rows = [json.loads(line) for line in sys.stdin]
    sys.stdin = io.StringIO()
    random.seed(int(os.environ["PYTHONHASHSEED"]))

    def ring(*_: Any) -> None:
        raise TimeoutError

    signal.signal(signal.SIGVTALRM, ring)
    for row in rows:
        signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
        try:
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                pairs = compute(row)
        except BaseException:
            pairs = []
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        print(json.dumps([program_key(row), pairs]), flush=True)


def run_chunk(rows: list[dict[str, Any]], hash_seed: int) -> dict[str, Any]:
    """What the worker computed before it ended, however it ended."""
    alone = ["unshare", "-r", "-n"] if shutil.which("unshare") else []
    if alone and subprocess.run([*alone, "true"], capture_output=True).returncode:
        alone = []
    environment = {"PYTHONHASHSEED": str(hash_seed), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as folder:
        command = [*alone, sys.executable, "-W", "ignore", str(Path(__file__).resolve()), "--worker"]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        try:
            out = subprocess.run(
                command, input=text, capture_output=True, text=True, cwd=folder, env=environment, timeout=3600
            ).stdout
        except subprocess.TimeoutExpired as late:
            out = late.stdout.decode() if isinstance(late.stdout, bytes) else late.stdout or ""
    found = {}
    for line in out.splitlines():
        with contextlib.suppress(ValueError):
            key, pairs = json.loads(line)
            found[key] = pairs
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worker", action="store_true")
    parser.add_argument("--output", type=Path, default=TARGET)
    options = parser.parse_args()
    if options.worker:
        worker()
        return
    from reasoning_gym.data import get_data_file_path

    with gzip.open(get_data_file_path("codeio.jsonl.gz"), "rt", encoding="utf-8") as file:
        rows = list({program_key(row): row for row in map(json.loads, file)}.values())
    tame = [
        row
        for row in rows
        if sum(len(row[part]) for part in ("task_description", "input_output_spec", "code_sample")) <= MOST_PROGRAM
        and harmless(row["code_sample"])
        and harmless(row["input_generator"])
    ]
    kept: dict[str, Any] = {}
    for start in range(0, len(tame), CHUNK):
        chunk = tame[start : start + CHUNK]
        first, second = run_chunk(chunk, 1), run_chunk(chunk, 2)
        kept |= {key: pairs for key, pairs in first.items() if pairs and second.get(key) == pairs}
        print(f"{start + len(chunk)} of {len(tame)} programs run, {len(kept)} kept", flush=True)
    lines = [json.dumps({"program": key, "pairs": kept[key]}, separators=(",", ":")) + "\n" for key in sorted(kept)]
    options.output.write_bytes(gzip.compress("".join(lines).encode(), mtime=0))
    print(f"{len(rows)} programs, {len(tame)} tame, {len(kept)} kept; {options.output.stat().st_size} bytes")


if __name__ == "__main__":
    main()
