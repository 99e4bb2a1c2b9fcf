"""The corpora by the scorer that they judge."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping

from tests.tasks.scoring.corpus import formulas, numbers, texts, values
from tests.tasks.scoring.corpus.base import Draw, Pair, pairs

DRAWS: Mapping[str, tuple[Draw, Draw]] = {
    "number": (numbers.right, numbers.wrong),
    "boxed": (formulas.right, formulas.wrong),
    "choice": (texts.right_choice, texts.wrong_choice),
    "json": (values.right, values.wrong),
    "exact": (texts.right_exact, texts.wrong_exact),
    "contains": (texts.right_contains, texts.wrong_contains),
}
CORPORA: Mapping[str, Callable[..., Iterator[Pair]]] = {
    name: functools.partial(pairs, name, *draws) for name, draws in DRAWS.items()
}
