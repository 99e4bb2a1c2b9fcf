"""Make a task from a data set larger than memory: `hf:OWNER/NAME?streaming=1`, a folder, or a JSONL or Parquet file.

Rows are read one after another and forgotten. What is held in memory is bounded, whatever the size of the data set:

- the *head*, the first HEAD rows, which are read as those of any other data set: checked, refused or doubted, and
  divided by content into validation, test and a training part, which stands for the whole where the whole would be read
  (prompts, demonstrations, what no context may copy). With `validation=SPLIT`, and `test=SPLIT` where there is one,
  those rows come from the beginning of the named splits instead;
- BLOCKS blocks of BLOCK rows, from which training examples are taken.

**Order.** Row number n stands in block n // BLOCK; within a block rows are shuffled by the run's seed, the epoch and
the block. So the example at a position follows from seed and position alone, and a resumed run skips to its block. A
row that cannot be used (of a wrong form, or with a held-out question) is passed over for the next one of its block.

Not covered: a question that the training rows ask twice is not found.
"""

from __future__ import annotations

import functools
import itertools
import logging
import random
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from fastslow.core.errors import BadInput, FastSlowError
from fastslow.core.seeding import derive_seed
from fastslow.core.types import Example, Split
from fastslow.tasks.families.faults import BadRow
from fastslow.tasks.families.rows import Columns, Row, Rows, RowsTask
from fastslow.tasks.splits import identity

logger = logging.getLogger(__name__)

HEAD = 2048
BLOCK = 2048
BLOCKS = 4
"""Blocks in memory: the one in use, those of a lookahead that crosses a border, and one that a resumed run asks for."""
KINDS = 20
"""Kinds of rows of a wrong form that are said; the others are passed over in silence."""
HOME = "split of the source"
"""Column that marks which named split a row of the head came from, while the head is divided."""

Source = Callable[[str | None, int], Iterator[Row]]
"""`source(split, skip)` yields the rows of a split from row `skip` on, counted from 0; None: the training split."""


