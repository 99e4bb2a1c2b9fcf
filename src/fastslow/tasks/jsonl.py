"""Tasks from a file of one's own: `jsonl:data/my.jsonl?scorer=my_package.my_module:score`.

One JSON object a line. Columns, each of which another name can be given for (`question=prompt`):

    question   text, or a list of user turns (then `messages` is looked for as well)
    answer     text or a number; optional where there is a scorer
    id         text or a whole number, unique; optional
    split      train, validation or test, on every row or on none; optional

A scorer is called as `scorer(completion, row)` and returns a number in [0, 1], a pair of that and a feedback text,
or None where it cannot judge. Without one, the completion must equal the answer.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ..errors import BadInput
from ..registry import load_dotted, nearest
from ..types import Example, Message, Split, Verdict
from .base import TASKS
from .spec import format_spec
from .splits import HELD_OUT_DEFAULT, HELD_OUT_SHARE, SPLITS, Candidate, Sizes, cap, divide
from .verdicts import Unscored, as_reward, explain

logger = logging.getLogger(__name__)

FAMILY = "jsonl"
Row = dict[str, Any]
Scorer = Callable[[str, Row], Any]


@dataclass(frozen=True)
class Columns:
    """Which column plays which part. None: the default name, and the part may be missing."""

    question: str | None = None
    answer: str | None = None
    id: str | None = None
    split: str | None = None


class JsonlTask:
    """The rows of a JSONL file as examples. `duplicates` counts the rows dropped because their question came before.

    `scorer` is a callable or the dotted path of one. Sizes are upper bounds; without a split column, validation
    and test default to 64 rows each, or a fifth of the file where that is less, and train to all the rest.

    Raises BadInput, naming the line, for a file or a row that cannot be used.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        columns: Columns = Columns(),
        scorer: str | Scorer | None = None,
        train_size: int | None = None,
        validation_size: int | None = None,
        test_size: int | None = None,
    ):
        self.path = Path(path).expanduser()
        named = {part.name: getattr(columns, part.name) for part in fields(columns)}
        named["scorer"] = scorer if isinstance(scorer, str) else None
        self.name = format_spec(f"{FAMILY}:{path}", {key: name for key, name in named.items() if name})
        rows = _read(self.path, self.name)
        self._reader = _Reader(self.name, columns, rows, scored=scorer is not None)
        self._scorer = _load_scorer(scorer, self.name)
        self._unscored = Unscored(self.name, logger)
        sizes: dict[Split, int | None] = {"train": train_size, "validation": validation_size, "test": test_size}
        candidates = self._reader.candidates()
        self.duplicates = len(rows) - len(candidates)
        if self.duplicates:
            logger.warning("task '%s': dropped %d rows that repeat a question.", self.name, self.duplicates)
        splits = _split_up(candidates, self._reader.split_of, sizes, self.name)
        self._splits = {
            split: [c.example(f"{FAMILY}:{self.path.name}", self.name, split) for c in found]
            for split, found in splits.items()
        }

    def split(self, name: Split) -> Sequence[Example]:
        return self._splits[name]

    def score(self, example: Example, completion: str) -> Verdict:
        row = example.payload["row"]
        if self._scorer is None:
            answer = self._reader.answer_of(row)
            reward = float(answer is not None and completion.strip() == answer.strip())
            return Verdict(reward, explain(completion, answer, reward, example.split))
        try:
            result = self._scorer(completion, dict(row))
        except Exception as error:  # the scorer is the user's: whatever it raises, the run goes on
            return self._unscored(f"the scorer raised {type(error).__name__}: {error}")
        if result is None:
            return self._unscored("the scorer returned None")
        score, feedback = result if isinstance(result, tuple) and len(result) == 2 else (result, "")
        try:
            reward = as_reward(score)
        except (ValueError, ArithmeticError) as error:
            return self._unscored(str(error))
        if not isinstance(feedback, str):
            return self._unscored(f"the scorer's feedback is {type(feedback).__name__}, not text")
        # A scorer does not know which split it judges, and may well name the right answer.
        return Verdict(reward, feedback if feedback and example.split == "train" else _plain_feedback(reward))

    def answer(self, example: Example) -> str | None:
        answer = self._reader.answer_of(example.payload["row"])
        return answer if answer is not None and self.score(example, answer).reward == 1.0 else None


def _plain_feedback(reward: float) -> str:
    if reward == 1.0:
        return "Correct."
    return "Wrong." if reward == 0.0 else f"Scored {reward:.2f} of 1."


def _load_scorer(scorer: str | Scorer | None, task: str) -> Scorer | None:
    if isinstance(scorer, str):
        path = scorer
        scorer = load_dotted(path, f"task '{task}': scorer")
        if not callable(scorer):
            raise BadInput(f"task '{task}': scorer '{path}' is not a function; name one taking (completion, row).")
    return scorer


