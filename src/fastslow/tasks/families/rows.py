"""Make tasks from rows of data: the common part of `jsonl:`, `hf:`, `polaris` and `physics`.

A row is a mapping from columns to values. `Columns` says which column has which meaning, `_Reader` checks every row
before a run, and `RowsTask` divides the rows into splits and judges completions with a built-in scorer, with a function
of the user's, or by equality.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from fastslow.core import foreign
from fastslow.core.errors import BadInput
from fastslow.core.registry import load_dotted, nearest
from fastslow.core.types import Example, Message, Split, Verdict
from fastslow.tasks.scoring import Scorer, scorer_named, verdict
from fastslow.tasks.scoring.texts import canonical
from fastslow.tasks.splits import HELD_OUT_DEFAULT, HELD_OUT_SHARE, SPLITS, Candidate, Sizes, cap, divide
from fastslow.tasks.verdicts import Unscored, as_reward, explain

logger = logging.getLogger(__name__)

Row = dict[str, Any]
ScoringFunction = Callable[[str, Row], Any]


@dataclass(frozen=True)
class Columns:
    """Name the columns by meaning. None: the default name, and the column may be missing; "" leaves it out."""

    question: str | None = None
    answer: str | None = None
    id: str | None = None
    split: str | None = None

    def named(self) -> dict[str, str]:
        """Return the columns that were given, as they stand in a task's name."""
        given = {part.name: getattr(self, part.name) for part in fields(self)}
        return {part: column for part, column in given.items() if column}


DEFAULT = Columns()


@dataclass(frozen=True)
class Rows:
    """Hold numbered rows, the source's word for one (the line of a file, the row of a data set), and how many rows were
    left out, by reason."""

    rows: list[tuple[int, Row]]
    place: str = "row"
    dropped: Mapping[str, int] = field(default_factory=dict)


