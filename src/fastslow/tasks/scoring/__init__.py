"""Scorers by name: `?scorer=number` of a `jsonl:` or `hf:` task, and what `polaris` and `physics` judge with.

    base.py         the protocol, the registry, a judgement and the verdict it becomes
    extract.py      the last boxed or tagged answer of a text, within a limit on what is looked at
    texts.py        exact, contains, regex      choice.py     choice
    numbers.py      number                      values.py     json
    mathematics.py  boxed, on math-verify       latex.py      which LaTeX math-verify is asked about
    watch.py        a limit of processor time that works in every thread

Each scorer is a pure function of completion and answer. `docs/scorers.md` says how each extracts and compares.
"""

from __future__ import annotations

from fastslow.tasks.scoring import choice, mathematics, numbers, texts, values
from fastslow.tasks.scoring.base import SCORERS, Judgement, Scorer, scorer_named, verdict

__all__ = [
    "SCORERS",
    "Judgement",
    "Scorer",
    "choice",
    "mathematics",
    "numbers",
    "scorer_named",
    "texts",
    "values",
    "verdict",
]
