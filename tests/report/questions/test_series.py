"""What the curves of a report count."""

from __future__ import annotations

import json
from pathlib import Path

from fastslow.contexts.context import WorkedExample, dump_examples
from fastslow.report.questions.series import context_lengths
from fastslow.report.reading.sources import load_sources
from tests.report.runs import make_run, write_lines

EXAMPLES = dump_examples([WorkedExample("2 * 3?", "6"), WorkedExample("4 * 5?", "20")])


def test_the_length_of_contexts_is_that_of_their_text(tmp_path: Path) -> None:
    """As `fastslow contexts` counts it: what holds the worked examples in the file is no part of the prompt."""
    run = make_run(tmp_path / "run", "fst", 1, [(1, 0.5, 0.0)], cost=1)
    components = [
        {"instruction": "Multiply.", "examples": EXAMPLES},
        {"instruction": "Multiply.", "examples": json.dumps({"no": "examples"})},
        {"soft": "<|fs0_0|><|fs0_1|>"},
        {"instruction": 7, "examples": None},
    ]
    write_lines(run / "contexts.jsonl", [{"step": 0, "accepted": True, "components": one} for one in components])
    known = load_sources([run])[0].runs[0]
    assert [one.y for one in context_lengths(known)] == [len("Multiply.2 * 3?64 * 5?20")]