class StreamedTask(RowsTask):
    """Read training examples from a stream; see the module. `split("train")` is the training part of the head.

    `train_size` is the number of rows of an epoch at most. Ids are the numbers of rows, so that an example is found
    again. Raises BadInput as RowsTask does, for the head.
    """

    def __init__(
        self,
        name: str,
        kind: str,
        source: Source,
        *,
        columns: Columns,
        scorer: str | None = None,
        held_out: Mapping[Split, str] | None = None,
        train_size: int | None = None,
        **sizes: int | None,
    ):
        self._source = source
        self._size = train_size
        rows = first_rows(source, None, min(HEAD, train_size or HEAD), name)
        head = list(enumerate(rows, start=1))
        if held_out:
            head, columns = self._with_held_out(head, held_out, sizes, name), replace(columns, split=HOME)
        super().__init__(name, kind, Rows(head, "row"), columns=columns, scorer=scorer, **sizes)
        self._splits = {split: [_numbered(e) for e in examples] for split, examples in self._splits.items()}
        self._held_out = {identity(e.messages) for split in ("validation", "test") for e in self._splits[split]}
        self._blocks: OrderedDict[int, list[Row]] = OrderedDict()
        self._reading: tuple[int, Iterator[Row]] | None = None
        self._rows: int | None = train_size
        self._passed_over: Counter[str] = Counter()

    def _with_held_out(
        self, head: list[tuple[int, Row]], held_out: Mapping[Split, str], sizes: Mapping[str, int | None], name: str
    ) -> list[tuple[int, Row]]:
        """Return the head with the first rows of the named splits, each row with its home."""
        marked: list[tuple[int, Row]] = [(number, {**row, HOME: "train"}) for number, row in head]
        for split, named in held_out.items():
            size = sizes.get(f"{split}_size")
            rows = first_rows(self._source, named, HEAD if size is None else size, name)
            marked += [(number, {**row, HOME: split}) for number, row in enumerate(rows, start=1)]
        return marked

    def at(self, position: int, *, seed: int | None) -> Example:
        """Return the training example at a position, counted from 0 over all epochs; with seed None in the stream's own
        order.

        Raises FastSlowError where not one row of a block can be used, or where the stream breaks off.
        """
        epoch, number = self._in_epoch(position)
        first, rows = number - number % BLOCK, self._block(number // BLOCK)
        order = _order(len(rows), seed, epoch, first)
        start = number - first
        for place in itertools.chain(order[start:], order[:start]):
            example = self._usable(first + place, rows[place])
            if example is not None:
                return example
        raise FastSlowError(f"task '{self.name}': none of the rows {first + 1} to {first + len(rows)} can be used.")

    def find(self, example_id: str) -> Example | None:
        """Return the training example with this id; None where there is none (any more)."""
        kind, _, number = example_id.partition("-")
        if kind != "row" or not number.isdecimal() or number == "0":
            return None
        place = int(number) - 1
        rows = self._block(place // BLOCK)
        return self._usable(place, rows[place % BLOCK]) if place % BLOCK < len(rows) else None

    def up_to(self, positions: int | None) -> Iterator[Example]:
        """Yield the training example of every usable row that the first `positions` places can have come from, whatever
        the seed: whole blocks, each row once. With None, all rows of an epoch.

        Raises FastSlowError where the stream breaks off.
        """
        index = 0
        while positions is None or index * BLOCK < positions:
            rows = self._block(index)
            found = (self._usable(index * BLOCK + place, row) for place, row in enumerate(rows))
            yield from (example for example in found if example is not None)
            if len(rows) < BLOCK:
                return
            index += 1

    # Reading

    def _in_epoch(self, position: int) -> tuple[int, int]:
        """Return the epoch of a position and the number of its row. The length of an epoch is known once its end was
        read."""
        if self._rows is None and position % BLOCK >= len(self._block(position // BLOCK)):
            assert self._rows is not None  # a block that is short says where the stream ends
        return (0, position) if self._rows is None else divmod(position, self._rows)

    def _block(self, index: int) -> list[Row]:
        """Return the rows of a block, fewer at the end of the stream; the least recently used block is forgotten."""
        if index not in self._blocks:
            most = BLOCK if self._size is None else max(0, min(BLOCK, self._size - index * BLOCK))
            self._blocks[index] = rows = self._read(index * BLOCK, most)
            while len(self._blocks) > BLOCKS:
                self._blocks.popitem(last=False)
            if len(rows) < most:  # the end; where nothing is left, it lies somewhere before
                whole = bool(rows) or index == 0
                self._rows = index * BLOCK + len(rows) if whole else sum(1 for _ in self._source(None, 0))
        self._blocks.move_to_end(index)
        return self._blocks[index]

    def _read(self, first: int, count: int) -> list[Row]:
        try:
            place, rows = self._reading or (0, self._source(None, 0))
            if place != first:
                place, rows = first, self._source(None, first)
            read = list(itertools.islice(rows, count))
        except FastSlowError:
            raise
        except Exception as error:  # network, hub, formats: each has exceptions of its own
            self._reading = None
            problem = " ".join(str(error).split())[:200]
            raise FastSlowError(
                f"task '{self.name}': the stream broke off at row {first + 1} ({type(error).__name__}: {problem})."
            ) from error
        self._reading = place + len(read), rows
        return read

    def _usable(self, place: int, row: Row) -> Example | None:
        """Return the example of a row, or None where it is held out or of a wrong form."""
        try:
            candidate = self._reader.candidate(place + 1, row if self._reader.split is None else {**row, HOME: "train"})
        except BadRow as fault:
            self._pass_over(fault)
            return None
        if candidate.identity in self._held_out:
            return None
        return _numbered(candidate.example("row", self.name, "train"))

    def _pass_over(self, fault: BadRow) -> None:
        """Say of the first row of each kind that it is passed over."""
        self._passed_over[fault.what] += 1
        if self._passed_over[fault.what] == 1 and len(self._passed_over) <= KINDS:
            logger.warning("task '%s': row %d %s. Rows like it are passed over.", self.name, fault.number, fault.what)


@functools.lru_cache(maxsize=2 * BLOCKS)
def _order(count: int, seed: int | None, epoch: int, first: int) -> tuple[int, ...]:
    """Return the order of the rows of a block that begins with row `first`."""
    order = list(range(count))
    if seed is not None:
        random.Random(derive_seed(seed, "stream", epoch, first)).shuffle(order)
    return tuple(order)


def first_rows(source: Source, split: str | None, count: int, task: str) -> list[Row]:
    """Return the first rows of a split. Raises BadInput where there are none, or where they cannot be read."""
    try:
        rows = list(itertools.islice(source(split, 0), count))
    except BadInput:
        raise
    except Exception as error:  # network, hub, formats and names each have exceptions of their own
        what = f"split '{split}' of the stream" if split else "the stream"
        problem = " ".join(str(error).split())[:200]
        raise BadInput(f"task '{task}': cannot read {what} ({type(error).__name__}: {problem}).") from error
    if not rows and count:
        raise BadInput(f"task '{task}': the stream has no rows{f' in split {split!r}' if split else ''}.")
    return rows


def _numbered(example: Example) -> Example:
    """Return an example whose id is the number of its row, without the mark of its home."""
    home = "row" if example.split == "train" else example.split
    row = {name: value for name, value in example.payload["row"].items() if name != HOME}
    return replace(example, id=f"{home}-{example.payload['line']}", payload={**example.payload, "row": row})
