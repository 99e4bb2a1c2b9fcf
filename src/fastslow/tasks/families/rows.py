"""Make tasks from rows of data: the common part of `jsonl:`, `hf:`, `polaris` and `physics`.

A row is a mapping from columns to values. `reader` checks every row before a run, by the columns that have a meaning;
`RowsTask` divides the rows into splits and judges completions with a built-in scorer, with a function of the user's, or
by equality.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fastslow.core import foreign
from fastslow.core.errors import BadInput
from fastslow.core.registry import load_dotted
from fastslow.core.types import Example, Split, Verdict, conversation
from fastslow.tasks.doubts import Doubts, Question, doubt_wordings, doubts_about, summaries
from fastslow.tasks.families.reader import DEFAULT, Columns, Reader, Row, Rows
from fastslow.tasks.scoring import Scorer, scorer_named, verdict
from fastslow.tasks.scoring.texts import Exact, canonical
from fastslow.tasks.splits import HELD_OUT_DEFAULT, HELD_OUT_SHARE, SPLITS, Candidate, Sizes, cap, divide
from fastslow.tasks.verdicts import Unscored, as_reward, explain

logger = logging.getLogger(__name__)

__all__ = ["DEFAULT", "Columns", "Row", "Rows", "RowsTask", "ScoringFunction"]

ScoringFunction = Callable[[str, Row], Any]


class RowsTask:
    """Use rows as examples. `duplicates` counts the rows dropped because their question came before, `dropped` the rows
    that do not belong to the task; `doubts` holds what is usable and perhaps not meant, with its rows.

    `scorer` is a built-in scorer or its name, a function `(completion, row)` or its dotted path, or None for equality
    with the answer. Ids are made from `kind`. Sizes are upper bounds; without a split column, validation and test
    default to 64 rows each, or one fifth of all where that is less, and train to all the rest.

    Raises BadInput, naming the row, for what cannot be used.
    """

    def __init__(
        self,
        name: str,
        kind: str,
        source: Rows,
        *,
        columns: Columns = DEFAULT,
        scorer: str | Scorer | ScoringFunction | None = None,
        train_size: int | None = None,
        validation_size: int | None = None,
        test_size: int | None = None,
    ):
        self.name = name
        self._judge, self._function = load_scorer(scorer, name)
        self._reader = Reader(name, columns, source, judge=self._judge, scored=self._function is not None)
        self._unscored = Unscored(name, logger)
        self.row_numbering = source.numbering
        self.dropped = dict(source.dropped)
        for reason, count in self.dropped.items():
            logger.warning("task '%s': left out %d %s: %s.", name, count, "row" if count == 1 else "rows", reason)
        sizes: dict[Split, int | None] = {"train": train_size, "validation": validation_size, "test": test_size}
        candidates = self._reader.candidates()
        self.duplicates = len(source.rows) - len(candidates)
        if self.duplicates:
            repeats = "row that repeats" if self.duplicates == 1 else "rows that repeat"
            logger.warning("task '%s': dropped %d %s a question.", name, self.duplicates, repeats)
        self.doubts = self._doubts(candidates)
        for line in summaries(self.doubts.problems | self.doubts.remarks, f"{source.place}s"):
            logger.warning("task '%s': %s.", name, line)
        splits = _split_up(candidates, self._reader.split_of, sizes, name)
        self._splits = {split: [c.example(kind, name, split) for c in group] for split, group in splits.items()}

    def _doubts(self, candidates: Sequence[Candidate]) -> Doubts:
        reader = self._reader
        answers = [reader.answer_of(c.payload["row"]) for c in candidates]
        questions = [
            Question(reader.at(c), conversation(c.messages), answer)
            for c, answer in zip(candidates, answers, strict=True)
        ]
        doubts = doubts_about(questions)
        doubt_wordings(questions, doubts)
        for place in reader.contradictions:
            doubts.problem("rows ask one question and have different answers; the first is kept", place)
        if any(answers):
            for candidate, answer in zip(candidates, answers, strict=True):
                value = candidate.payload["row"].get(reader.answer)
                if answer is None and not isinstance(value, list | dict):
                    doubts.remark("there is no answer", reader.at(candidate))
                elif self._compares_letters and isinstance(value, float) and value.is_integer():
                    doubts.remark("answers are compared letter by letter: 24 is wrong for 24.0", reader.at(candidate))
        return doubts

    @property
    def _compares_letters(self) -> bool:
        return isinstance(self._judge, Exact) or (self._judge is None and self._function is None)

    def split(self, name: Split) -> Sequence[Example]:
        return self._splits[name]

    def score(self, example: Example, completion: str) -> Verdict:
        row = example.payload["row"]
        if self._judge is not None:
            gold = self._reader.answer_of(row) or ""
            judged = verdict(self._judge.judge(completion, gold), self._judge, gold, example.split)
            return judged if judged.scored else self._unscored(judged.info["unscored"], example.where)
        if self._function is not None:
            return asked(self._function, completion, row, example, self._unscored)
        answer = self._reader.answer_of(row)
        reward = float(answer is not None and canonical(completion) == canonical(answer))
        return Verdict(reward, explain(completion, answer, reward, example.split))

    def answer(self, example: Example) -> str | None:
        answer = self.stated_answer(example)
        return answer if answer is not None and self.score(example, answer).reward == 1.0 else None

    def stated_answer(self, example: Example) -> str | None:
        """Return the right answer in the row, whether or not the scorer accepts it; None for no answer, or for a
        pattern. A list or an object is the answer to a function of the user's, as JSON, where it is accepted: it may as
        well hold several answers."""
        row = example.payload["row"]
        answer = self._reader.answer_of(row)
        if answer is None and self._function is not None:
            written = self._reader.written_answer(row)
            return written if written is not None and self.score(example, written).reward == 1.0 else None
        return answer if answer is None or self._judge is None else self._judge.completion(answer)

    def literal_answer(self, example: Example) -> str | None:
        """Return why the scorer accepts the letters of this right answer only; None where it compares values."""
        answer = self._reader.answer_of(example.payload["row"])
        literal = getattr(self._judge, "literal", None)
        return None if answer is None or literal is None else literal(answer)


def asked(
    function: ScoringFunction, completion: str, row: Mapping[str, Any], example: Example, unscored: Unscored
) -> Verdict:
    """Return the verdict of a function of the user's on a completion; it gets a copy of the row."""
    where = example.where
    try:
        result = foreign.call(function, completion, foreign.fresh(row), who=f"the scorer of task '{unscored.task}'")
    except foreign.Failed as fault:  # no fault of a scorer may become a reward, and the run continues
        return unscored(f"the scorer raised {fault}", where)
    if result is None:
        return unscored("the scorer returned None", where)
    score, feedback = result if isinstance(result, tuple) and len(result) == 2 else (result, "")
    try:
        reward = as_reward(score)
    except (ValueError, ArithmeticError) as error:
        return unscored(str(error), where)
    if not isinstance(feedback, str):
        return unscored(f"the scorer's feedback is {type(feedback).__name__}, not text", where)
    # A scorer does not know which split it judges, and its feedback may name the right answer.
    return Verdict(reward, feedback if feedback and example.split == "train" else _plain_feedback(reward))


