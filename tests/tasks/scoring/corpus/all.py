"""The corpora by the scorer that they judge."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping

from tests.tasks.scoring.corpus import numbers
from tests.tasks.scoring.corpus.base import Pair, pairs

CORPORA: Mapping[str, Callable[[], Iterator[Pair]]] = {
    "number": functools.partial(pairs, "number", numbers.right, numbers.wrong),
}
