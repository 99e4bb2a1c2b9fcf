"""What the built-in tasks share in judging: reading a scorer's number, wording feedback, logging what has no score.

Feedback may hold the right answer on training examples only. On validation and test it says nothing that the
completion did not say itself, not even whether the right answer stood somewhere in it.
"""

from __future__ import annotations

import logging
import numbers
import re
from typing import Any

import numpy as np

from fastslow.core.types import Split, Verdict

QUOTED_CHARS = 200  # of a wrong answer, in feedback: enough to recognise it, cheap to put before a reflection LM
ROUNDING = 1e-9  # a score this near to 1 is 1: scorers average floats
REASONS_KEPT = 100  # distinct reasons logged per task; a scorer that fails in more ways has been noticed by then


class Unscored:
    """Makes unscored verdicts, logging each distinct reason once per task."""

    def __init__(self, task: str, logger: logging.Logger):
        self.task = task
        self.logger = logger
        self.reasons: set[str] = set()

    def __call__(self, reason: str) -> Verdict:
        reason = reason[:500]
        if reason not in self.reasons and len(self.reasons) < REASONS_KEPT:
            self.reasons.add(reason)
            self.logger.warning("task '%s': a rollout is unscored: %s", self.task, reason)
        return Verdict.unscored(reason)


def as_reward(score: Any) -> float:
    """The score as a reward in [0, 1]. Raises ValueError saying why it is none."""
    if not isinstance(score, numbers.Real | np.bool_):
        raise ValueError(f"the scorer returned {type(score).__name__}, not a number")
    reward = float(score)
    if 1.0 - ROUNDING <= reward <= 1.0 + ROUNDING:
        return 1.0
    if not 0.0 <= reward <= 1.0:  # false for NaN as well
        raise ValueError(f"the scorer returned {reward}, outside [0, 1]")
    return reward


def explain(completion: str, answer: str | None, reward: float, split: Split) -> str:
    """Feedback on a completion whose right answer is `answer` (None: the task has no single one to show)."""
    if reward == 1.0:
        return "Correct."
    given = completion.strip()
    train = split == "train"
    if not given:
        said = "The answer is empty."
    elif train and answer is not None and _stands_in(answer.strip(), given):
        said = "Right answer but surrounded by other text; reply with the answer alone."
    else:
        said = f"Answered '{quote(given)}', wrong."
    return f"{said} The right answer is '{answer}'." if train and answer is not None else said


def _stands_in(answer: str, given: str) -> bool:
    """The answer stands in the text as a word of its own: 4 is not in 14, in -4 or in 4.5."""
    if not answer or answer == given or answer not in given:
        return False
    return re.search(rf"(?<![\w.\-]){re.escape(answer)}(?!\w|[.,]\d)", given) is not None


def quote(text: str) -> str:
    """The text as feedback may quote it: not too long, and nothing in it that no tokenizer or terminal can show."""
    shown = text if len(text) <= QUOTED_CHARS else text[:QUOTED_CHARS] + "..."
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in shown)