def _plain_feedback(reward: float) -> str:
    if reward == 1.0:
        return "Correct."
    return "Wrong." if reward == 0.0 else f"Scored {reward:.2f} of 1."


def load_scorer(
    scorer: str | Scorer | ScoringFunction | None, task: str
) -> tuple[Scorer | None, ScoringFunction | None]:
    """Return a built-in scorer or a function of the user's: only a dotted path has a dot or a colon."""
    if isinstance(scorer, str):
        if "." not in scorer and ":" not in scorer:
            return scorer_named(scorer, task), None
        path = scorer
        scorer = load_dotted(path, f"task '{task}': scorer")
        if not callable(scorer):
            raise BadInput(f"task '{task}': scorer '{path}' is not a function; name one taking (completion, row).")
    if scorer is None or callable(scorer):
        return None, scorer
    return scorer, None


def _split_up(
    candidates: list[Candidate],
    split_of: Callable[[Candidate], Split | None],
    sizes: Mapping[Split, int | None],
    task: str,
) -> Mapping[Split, list[Candidate]]:
    """Divide by the user's split column where there is one, otherwise by content."""
    share = min(HELD_OUT_DEFAULT, max(1, int(len(candidates) * HELD_OUT_SHARE)))
    defaults: dict[Split, int] = {"train": len(candidates), "validation": share, "test": share}
    chosen = Sizes(*(defaults[split] if sizes[split] is None else sizes[split] for split in SPLITS))  # type: ignore[arg-type]
    chosen.check(task)
    if split_of(candidates[0]) is None:
        return divide(candidates, chosen, task).splits
    return cap({split: [c for c in candidates if split_of(c) == split] for split in SPLITS}, sizes)