def _read(path: Path, task: str) -> list[tuple[int, Row]]:
    """Line numbers, counted from 1, and rows. Blank lines are passed over."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise BadInput(f"task '{task}': line {line} is not UTF-8; save the file as UTF-8.") from None
    except OSError as error:
        raise BadInput(f"task '{task}': cannot read '{path}' ({error.strerror}); give the path of a file.") from None
    rows = []
    # Not splitlines(): a line separator inside a JSON text ends no row.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise BadInput(f"task '{task}': line {number} is not JSON ({error}); write one object a line.") from None
        if not isinstance(row, dict):
            raise BadInput(f"task '{task}': line {number} is a JSON {type(row).__name__}; write one object a line.")
        rows.append((number, row))
    if not rows:
        raise BadInput(f"task '{task}': '{path}' is empty; write one JSON object a line.")
    return rows


class _Reader:
    """Reads the parts of a row by their columns, and says which line is wrong."""

    def __init__(self, task: str, columns: Columns, rows: list[tuple[int, Row]], *, scored: bool):
        self.task = task
        self.rows = rows
        self.question = columns.question or "question"
        if columns.question is None and "question" not in rows[0][1] and "messages" in rows[0][1]:
            self.question = "messages"
        self.answer = self._part("answer", columns.answer)
        self.id = self._part("id", columns.id)
        self.split = self._part("split", columns.split)
        if self.answer is None and not scored:
            raise BadInput(f"task '{task}': nothing to score with; add an 'answer' column or ?scorer=module:name.")
        self.needs_answer = not scored

    def _part(self, default: str, named: str | None) -> str | None:
        """The column of an optional part: the one named, which must exist, or the default one if any row has it."""
        column = named or default
        if any(column in row for _, row in self.rows):
            return column
        if named is None:
            return None
        known = {key for _, row in self.rows for key in row}
        raise BadInput(f"task '{self.task}': no row has the column '{named}'.{nearest(named, known)}")

    def candidates(self) -> list[Candidate]:
        """Distinct questions in file order. Raises BadInput where a repeated question would leak between splits."""
        first: dict[str, Candidate] = {}
        ids: dict[str, int] = {}
        for number, row in self.rows:
            candidate = Candidate(self._messages(number, row), {"row": row, "line": number}, self._id(number, row, ids))
            self._check_answer(number, row)
            split = self._split(number, row)
            known = first.setdefault(candidate.content, candidate)
            if known is not candidate and self.split_of(known) != split:
                raise BadInput(
                    f"task '{self.task}': lines {known.payload['line']} and {number} ask the same question in two "
                    f"splits ({self.split_of(known)} and {split}), which leaks; keep one of them."
                )
        return list(first.values())

    def split_of(self, candidate: Candidate) -> Split | None:
        return candidate.payload["row"][self.split] if self.split else None

    def answer_of(self, row: Row) -> str | None:
        value = row.get(self.answer) if self.answer else None
        if isinstance(value, str):
            return value
        return json.dumps(value) if isinstance(value, int | float) else None

    def _check_answer(self, number: int, row: Row) -> None:
        if self.needs_answer and self.answer_of(row) is None:
            self._bad(number, f"has no text or number as '{self.answer}'", "without a scorer every row needs one")

    def _messages(self, number: int, row: Row) -> tuple[Message, ...]:
        if self.question not in row:
            raise BadInput(
                f"task '{self.task}': line {number} has no column '{self.question}'.{nearest(self.question, row)} "
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
            self._bad(number, "has a turn that is no user turn with text", 'write {"role": "user", "content": "..."}')
        assert isinstance(content, str)
        if not content.strip():
            self._bad(number, "has an empty question", "write one or remove the line")
        try:
            content.encode()
        except UnicodeEncodeError:
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
            raise BadInput(f"task '{self.task}': lines {first} and {number} have the same id '{value}'; change one.")
        return str(value)

    def _split(self, number: int, row: Row) -> str | None:
        if self.split is None:
            return None
        value = row.get(self.split)
        if value not in SPLITS:
            self._bad(number, f"has {value!r} as '{self.split}'", f"every row or none says one of {', '.join(SPLITS)}")
        return value

    def _bad(self, number: int, what: str, mend: str) -> None:
        raise BadInput(f"task '{self.task}': line {number} {what}; {mend}.")


def _split_up(
    candidates: list[Candidate],
    split_of: Callable[[Candidate], Split | None],
    sizes: Mapping[Split, int | None],
    task: str,
) -> Mapping[Split, list[Candidate]]:
    """By the user's split column where there is one, otherwise by content."""
    share = min(HELD_OUT_DEFAULT, max(1, int(len(candidates) * HELD_OUT_SHARE)))
    defaults: dict[Split, int] = {"train": len(candidates), "validation": share, "test": share}
    chosen = Sizes(*(defaults[split] if sizes[split] is None else sizes[split] for split in SPLITS))  # type: ignore[arg-type]
    chosen.check(task)
    if split_of(candidates[0]) is None:
        return divide(candidates, chosen, task).splits
    return cap({split: [c for c in candidates if split_of(c) == split] for split in SPLITS}, sizes)


@TASKS.register(FAMILY)
def from_spec(rest: str, params: Mapping[str, str], *, data_seed: int = 0, **sizes: int) -> JsonlTask:
    """The task of `jsonl:REST?params`. A file is not drawn, so `data_seed` has no part in it."""
    columns = {part.name for part in fields(Columns)}
    for key in params:
        if key not in columns and key != "scorer":
            raise BadInput(f"task '{FAMILY}:{rest}' has no parameter '{key}'.{nearest(key, {*columns, 'scorer'})}")
    named = {key: value for key, value in params.items() if key in columns}
    return JsonlTask(rest, columns=Columns(**named), scorer=params.get("scorer"), **sizes)
