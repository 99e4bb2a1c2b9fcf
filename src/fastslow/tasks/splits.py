"""Divide questions into train, validation and test: disjoint by content, and the same on every machine at any time.

Every question has a *position* in [0, 1): a hash of its text. Two kinds of source read it differently:

- A generator can be asked for more (`draw`): the position alone decides the split, a fifth of the line for test,
  a fifth for validation, the rest for train. No choice of sizes, seed or parameters can then move a question from
  one split to another, so a model trained under one configuration meets no training question in the test set of
  another one.
- A file is all there is (`divide`): its rows are ordered by position and cut at the sizes asked for, so that no
  row is wasted and the order of the lines says nothing.
- A file from which several tasks are made (`allot`): position decides, as for a generator, so that two tasks never
  disagree about a split.

Questions that are one thing asked in several ways name a common *group*, whose hash is then their position.

Questions that differ in case, spaces or the form of characters alone have one *identity*, and stand in one split. They
are not one question: `2²` and `22` have one identity. Their own positions can differ, so that a file's rows move
together, and what a generator draws into a second split is left out. Another seed may draw the other one first: between
runs, only equal texts are held apart.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from fastslow.core.errors import BadInput
from fastslow.core.texts import folded
from fastslow.core.types import Example, Message, Split, conversation

logger = logging.getLogger(__name__)

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
SALT = "fastslow-split"
# Share for test and for validation each: 100 questions validate on about 20.
HELD_OUT_SHARE = 0.2
# Rows of a file for validation and for test each, or one fifth of it if fewer.
HELD_OUT_DEFAULT = 64
DRAWS_PER_EXAMPLE = 20  # a generator is given up after this many draws for each requested example
SLOW_SECONDS = 10.0  # a generator that takes longer than this is announced, once


class Sizes(NamedTuple):
    """Hold upper bounds of the three splits. A source with fewer distinct questions gives fewer."""

    train: int
    validation: int
    test: int

    def check(self, task: str) -> None:
        """Raise BadInput unless train >= 1 and the others >= 0."""
        for split, size, least in zip(SPLITS, self, (1, 0, 0), strict=True):
            if size < least:
                raise BadInput(f"task '{task}': {split}_size must be at least {least}, got {size}.")

    def of(self, split: Split) -> int:
        return self[SPLITS.index(split)]


@dataclass(frozen=True)
class Candidate:
    """Hold a question on its way into a split. `id` is the user's own, where the source has one.

    Questions with the same `group` belong in the same split: they share a position.
    """

    messages: tuple[Message, ...]
    payload: Mapping[str, Any]
    id: str | None = None
    group: str | None = None

    @property
    def content(self) -> str:
        return canonical(self.messages)

    @cached_property
    def identity(self) -> str:
        return identity(self.messages)

    @property
    def place(self) -> float:
        """Position of the question, or of its group."""
        return position(self.group or self.content)

    def example(self, family: str, task: str, split: Split) -> Example:
        return Example(self.id or example_id(family, self.messages), task, split, self.messages, self.payload)


@dataclass
class Divided:
    """Hold the splits of a source, the number of repeats dropped, and the number of distinct questions seen. Questions
    left out because another split has them in other case or spacing count as repeats."""

    splits: dict[Split, list[Candidate]] = field(default_factory=lambda: {split: [] for split in SPLITS})
    duplicates: int = 0
    distinct: int = 0

    def examples(self, family: str, task: str) -> dict[Split, list[Example]]:
        return {split: [c.example(family, task, split) for c in group] for split, group in self.splits.items()}


def canonical(messages: Sequence[Message]) -> str:
    """Return one text for one content: JSON with sorted keys and no spaces."""
    return json.dumps([dict(m) for m in messages], sort_keys=True, ensure_ascii=True, separators=(",", ":"))


def identity(messages: Sequence[Message]) -> str:
    """Return the normal form of a conversation, by which the splits are held apart."""
    return folded(conversation(messages))


def example_id(family: str, messages: Sequence[Message]) -> str:
    """Return 16 hexadecimal digits, from the family's name and the messages: parameters and seeds do not enter."""
    return hashlib.sha256(f"{family}\n{canonical(messages)}".encode()).hexdigest()[:16]


def position(content: str) -> float:
    """Return the position of this content in [0, 1)."""
    return int.from_bytes(hashlib.sha256((SALT + content).encode()).digest()[:6]) / 2**48


def split_at(place: float) -> Split:
    """Return the split of a position, for sources that can be asked for more."""
    if place < HELD_OUT_SHARE:
        return "test"
    return "validation" if place < 2 * HELD_OUT_SHARE else "train"


def draw(candidates: Iterable[Candidate], sizes: Sizes, task: str) -> Divided:
    """Draw until every split is full, or until the source yields nothing new.

    The source counts as exhausted after 100 + 10 x (distinct questions so far) repeats in a row: with one question of n
    still unseen, the probability of stopping too early is about e^-10. Raises BadInput below three distinct questions.
    """
    divided, seen, repeats = Divided(), {}, 0
    homes: dict[str, Split] = {}
    most = DRAWS_PER_EXAMPLE * sum(sizes)
    started, announced = time.monotonic(), False
    for drawn, candidate in enumerate(candidates, start=1):
        content = candidate.content
        if content in seen:
            divided.duplicates += 1
            repeats += 1
        else:
            seen[content] = candidate
            repeats = 0
            split = split_at(candidate.place)
            if homes.setdefault(candidate.identity, split) != split:
                divided.duplicates += 1
            elif len(divided.splits[split]) < sizes.of(split):
                divided.splits[split].append(candidate)
        if _full(divided, sizes) or repeats > 100 + 10 * len(seen) or drawn >= most:
            break
        if not announced and time.monotonic() - started > SLOW_SECONDS:
            announced = True
            have = sum(map(len, divided.splits.values()))
            logger.warning(
                "task '%s': this generator is slow: %d of %d examples after %.0f s; a smaller train_size needs fewer.",
                *(task, have, sum(sizes), SLOW_SECONDS),
            )
    divided.distinct = len(seen)
    if not _full(divided, sizes):
        _settle_exhausted(divided, list(seen.values()), sizes, task)
    return divided