class RowsTask:
    """Use rows as examples. `duplicates` counts the rows dropped because their question came before, `dropped` the rows
    that do not belong to the task.

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
        self._judge, self._function = _load_scorer(scorer, name)
        self._reader = _Reader(name, columns, source, judge=self._judge, scored=self._function is not None)
        self._unscored = Unscored(name, logger)
        self.dropped = dict(source.dropped)
        for reason, count in self.dropped.items():
            logger.warning("task '%s': left out %d rows: %s.", name, count, reason)
        sizes: dict[Split, int | None] = {"train": train_size, "validation": validation_size, "test": test_size}
        candidates = self._reader.candidates()
        self.duplicates = len(source.rows) - len(candidates)
        if self.duplicates:
            logger.warning("task '%s': dropped %d rows that repeat a question.", name, self.duplicates)
        splits = _split_up(candidates, self._reader.split_of, sizes, name)
        self._splits = {split: [c.example(kind, name, split) for c in group] for split, group in splits.items()}

    def split(self, name: Split) -> Sequence[Example]:
        return self._splits[name]

    def score(self, example: Example, completion: str) -> Verdict:
        row = example.payload["row"]
        if self._judge is not None:
            gold = self._reader.answer_of(row) or ""
            judged = verdict(self._judge.judge(completion, gold), self._judge, gold, example.split)
            return judged if judged.scored else self._unscored(judged.info["unscored"])
        if self._function is not None:
            return self._ask(self._function, completion, row, example.split)
        answer = self._reader.answer_of(row)
        reward = float(answer is not None and canonical(completion) == canonical(answer))
        return Verdict(reward, explain(completion, answer, reward, example.split))

    def answer(self, example: Example) -> str | None:
        answer = self.stated_answer(example)
        return answer if answer is not None and self.score(example, answer).reward == 1.0 else None

    def stated_answer(self, example: Example) -> str | None:
        """Return the right answer in the row, whether or not the scorer accepts it; None for no answer, or for a
        pattern."""
        answer = self._reader.answer_of(example.payload["row"])
        return answer if answer is None or self._judge is None else self._judge.completion(answer)

    def literal_answer(self, example: Example) -> str | None:
        """Return why the scorer accepts the letters of this right answer only; None where it compares values."""
        answer = self._reader.answer_of(example.payload["row"])
        literal = getattr(self._judge, "literal", None)
        return None if answer is None or literal is None else literal(answer)

    def _ask(self, function: ScoringFunction, completion: str, row: Row, split: Split) -> Verdict:
        try:
            result = foreign.call(function, completion, foreign.fresh(row), who=f"the scorer of task '{self.name}'")
        except foreign.Failed as fault:  # no fault of a scorer may become a reward, and the run continues
            return self._unscored(f"the scorer raised {fault}")
        if result is None:
            return self._unscored("the scorer returned None")
        score, feedback = result if isinstance(result, tuple) and len(result) == 2 else (result, "")
        try:
            reward = as_reward(score)
        except (ValueError, ArithmeticError) as error:
            return self._unscored(str(error))
        if not isinstance(feedback, str):
            return self._unscored(f"the scorer's feedback is {type(feedback).__name__}, not text")
        # A scorer does not know which split it judges, and its feedback may name the right answer.
        return Verdict(reward, feedback if feedback and split == "train" else _plain_feedback(reward))


def _plain_feedback(reward: float) -> str:
    if reward == 1.0:
        return "Correct."
    return "Wrong." if reward == 0.0 else f"Scored {reward:.2f} of 1."


def _load_scorer(
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


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class _Reader:
    """Read the parts of a row by their columns, and name a wrong row in its source's own count."""

    def __init__(self, task: str, columns: Columns, source: Rows, *, judge: Scorer | None, scored: bool):
        self.task = task
        self.rows = source.rows
        self.place = source.place
        self.judge = judge
        self.question = columns.question or "question"
        if columns.question is None and "question" not in self.rows[0][1] and "messages" in self.rows[0][1]:
            self.question = "messages"
        self.answer = self._part("answer", columns.answer)
        self.id = self._part("id", columns.id)
        self.split = self._part("split", columns.split)
        if self.answer is None and not scored:
            raise BadInput(
                f"task '{task}': nothing to score with; add an 'answer' column, or a scorer of your own that "
                "needs none: ?scorer=module:name."
            )
        self.needs_answer = not scored

    def _part(self, default: str, named: str | None) -> str | None:
        """Return the column of an optional part: the named one, which must exist, or the default one if any row has
        it."""
        if named == "":
            return None
        column = named or default
        if any(column in row for _, row in self.rows):
            return column
        if named is None:
            return None
        known = {key for _, row in self.rows for key in row}
        raise BadInput(f"task '{self.task}': no row has the column '{named}'.{nearest(named, known)}")

    def candidates(self) -> list[Candidate]:
        """Return distinct questions in file order. Raises BadInput where a repeated question would leak between
        splits."""
        first: dict[str, Candidate] = {}
        ids: dict[str, int] = {}
        for number, row in self.rows:
            candidate = Candidate(self._messages(number, row), {"row": row, "line": number}, self._id(number, row, ids))
            self._check_answer(number, row)
            split = self._split(number, row)
            known = first.setdefault(candidate.content, candidate)
            if known is not candidate and self.split_of(known) != split:
                raise BadInput(
                    f"task '{self.task}': {self.place}s {known.payload['line']} and {number} ask the same question "
                    f"in two splits ({self.split_of(known)} and {split}), which leaks; keep one of them."
                )
        return list(first.values())

    def split_of(self, candidate: Candidate) -> Split | None:
        return candidate.payload["row"][self.split] if self.split else None

    def answer_of(self, row: Row) -> str | None:
        value = row.get(self.answer) if self.answer else None
        if isinstance(value, str):
            return value
        kinds = int | float if self.judge is None else int | float | list | dict
        return json.dumps(value) if isinstance(value, kinds) else None

    def _check_answer(self, number: int, row: Row) -> None:
        answer = self.answer_of(row)
        if self.needs_answer and answer is None:
            self._bad(number, f"has no text or number as '{self.answer}'", "only a scorer of your own does without")
        if self.judge is not None and answer is not None:
            objection = self.judge.objection(answer) if answer.isprintable() or _encodes(answer) else "is not text"
            if objection:
                self._bad(number, f"cannot be scored: '{self.answer}' {objection}", f"mend or remove the {self.place}")

    def _messages(self, number: int, row: Row) -> tuple[Message, ...]:
        if self.question not in row:
            raise BadInput(
                f"task '{self.task}': {self.place} {number} has no column '{self.question}'."
                f"{nearest(self.question, row)} "
                "Another column is chosen with ?question=NAME."
            )
        value = row[self.question]
        turns = [{"role": "user", "content": value}] if isinstance(value, str) else value
        if not isinstance(turns, list) or not turns:
            self._bad(number, f"has neither text nor chat turns as '{self.question}'", "write a text")
        return tuple(self._turn(number, turn) for turn in turns)

    def _turn(self, number: int, turn: Any) -> Message:
        role, content = (turn.get("role"), turn.get("content")) if isinstance(turn, dict) else (None, None)
        if role == "system":
            self._bad(number, "has a system turn", "leave it out: the context supplies the instruction")
        if role != "user" or not isinstance(content, str):
            self._bad(number, "has a turn other than a user turn with text", 'write {"role": "user", "content": "..."}')
        assert isinstance(content, str)
        if not content.strip():
            self._bad(number, "has an empty question", f"write one or remove the {self.place}")
        if not _encodes(content):
            self._bad(number, "has half a surrogate pair in its question", "no tokenizer reads it: remove it")
        return {"role": "user", "content": content}

    def _id(self, number: int, row: Row, ids: dict[str, int]) -> str | None:
        if self.id is None:
            return None
        value = row.get(self.id)
        if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
            self._bad(number, f"has no text or whole number as '{self.id}'", "give every row an id, or none")
        first = ids.setdefault(str(value), number)
        if first != number:
            raise BadInput(
                f"task '{self.task}': {self.place}s {first} and {number} have the same id '{value}'; change one."
            )
        return str(value)

    def _split(self, number: int, row: Row) -> str | None:
        if self.split is None:
            return None
        value = row.get(self.split)
        if value not in SPLITS:
            self._bad(number, f"has {value!r} as '{self.split}'", f"every row or none says one of {', '.join(SPLITS)}")
        return value

    def _bad(self, number: int, what: str, mend: str) -> None:
        raise BadInput(f"task '{self.task}': {self.place} {number} {what}; {mend}.")


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
