"""Judge for the built-in tasks: read a scorer's number, word the feedback, log what has no score.

Feedback may contain the right answer on training examples only. On validation and test it says nothing that the
completion did not say itself, not even whether the right answer stood somewhere in the completion.
"""

from __future__ import annotations

import logging
import numbers
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import numpy as np

from fastslow.core import foreign
from fastslow.core.types import Split, Verdict

QUOTED_CHARS = 200  # characters of a wrong answer in feedback: enough to recognise it, cheap for a reflection LM
ROUNDING = 1e-9  # a score this near to 1 is 1: scorers average floats
REASONS_KEPT = 100  # distinct reasons logged per task: a scorer that fails in more ways has been noticed by then


class Unscored:
    """Make unscored verdicts, logging each distinct reason once per task, with the first example concerned."""

    def __init__(self, task: str, logger: logging.Logger):
        self.task = task
        self.logger = logger
        self.reasons: set[str] = set()

    def __call__(self, reason: str, where: str) -> Verdict:
        reason = reason[:500]
        if reason not in self.reasons and len(self.reasons) < REASONS_KEPT:
            self.reasons.add(reason)
            self.logger.warning("task '%s': a rollout of %s is unscored: %s", self.task, where, reason)
        return Verdict.unscored(reason)


def as_reward(score: Any) -> float:
    """Return the score as a reward in [0, 1]: a number of Python, or a scalar of NumPy, torch and their like.

    Raises ValueError saying why a score is not one.
    """
    try:
        number = score.item() if getattr(score, "ndim", None) == 0 else score
        reward = float(number) if isinstance(number, numbers.Real | np.bool_ | Decimal) else None
    except Exception as error:  # a number type of the user's may raise anything
        raise ValueError(
            f"the scorer returned {type(score).__name__}, not a number ({foreign.words(error)})"
        ) from error
    if reward is None:
        raise ValueError(f"the scorer returned {type(score).__name__}, not a number")
    if 1.0 - ROUNDING <= reward <= 1.0 + ROUNDING:
        return 1.0
    if not 0.0 <= reward <= 1.0:  # false for NaN as well
        raise ValueError(f"the scorer returned {reward}, outside [0, 1]")
    return reward


def checked_verdict(verdict: Any) -> Verdict:
    """Return a user's verdict with a plain number, a text and a dict. Raises ValueError saying what it is instead."""
    if not isinstance(verdict, Verdict):
        raise ValueError(f"scoring returned {type(verdict).__name__}, not a fastslow.core.types.Verdict")
    if not isinstance(verdict.feedback, str):
        raise ValueError(f"the scorer's feedback is {type(verdict.feedback).__name__}, not text")
    if not isinstance(verdict.info, Mapping):
        raise ValueError(f"the info of a verdict is {type(verdict.info).__name__}, not a mapping")
    reward = None if verdict.reward is None else as_reward(verdict.reward)
    return Verdict(reward, verdict.feedback, foreign.fresh(dict(verdict.info)))


def explain(completion: str, answer: str | None, reward: float, split: Split) -> str:
    """Return feedback on a completion whose right answer is `answer` (None: the task has no single answer to show)."""
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
    """Return whether the answer stands in the text as a word of its own: 4 is not in 14, in -4 or in 4.5."""
    if not answer or answer == given or answer not in given:
        return False
    return re.search(rf"(?<![\w.\-]){re.escape(answer)}(?!\w|[.,]\d)", given) is not None


def quote(text: str) -> str:
    """Return the text as feedback may quote it: shortened, and without characters that no tokenizer or terminal can
    show."""
    shown = text if len(text) <= QUOTED_CHARS else text[:QUOTED_CHARS] + "..."
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in shown)
