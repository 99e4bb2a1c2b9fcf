"""What a person reads when a run has ended: the table, answers before and after, the prompt, and what to do next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import Any

from rich.console import Console

from fastslow.core.errors import printable

OUT_OF_TIME = "max_minutes"
"""The end of the status of a run whose time was up, as `run.train` writes it: that module loads the libraries."""

LONGEST_ANSWER, LONGEST_CONTEXT = 160, 1_500
"""Characters that are shown; the files hold the rest."""


def close(summary: Mapping[str, Any], run: str) -> None:
    """Print the closing table, what was learned in words, and how to go on; only files that this run has are named."""
    from fastslow.record.display import closing_table
    from fastslow.record.tables import print_table

    there = [name for name in ("summary.json", "metrics.jsonl", "bundle/") if (Path(run) / name).exists()]
    print_table(Console(), closing_table(summary))
    ended = summary["status"] == "done"
    lines = [f"run directory: {run} ({', '.join(there)})"]
    lines += [*_answers(_shown_answers(run), summary), *_context(summary, run)] if ended else []
    for line in [*lines, *_next(summary, run)]:
        Console().print(printable(line), markup=False, highlight=False, soft_wrap=True)


def _shown_answers(run: str) -> list[dict[str, Any]]:
    from fastslow.files import jsonl

    return jsonl.read(Path(run) / "answers.jsonl")


def _answers(rows: Sequence[Mapping[str, Any]], summary: Mapping[str, Any]) -> Iterator[str]:
    """Yield what the base answered to the plain prompt, and what the trained model answers as it ships."""
    before, after = ("base", "seed"), ("trained", summary.get("ships"))  # older runs do not say what ships
    by_question: dict[tuple[str, str], dict[tuple[str, str], Mapping[str, Any]]] = {}
    for row in rows:  # the last evaluation is written last
        by_question.setdefault((row["task"], row["example_id"]), {})[row["weights"], row["context"]] = row
    pairs = [(of[before], of[after]) for of in by_question.values() if before in of and after in of]
    if not pairs:
        return
    yield ""
    yield f"The first {len(pairs)} held-out questions (nobody picked them), before and after training:"
    for first, last in pairs:
        yield f"  {_line(first['question'])}"
        yield f"    before  {_reward(first['reward'])}  {_line(first['text'])}"
        yield f"    after   {_reward(last['reward'])}  {_line(last['text'])}"


def _line(text: str) -> str:
    """Return a text as one line, cut where it is long."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_ANSWER else f"{line[:LONGEST_ANSWER]} …"


def _reward(reward: float | None) -> str:
    return "unscored   " if reward is None else f"reward {reward:.2f}"


def _context(summary: Mapping[str, Any], run: str) -> Iterator[str]:
    """Yield the lead context as one would paste it, where contexts evolve."""
    if not summary.get("channels", {}).get("fast"):
        return
    from fastslow.contexts.context import Context
    from fastslow.contexts.rendering import as_text

    lead = Context.from_json(summary["lead_context"])
    text = as_text(lead)
    cut = len(text) > LONGEST_CONTEXT
    yield ""
    yield f"The best prompt (lead context {lead.id}) as one would paste it:"
    yield from (f"  {line}".rstrip() for line in text[:LONGEST_CONTEXT].split("\n"))
    if cut:
        yield f"  … ({len(text) - LONGEST_CONTEXT} more characters: fastslow contexts {quote(run)} --show)"


def _next(summary: Mapping[str, Any], run: str) -> Iterator[str]:
    """Yield the command that comes next."""
    if (status := str(summary["status"])) != "done":
        more = " --max_minutes MINUTES" if status.endswith(OUT_OF_TIME) else ""
        yield f"The run was {status}. To go on: fastslow resume {quote(run)}{more}"
        return
    yield ""
    yield f"Next: fastslow report {quote(run)}"
    if (Path(run) / "bundle").exists():
        yield f'  or: fastslow ask {quote(run)} "QUESTION"'
