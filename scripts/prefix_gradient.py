"""What an update saves where contexts are constants (`make prefix-gradient`, some minutes).

    python scripts/prefix_gradient.py results/prefix-gradient.json docs/performance.md

Forward and backward over the rollouts of a step, SmolLM2-135M, 4 problems x 8 rollouts under 4 contexts, random tokens:
`prefix_gradient: full` and `stop` in turns, in one process.
"""

from __future__ import annotations

import json
import random
import statistics
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from pages import write_between

from fastslow.files.run_directory import machine, versions
from fastslow.policy.loading import EMBEDDED, load_model, resolve_model
from fastslow.policy.token_trees import Row
from fastslow.policy.tree_forward import Packed, forward_packed, pack

CONTEXTS, PROBLEMS, GENERATIONS, QUESTION, ANSWER = 4, 4, 8, 22, 6
LENGTHS = (60, 110, 200)
PAIRS = 6
BEGIN, END = "<!-- prefix-gradient -->", "<!-- /prefix-gradient -->"


def rows_of(length: int, rng: random.Random) -> list[Row]:
    """Return the rollouts of a step under contexts of this many tokens."""

    def text(tokens: int) -> tuple[int, ...]:
        return tuple(rng.randrange(100, 40_000) for _ in range(tokens))

    contexts, questions = [text(length) for _ in range(CONTEXTS)], [text(QUESTION) for _ in range(PROBLEMS)]
    return [
        Row(contexts[g % CONTEXTS] + question + text(ANSWER), ANSWER)
        for question in questions
        for g in range(GENERATIONS)
    ]


def seconds(model: Any, packed: Packed) -> float:
    start = time.perf_counter()
    logps, _ = forward_packed(model, model, packed, temperature=1.0, entropy_grad=False)
    logps.sum().backward()
    spent = time.perf_counter() - start
    model.zero_grad()
    return spent


def main() -> None:
    results, page = map(Path, sys.argv[1:3])
    model, rng, cases = load_model(resolve_model(EMBEDDED)), random.Random(0), []
    for length in LENGTHS:
        rows = rows_of(length, rng)
        full, stop = pack(rows), pack([replace(row, fixed=length) for row in rows])
        seconds(model, stop)
        ratios = [seconds(model, full) / seconds(model, stop) for _ in range(PAIRS)]
        share = CONTEXTS * length / full.tokens
        cases.append({"context_tokens": length, "tokens": full.tokens, "share": share, "full_by_stop": ratios})
        print(f"{length} tokens a context: {statistics.median(ratios):.2f}", flush=True)
    found = {"machine": machine(), "versions": versions(), "cases": cases}
    results.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    lines = ["| tokens of a context | their share of a step's tokens | full / stop, median (range) |", "|---|---|---|"]
    for case in cases:
        low, high = min(case["full_by_stop"]), max(case["full_by_stop"])
        median = statistics.median(case["full_by_stop"])
        share = f"{100 * case['share']:.0f}%"
        lines.append(f"| {case['context_tokens']} | {share} | **{median:.2f}x** ({low:.2f} to {high:.2f}) |")
    write_between(page, BEGIN, END, "\n".join(lines))


if __name__ == "__main__":
    main()
