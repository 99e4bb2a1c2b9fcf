"""Decide which contexts are exported, and which of them a request gets that names none: what was gated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fastslow.contexts.context import Context
from fastslow.contexts.population import Population
from fastslow.contexts.rendering import refuse_soft
from fastslow.core.errors import BadInput
from fastslow.export.template import LEAD
from fastslow.topics.topics import CHOOSING

SEED, ALL = "seed", "all"
WHICH = (LEAD, ALL)


@dataclass(frozen=True)
class Selection:
    """What of a population is exported.

    Attributes:
        contexts: the contexts of the folder, the default first.
        default: the context of a request that names none.
        kind: what that context is: `lead` or `seed`.
        gated: the contexts that the gate measured: `lead`, `seed`, `cluster` or `nearest`; None without a verdict.
        difference: how the default differs from what was gated, in words; '' where it does not.
    """

    contexts: tuple[Context, ...]
    default: Context
    kind: str
    gated: str | None
    difference: str


def select(
    population: Population,
    chosen: Sequence[Context],
    *,
    which: str | None,
    gated: str | None,
    several: bool,
    retrieves: bool = False,
    consolidates: bool = False,
) -> Selection:
    """Return what is exported.

    Args:
        population: of the bundle.
        chosen: contexts outside the population that its topics may choose.
        which: `lead` or `all`, as the user asked; None: what was gated.
        gated: see `Selection`.
        several: whether the format holds more than one context.
        retrieves: whether the run put answers to similar questions before a new one.
        consolidates: whether the run drew its contexts into the weights, which ship without any.

    Raises BadInput where nobody asked for anything else than what was gated, and no template can do that; and for a
    soft context in a format that holds no template.
    """
    if which is None and gated in CHOOSING:
        raise BadInput(
            f"this version was gated with contexts chosen by the question ({gated}), and no chat template can choose "
            f"so: serve it with fastslow serve, or say --contexts {ALL} or --contexts {LEAD} for a folder whose "
            "default is the lead, which was not gated."
        )
    ships = SEED if gated is None and consolidates else gated
    kind = SEED if ships == SEED and which != LEAD else LEAD
    default = population.seed if kind == SEED else population.lead
    members = [*population.members, *chosen] if several and which != LEAD else []
    contexts = {one.id: one for one in [default, population.lead, *members]}
    if not several:
        refuse_soft(default)
    difference = ""
    if gated in CHOOSING or (gated == SEED and default.id != population.seed.id):
        what = "the seed context" if gated == SEED else f"contexts chosen by the question ({gated})"
        difference = (
            f"this version was gated with {what}, and the default of this folder is the {kind}, which was not gated"
        )
    elif retrieves:
        difference = (
            "this run puts answers to similar questions before a new one, which no chat template can do: this folder "
            "answers without them; fastslow serve --choose retrieved has them"
        )
    return Selection(tuple(contexts.values()), default, kind, gated, difference)
