"""Find the tokens that a soft context is born from: those that a context of text adds to the prompt of a question.

Where the prompt under the text is the beginning and the end of the prompt around the rows, with tokens between, rows
copied from these tokens compute what the text does, whatever it holds: instructions, turns, marks between them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from fastslow.contexts.context import EXAMPLES, Context, dump_examples
from fastslow.contexts.soft import SOFT, SOFT_TURN
from fastslow.core.types import Example
from fastslow.policy.policy import Policy, common_prefix


@dataclass(frozen=True)
class Birth:
    """Hold what rows are copied from.

    Attributes:
        kind: the component of the soft context, which says where its rows stand.
        ids: tokens whose rows of the embedding are copied; none where the text adds nothing.
        exact: whether the copied rows compute what the whole text does.
    """

    kind: str
    ids: tuple[int, ...]
    exact: bool


def birth_of(policy: Policy, context: Context, example: Example, *, most: int) -> Birth:
    """Return what a soft context of at most `most` rows is born from.

    Of a text that is longer, as many of the first worked examples are kept as fit; of an instruction that is longer by
    itself, its beginning. `example` is any question that is not among the worked examples.
    """
    worked = context.worked_examples
    found = _closest(policy, context, example)
    for kept in reversed(range(len(worked))):
        if len(found.ids) <= most:
            return found
        shorter = replace(context, components={**context.components, EXAMPLES: dump_examples(worked[:kept])})
        found = replace(_closest(policy, shorter, example), exact=False)
    return found if len(found.ids) <= most else replace(found, ids=found.ids[:most], exact=False)


def _closest(policy: Policy, context: Context, example: Example) -> Birth:
    """Return the birth in that place of a prompt where it is exact, with the fewest rows; else the system's."""
    births = [_birth(policy, kind, context, example) for kind in (SOFT, SOFT_TURN)]
    return min(births, key=lambda birth: (not birth.exact, len(birth.ids) if birth.exact else 0))


def _birth(policy: Policy, kind: str, context: Context, example: Example) -> Birth:
    text = policy.prompt_ids(context, example)
    before, after = policy.around(kind, example)
    start = common_prefix([text, before])
    end = min(common_prefix([text[::-1], after[::-1]]), len(text) - start)
    return Birth(kind, text[start : len(text) - end], exact=start == len(before) and end == len(after))
