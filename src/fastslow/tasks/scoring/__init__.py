"""Scorers by name: for `?scorer=number` of a `jsonl:` or `hf:` task, and for `polaris` and `physics`.

- `base`: the protocol, the registry, and how a judgement becomes a verdict.
- `extract`: finds the last boxed or tagged answer of a text, within a limit on the text that is read.
- `texts`: the scorers `exact`, `contains`, `regex`. `choice`: `choice`. `values`: `json`, whose blocks `fences` cuts.
- `markup` takes HTML, Markdown and the tokens of chat templates off a text, and `notation` gives it one spelling.
- `numbers`: the scorer `number`. `numerals` reads a number in any notation, and `standing` finds the last one that is
  not a part of something else, with `hedges` for the words that make it a bound or deny it.
- `mathematics`: the scorer `boxed`, on math-verify. `latex` decides which LaTeX math-verify is asked about,
  `structure` compares intervals, sets and tuples part by part, `equations` finds the value that an equation states,
  `measures` tells units, number bases, ratios and the case of letters, and `exact` compares numbers without absolute
  limits.
- `watch`: limits processor time in every thread.

Each scorer is a pure function of completion and answer. docs/scorers.md says how each one extracts and compares.
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
