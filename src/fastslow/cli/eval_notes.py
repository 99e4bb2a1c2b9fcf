"""What a reader of an evaluation's table could miss: that training did not pay, and one answer to everything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from fastslow.core.errors import quoted
from fastslow.core.measurement import CONTEXT_TITLES, Measurement

HALF = 0.5
"""Share of the answers from which on one and the same answer is named."""


def notes(measurements: Sequence[Measurement]) -> Iterator[str]:
    """Yield a line for each context under which the base earns more than the trained weights, and for each under which
    these give one answer to half of the questions or more."""
    base = {(one.task, one.context): one for one in measurements if one.weights == "base"}
    for one in measurements:
        if one.weights != "trained" or one.accuracy is None or one.context not in CONTEXT_TITLES:
            continue
        title = CONTEXT_TITLES[one.context]
        before = base.get((one.task, one.context))
        if before is not None and before.accuracy is not None and before.accuracy > one.accuracy:
            yield (
                f"under the {title} the base earns more than the trained weights: {before.accuracy:.1%} to "
                f"{one.accuracy:.1%}"
            )
        texts = Counter(answer.text.strip() for answer in one.answers)
        ((text, times),) = texts.most_common(1) or [("", 0)]
        if one.n > 1 and times >= HALF * len(one.answers) > 0:
            yield f"under the {title} the trained weights answer '{quoted(text, 60)}' to {times / len(one.answers):.0%}"