def divide(candidates: Sequence[Candidate], sizes: Sizes, task: str) -> Divided:
    """Cut a fixed set of distinct questions: first test, then validation, the rest train.

    The held-out splits keep their sizes while at least half of the questions remain for training; otherwise both shrink
    in proportion. Questions of one identity stay together; a split with too little room for them goes without. Raises
    BadInput below three questions.
    """
    kinds = _by_identity(candidates)
    if len(kinds) < 3:
        raise BadInput(
            f"task '{task}': {len(kinds)} distinct questions are too few for train, validation and test; "
            "give at least 3."
        )
    count = len(candidates)
    test, validation = sizes.test, sizes.validation
    if test + validation > count // 2:
        scale = (count // 2) / (test + validation)
        # At least one each where any were asked for: three questions make three splits.
        test, validation = (max(1, int(size * scale)) if size else 0 for size in (test, validation))
        if (test, validation) != (sizes.test, sizes.validation):
            logger.warning(
                "task '%s': %d distinct questions cannot fill test %d and validation %d; using %d and %d.",
                *(task, count, sizes.test, sizes.validation, test, validation),
            )
    divided, room = Divided(distinct=count), Sizes(count, validation, test)
    for kind in kinds:
        for split in reversed(SPLITS):
            if len(divided.splits[split]) + len(kind) <= room.of(split):
                divided.splits[split] += kind
                break
    divided.splits["train"] = divided.splits["train"][: sizes.train]
    return divided


def _by_identity(candidates: Iterable[Candidate]) -> list[list[Candidate]]:
    """Return the questions of each identity, all by position."""
    kinds: dict[str, list[Candidate]] = {}
    for candidate in sorted(candidates, key=lambda c: c.place):
        kinds.setdefault(candidate.identity, []).append(candidate)
    return list(kinds.values())


def allot(candidates: Iterable[Candidate], sizes: Mapping[Split, int | None], task: str) -> Divided:
    """Cut a fixed set by the position of each question, keeping the order given; None asks for all questions.

    Questions after the splits are full are not read. Where a requested split would stay empty for lack of questions,
    the questions are cut by rank instead, with a warning. Raises BadInput below three distinct questions.
    """
    divided, seen = Divided(), {}
    homes: dict[str, Split] = {}
    for candidate in candidates:
        if seen.setdefault(candidate.content, candidate) is not candidate:
            divided.duplicates += 1
            continue
        split = split_at(candidate.place)
        if homes.setdefault(candidate.identity, split) != split:
            divided.duplicates += 1
            continue
        bound = sizes[split]
        if bound is None or len(divided.splits[split]) < bound:
            divided.splits[split].append(candidate)
        if all(size is not None and len(divided.splits[of]) >= size for of, size in sizes.items()):
            break
    divided.distinct = len(seen)
    if divided.distinct < 3 or any(sizes[split] != 0 and not divided.splits[split] for split in SPLITS):
        share = max(1, int(len(seen) * HELD_OUT_SHARE))
        asked = Sizes(*(len(seen) if size is None else size for size in (sizes[split] for split in SPLITS)))
        few = Sizes(asked.train, min(asked.validation, share), min(asked.test, share))
        divided.splits = divide(list(seen.values()), few, task).splits
        logger.warning("task '%s': only %d distinct questions, cut by rank; a split may change with them.",
                       task, divided.distinct)  # fmt: skip
    return divided


def cap(made: Mapping[Split, Sequence[Candidate]], sizes: Mapping[Split, int | None]) -> dict[Split, list[Candidate]]:
    """Return splits that the user made, in order of position and cut to the requested sizes (None: all)."""
    return {split: sorted(made[split], key=lambda c: c.place)[: sizes[split]] for split in SPLITS}


def _full(divided: Divided, sizes: Sizes) -> bool:
    return all(len(divided.splits[split]) >= sizes.of(split) for split in SPLITS)


def _settle_exhausted(divided: Divided, pool: list[Candidate], sizes: Sizes, task: str) -> None:
    """Divide a source that has too few questions, with a warning."""
    if any(sizes.of(split) and not divided.splits[split] for split in SPLITS):
        # So few that the hash left a split empty: cut by rank instead, which fills all three.
        share = max(1, int(len(pool) * HELD_OUT_SHARE))
        few = Sizes(sizes.train, min(sizes.validation, share), min(sizes.test, share))
        divided.splits = divide(pool, few, task).splits
    logger.warning(
        "task '%s': only %d distinct questions found; train %d of %d, validation %d of %d, test %d of %d.",
        *(task, divided.distinct),
        *(number for split in SPLITS for number in (len(divided.splits[split]), sizes.of(split))),
    )
