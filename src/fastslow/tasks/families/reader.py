"""Read the parts of a row by their columns: question, right answer, id and split, each checked before a run.

Whatever cannot be used is refused with its row. What is usable but doubtful is collected by `tasks.doubts`.
"""

from __future__ import annotations

import json
import math
import numbers
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal
from typing import Any, NoReturn

from fastslow.core.errors import BadInput
from fastslow.core.registry import nearest
from fastslow.core.types import Message, Split
from fastslow.tasks.damage import eaten_command, encodes
from fastslow.tasks.doubts import excerpt, same_answer
from fastslow.tasks.families.columns import named_columns
from fastslow.tasks.families.faults import BadRow, Faults
from fastslow.tasks.scoring import Scorer
from fastslow.tasks.scoring.extract import is_blank
from fastslow.tasks.scoring.values import Json
from fastslow.tasks.splits import SPLITS, Candidate

Row = dict[str, Any]


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
    left out, by reason. `numbering` is a sentence on how the rows are counted, where that is not plain."""

    rows: list[tuple[int, Row]]
    place: str = "row"
    dropped: Mapping[str, int] = field(default_factory=dict)
    numbering: str = ""


def answer_text(value: Any, *, structured: bool = False) -> str | None:
    """Return a right answer as text; None for what is missing (nothing, blank, NaN) or no answer (infinity, bytes, a
    date). With `structured`, lists and objects are read as the JSON that they are."""
    if isinstance(value, str):
        return None if is_blank(value) else value
    if isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, numbers.Integral):
        return str(int(value))
    if isinstance(value, Decimal):
        return f"{value:f}" if value.is_finite() else None
    if isinstance(value, numbers.Real):
        return json.dumps(float(value)) if math.isfinite(value) else None
    if structured and isinstance(value, list | dict):
        try:
            text = json.dumps(value, ensure_ascii=False)  # what a model reads and writes, not escapes
            return text if encodes(text) else json.dumps(value)
        except TypeError:  # a date or bytes somewhere inside, from a Parquet file
            return None
    return None


class Reader:
    """Read the rows of one source. Raises BadInput, which names a wrong row in the source's own count.

    `scored` says that a function of the user's scores, which needs no answers. `contradictions` holds the rows that ask
    an earlier row's question and have another answer.
    """

    def __init__(self, task: str, columns: Columns, source: Rows, *, judge: Scorer | None, scored: bool):
        self.task = task
        self.rows = source.rows
        self.place = source.place
        self.faults = Faults(task, source.place, source.numbering)
        self.judge = judge
        self.needs_answer = not scored
        self.contradictions: list[str] = []
        self.question = columns.question or "question"
        if columns.question is None and "question" not in self.rows[0][1] and "messages" in self.rows[0][1]:
            self.question = "messages"
        self.answer = self._part("answer", columns.answer)
        self.id = self._part("id", columns.id)
        self.split = self._part("split", columns.split)
        unasked = columns.question is None and not any(self.question in row for _, row in self.rows)
        if unasked or (self.answer is None and not scored):
            raise BadInput(
                named_columns(task, self.rows, question=not unasked, answer=self.answer is not None or scored)
            )

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
        """Return distinct questions in file order. Raises BadInput that names every row that cannot be used, and every
        repeated question that would leak between splits."""
        first: dict[str, Candidate] = {}
        ids: dict[str, int] = {}
        for number, row in self.rows:
            try:
                candidate = self.candidate(number, row, ids)
                known = first.setdefault(candidate.content, candidate)
                if known is not candidate:
                    self._check_repeat(known, candidate, "ask the same question")
            except BadRow as fault:
                self.faults.add(fault)
        if self.split:
            self._check_wordings(list(first.values()))
        self.faults.refuse()
        return list(first.values())

    def candidate(self, number: int, row: Row, ids: dict[str, int] | None = None) -> Candidate:
        """Return the question of one row; `ids` are those of the rows before. Raises BadRow for one of a wrong form."""
        messages, own_id = self._messages(number, row), self._id(number, row, {} if ids is None else ids)
        self._check_answer(number, row)
        self._split(number, row)
        # `answer` is what no context may copy from a held-out example; scorers read the row.
        payload = {"row": row, "line": number, "place": self.place, "answer": self.written_answer(row)}
        return Candidate(messages, payload, own_id)

    def split_of(self, candidate: Candidate) -> Split | None:
        return candidate.payload["row"][self.split] if self.split else None

    def answer_of(self, row: Row) -> str | None:
        return answer_text(row.get(self.answer), structured=self._reads_values) if self.answer else None

    def written_answer(self, row: Row) -> str | None:
        """Return the answer as text, lists and objects as JSON whatever scores; a function of the user's may or may not
        take that for the answer."""
        return answer_text(row.get(self.answer), structured=True) if self.answer else None

    def at(self, candidate: Candidate) -> str:
        """Return where a question stands, such as "line 3"."""
        return f"{self.place} {candidate.payload['line']}"

    @property
    def _reads_values(self) -> bool:
        return isinstance(self.judge, Json)

    def _check_repeat(self, known: Candidate, again: Candidate, how: str) -> None:
        lines = f"{self.place}s {known.payload['line']} and {again.payload['line']}"
        splits = self.split_of(known), self.split_of(again)
        if splits[0] != splits[1]:
            what = f"{how} in two splits ({splits[0]} and {splits[1]}), which leaks"
            raise BadRow(again.payload["line"], what, "; keep one of them.", lines)
        one, other = self.answer_of(known.payload["row"]), self.answer_of(again.payload["row"])
        if not same_answer(one, other) and not self._accepts(one or "", other or ""):
            self.contradictions.append(f"{lines}: {excerpt(one or '')} and {excerpt(other or '')}")

    def _accepts(self, gold: str, other: str) -> bool:
        """Return whether the scorer takes two answers for one, such as 0.5 and 1/2."""
        stated = None if self.judge is None else self.judge.completion(other)
        return self.judge is not None and stated is not None and self.judge.judge(stated, gold).right

    def _check_wordings(self, candidates: list[Candidate]) -> None:
        """Refuse a question of which the user's other splits have another wording with the same answer."""
        homes: dict[str, Candidate] = {}
        for candidate in candidates:
            known = homes.setdefault(candidate.identity, candidate)
            answers = (self.answer_of(c.payload["row"]) for c in (known, candidate))
            if known is not candidate and self.split_of(known) != self.split_of(candidate) and same_answer(*answers):
                how = "ask one question, but for case, spaces or the form of characters,"
                try:
                    self._check_repeat(known, candidate, how)
                except BadRow as fault:
                    self.faults.add(fault)

    def _check_answer(self, number: int, row: Row) -> None:
        value, answer = row.get(self.answer) if self.answer else None, self.answer_of(row)
        if self.needs_answer and answer is None:
            what = self._what(value) if self.answer in row else "missing"
            mend = f"mend or remove the {self.place}: only a scorer of your own does without answers"
            if isinstance(value, list | dict):
                mend = "write one answer as text, or name the scorer that compares lists and objects: ?scorer=json"
            self._bad(number, f"has no text or number as '{self.answer}' (it is {what})", mend)
        if answer is None:
            return
        self._check_text(number, self.answer or "", answer, gold=True)
        objection = self.judge.objection(answer) if self.judge is not None else None
        if objection:
            self._bad(number, f"cannot be scored: '{self.answer}' {objection}", f"mend or remove the {self.place}")
        for text in _texts(json.loads(answer)) if self._reads_values else ():
            self._check_text(number, self.answer or "", text, gold=True)

    @staticmethod
    def _what(value: Any) -> str:
        """Return in words what stands where an answer should."""
        if value is None:
            return "null"
        if isinstance(value, str):
            return "empty"
        if isinstance(value, numbers.Real | Decimal):
            return "NaN" if "nan" in str(value).lower() else "not finite"
        return {list: "a list", dict: "an object"}.get(type(value), f"of type {type(value).__name__}")

    def _check_text(self, number: int, column: str, text: str, *, gold: bool = False) -> None:
        if not encodes(text):
            self._bad(number, f"has half a surrogate pair in '{column}'", "no tokenizer reads it: remove it")
        if eaten := eaten_command(text, gold=gold):
            self._bad(
                number,
                f"has in '{column}' {eaten}: its backslash was read as an escape",
                f"write two in JSON (\\{eaten.command}), or remove the {self.place}",
            )

    def _messages(self, number: int, row: Row) -> tuple[Message, ...]:
        if self.question not in row:
            hint = f".{nearest(self.question, row)} Another column is chosen with ?question=NAME."
            raise BadRow(number, f"has no column '{self.question}'", hint)
        value = row[self.question]
        turns = [{"role": "user", "content": value}] if isinstance(value, str) else value
        if not isinstance(turns, list) or not turns:
            self._bad(number, f"has neither text nor chat turns as '{self.question}'", "write a text")
        read = tuple(self._turn(number, turn) for turn in turns)
        if {read[0]["role"], read[-1]["role"]} != {"user"}:
            self._bad(
                number,
                "has a conversation that begins or ends with an assistant turn",
                "let the user begin, and leave out the last reply: it is what the model writes",
            )
        return read

    def _turn(self, number: int, turn: Any) -> Message:
        role, content = (turn.get("role"), turn.get("content")) if isinstance(turn, dict) else (None, None)
        if role == "system":
            self._bad(number, "has a system turn", "leave it out: the context supplies the instruction")
        if role not in ("user", "assistant") or not isinstance(content, str):
            self._bad(
                number,
                "has a turn other than a user or assistant turn with text",
                'write {"role": "user", "content": "..."}',
            )
        assert isinstance(content, str)
        if is_blank(content):
            what = "question" if role == "user" else "assistant turn"
            self._bad(number, f"has an empty {what}", f"write one or remove the {self.place}")
        self._check_text(number, self.question, content)
        return {"role": str(role), "content": content}

    def _id(self, number: int, row: Row, ids: dict[str, int]) -> str | None:
        if self.id is None:
            return None
        value = row.get(self.id)
        if isinstance(value, bool) or not isinstance(value, str | int) or is_blank(str(value)):
            self._bad(number, f"has no text or whole number as '{self.id}'", "give every row an id, or none")
        if not str(value).isprintable():
            self._bad(number, f"has a character that cannot be shown in '{self.id}'", "write the id without it")
        first = ids.setdefault(str(value), number)
        if first != number:
            both = f"{self.place}s {first} and {number}"
            raise BadRow(number, f"have the same id '{value}'", "; change one.", both)
        return str(value)

    def _split(self, number: int, row: Row) -> None:
        if self.split is not None and row.get(self.split) not in SPLITS:
            value = row.get(self.split)
            mend = f"every row or none says one of {', '.join(SPLITS)}; ?split=NAME takes another column, ?split= none"
            self._bad(number, f"has {value!r} as '{self.split}'", mend)

    def _bad(self, number: int, what: str, mend: str) -> NoReturn:
        raise BadRow(number, what, f"; {mend}.")


def _texts(value: Any) -> Iterator[str]:
    """Yield every text of a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
