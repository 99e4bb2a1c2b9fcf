"""What a person reads when a run has ended: the table, answers before and after, the prompt, and what to do next."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from shlex import quote
from typing import Any

from rich.console import Console

from fastslow.cli.called import called
from fastslow.core.errors import BadInput, printable
from fastslow.core.measurement import OFTEN, is_clear_of_base, others_are_better

OUT_OF_TIME = "max_minutes"
"""The end of the status of a run whose time was up, as `run.train` writes it: that module loads the libraries."""

LONGEST_ANSWER, LONGEST_CONTEXT = 160, 1_500
"""Characters that are shown; the files hold the rest."""

WHAT_NOW = "docs/tasks.md, 'It did not learn: what now?'"


def close(summary: Mapping[str, Any], run: str, *, own: bool = True) -> None:
    """Print the closing table, what was learned in words, and how to go on; only files that this run has are named.

    Of a run that is not our `own` only the summary is shown, which was checked: its other files may hold anything.
    """
    from fastslow.record.display import closing_table
    from fastslow.record.tables import print_table

    there = [name for name in ("summary.json", "metrics.jsonl", "bundle/") if (Path(run) / name).exists()]
    measured = any(value is not None for value in summary["accuracy"].values())
    if measured:
        print_table(Console(), closing_table(summary))
    lines = [] if measured else ["Nothing was measured on held-out questions yet."]
    if own and measured:
        lines += [*_sureness(run, summary), *_idle_steps(run)]
    lines += [f"run directory: {run} ({', '.join(there)})"]
    if own and summary["status"] == "done":
        lines += [*_answers(run, summary), *_context(summary, run)]
    for line in [*lines, *_next(summary, run, own=own)]:
        Console().print(printable(line), markup=False, highlight=False, soft_wrap=True)


def _rows(run: str, name: str) -> list[dict[str, Any]]:
    from fastslow.files import jsonl

    return jsonl.read(Path(run) / name)


def _sureness(run: str, summary: Mapping[str, Any]) -> Iterator[str]:
    """Yield what the numbers rest on: how many questions, and the interval of what ships."""
    questions = summary.get("validation_examples")
    if not questions:
        return
    known = _interval(run, summary)
    interval = f"; what ships: 95% interval {known[0]:.2f} to {known[1]:.2f}" if known else ""
    yield f"on {questions} held-out questions, one of which is {100 / questions:.1f} points{interval}"
    if labels := summary.get("labels"):
        share = f"{labels['commonest_share']:.0%}"
        yield f"the one answer that is right most often, '{labels['commonest']}', would be right on {share} of them"
        if (labels["answered_share"] or 0.0) >= OFTEN:
            yield f"what ships answers '{_line(labels['answered'])}' to {labels['answered_share']:.0%}"


def _idle_steps(run: str) -> Iterator[str]:
    """Yield how many steps moved no weights."""
    live = [row["fst/live_rows"] for row in _rows(run, "metrics.jsonl") if "fst/live_rows" in row]
    if idle := sum(1 for share in live if share == 0):
        why = "all answers to a question earned the same, or went to the contexts alone"
        yield f"{idle} of {len(live)} steps moved no weights: none of their rows had a gradient ({why})"


def _interval(run: str, summary: Mapping[str, Any]) -> tuple[float, float] | None:
    """Return the ends of the 95% interval of what ships; None where it is not known, as of several tasks."""
    ships = [
        row
        for row in _rows(run, "evals.jsonl")
        if (row["weights"], row["context"]) == ("trained", summary.get("ships"))
    ]
    if not ships or summary.get("tasks") or ships[-1].get("low") is None:
        return None
    return ships[-1]["low"], ships[-1]["high"]


def _answers(run: str, summary: Mapping[str, Any]) -> Iterator[str]:
    """Yield what the base answered to the plain prompt, and what the trained model answers as it ships."""
    before, after = ("base", "seed"), ("trained", str(summary.get("ships")))  # older runs do not say
    by_question: dict[tuple[str, str], dict[tuple[str, str], Mapping[str, Any]]] = {}
    for row in _rows(run, "answers.jsonl"):  # the last evaluation is written last
        by_question.setdefault((row["task"], row["example_id"]), {})[row["weights"], row["context"]] = row
    pairs = [(of[before], of[after]) for of in by_question.values() if before in of and after in of]
    if not pairs:
        return
    room = _room(run)
    yield ""
    yield f"The first {len(pairs)} held-out questions (nobody picked them), before and after training:"
    for first, last in pairs:
        yield f"  {_line(first['question'])}"
        for when, row in (("before", first), ("after ", last)):
            cut = f" … (cut at {room} tokens)" if room is not None and row["tokens"] >= room else ""
            yield f"    {when}  {_reward(row['reward'])}  {_line(row['text'])}{cut}"


def _room(run: str) -> int | None:
    """Return the most tokens of an answer in a run, None where its settings are not there."""
    import yaml

    config = Path(run) / "config.yaml"
    settings = yaml.safe_load(config.read_text(encoding="utf-8")) if config.exists() else None
    return settings.get("max_completion_length") if isinstance(settings, dict) else None


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
    from fastslow.contexts.population import SEED
    from fastslow.contexts.rendering import as_text
    from fastslow.report.reading.soft import described, nearest_tokens

    lead = Context.from_json(summary["lead_context"])
    yield ""
    if lead.soft is not None:
        yield f"The best prompt (lead context {lead.id}) is soft: no text can say it. {called()} eval measures it."
        yield from (f"  {line}" for line in described(lead.soft, nearest_tokens(summary.get("soft")).get(lead.id)))
        return
    text = as_text(lead)
    cut = len(text) > LONGEST_CONTEXT
    if lead.proposer == SEED:
        yield "The search found no prompt that stands above the plain one, which is what ships."
    yield f"The best prompt (lead context {lead.id}) as one would paste it. The run sent it as chat turns, and measured"
    yield f"those: {called()} contexts {quote(run)} --format messages"
    yield from (f"  {line}".rstrip() for line in text[:LONGEST_CONTEXT].split("\n"))
    if cut:
        yield f"  … ({len(text) - LONGEST_CONTEXT} more characters: {called()} contexts {quote(run)} --show)"


def _next(summary: Mapping[str, Any], run: str, *, own: bool) -> Iterator[str]:
    """Yield the command that comes next."""
    if (status := str(summary["status"])) != "done":
        more = " --max_minutes MINUTES" if status.endswith(OUT_OF_TIME) else ""
        yield f"The run was {status}. To go on: {called()} resume {quote(run)}{more}"
        return
    yield ""
    yield f"Next: {called()} report {quote(run)}"
    if (Path(run) / "bundle").exists():
        scorer, embedder = _foreign_code(run)
        trusted, trust = (" --trust_task" if foreign else "" for foreign in (embedder, scorer))
        yield f'  or: {called()} ask {quote(run)} "QUESTION"{trusted}'
        yield f"  or: {called()} eval {quote(run)} --split test{trust}   (questions that nothing was chosen by)"
    accuracy, interval = summary["accuracy"], _interval(run, summary) if own else None
    ships, slow = accuracy.get(summary.get("ships")), summary.get("channels", {}).get("slow", True)
    if others_are_better(accuracy, ships):
        yield "The mean over the run's prompts is above what ships, so that another of them answered better: eval with"
        yield "  --contexts all measures each of them, and ask with --context ID asks under one"
    if not is_clear_of_base(accuracy, ships, interval and interval[0], slow=slow):
        yield f"What ships is not clearly above the base's best: {WHAT_NOW}"
    elif not _beats_one_answer(summary, interval):
        yield f"What ships is not clearly above one answer to everything: {WHAT_NOW}"


def _foreign_code(run: str) -> tuple[bool, bool]:
    """Return whether an evaluation of a run's bundle asks for trust in its scorers, and whether an answer does in its
    embedder, as `bundles.bundle` decides it: that module loads the libraries, which `watch` does without. A bundle that
    cannot be read is refused by its reader."""
    from fastslow.files.plain import read_plain
    from fastslow.tasks.resolve import foreign_code
    from fastslow.topics.settings import OURS

    try:
        settings = json.loads(read_plain(Path(run) / "bundle" / "bundle.json"))["settings"]
        scorers = any(map(foreign_code, settings.get("tasks") or [settings["task"]]))
        return scorers, settings.get("clusters") == "inferred" and settings["embedder"] not in OURS
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, BadInput):
        return False, False


def _beats_one_answer(summary: Mapping[str, Any], interval: tuple[float, float] | None) -> bool:
    """Return whether what ships lies above what one label for all would be right on, by its whole interval where one is
    known; true where the right answers are not few labels."""
    one = (summary.get("labels") or {}).get("commonest_share")
    ships = summary["accuracy"].get(summary.get("ships"))
    return one is None or ships is None or (ships if interval is None else interval[0]) > one
