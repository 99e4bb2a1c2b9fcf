"""Hold the rows of soft contexts beside a model's embedding: vectors that stand where those of tokens would.

Their ids lie past the embedding. The head has no column for them, so that no distribution ever holds one; prompts
without them take the embedding's own path to the bit; and attention, caches, padding and token trees see ids like any
other. A model and its copies look up the same rows, which are part of none of them: a copy for sampling is never stale,
and weights are saved without them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cache
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import PreTrainedModel

from fastslow.contexts.soft import SoftText
from fastslow.core.errors import BadInput, ContractBroken
from fastslow.policy.engines.rows import plain_logits, without_adapter_shell
from fastslow.policy.trials import in_evaluation, name_of, tolerance, trial_rows

ATTRIBUTE = "fastslow_rows"
"""Where an embedding keeps the rows beside it."""


class SoftRows:
    """Rows in slots: each slot holds those of one birth, a new one those of another text.

    Args:
        slots: soft contexts that can be in use at once.
        tokens: most rows of one.
        width: of a row.
        first: id of the first row, the number of rows of the embedding.
    """

    def __init__(self, *, slots: int, tokens: int, width: int, first: int):
        self.tokens, self.first = tokens, first
        self.slots = [nn.Parameter(torch.zeros(tokens, width)) for _ in range(slots)]
        self.held: list[SoftText | None] = [None] * slots
        self.births = 0

    @classmethod
    def beside(cls, model: PreTrainedModel, *, slots: int, tokens: int) -> SoftRows:
        """Make rows that fit a model, and have it look them up. Raises BadInput for a model that cannot."""
        embedding = embedding_of(model)
        rows = cls(slots=slots, tokens=tokens, width=_width(embedding), first=embedding.num_embeddings)
        rows.attach(model)
        rows.try_out(model)
        return rows

    def __deepcopy__(self, memo: dict[int, Any]) -> SoftRows:
        """Return the rows themselves: those of a copy of a model are its own."""
        return self

    def attach(self, model: PreTrainedModel) -> None:
        """Have a model look up these rows. Raises BadInput where its embedding is no plain one."""
        embedding = embedding_of(model)
        if embedding.num_embeddings != self.first:
            raise ContractBroken(f"rows past {self.first} ids, beside an embedding of {embedding.num_embeddings}")
        if not hasattr(embedding, ATTRIBUTE):
            embedding.__class__ = _beside(type(embedding))
        setattr(embedding, ATTRIBUTE, self)

    @staticmethod
    def detach(model: PreTrainedModel) -> None:
        """Have a model look up no rows any more: its embedding is what it was."""
        embedding = embedding_of(model)
        delattr(embedding, ATTRIBUTE)
        embedding.__class__ = type(embedding).__mro__[1]

    # Births

    def bear(self, vectors: Float[Tensor, "T D"], living: Collection[int]) -> tuple[int, SoftText]:
        """Copy vectors into a slot that holds none of the `living` births; return its number and the new birth."""
        slot = next(i for i, held in enumerate(self.held) if held is None or held.birth not in living)
        soft = SoftText(self.births, len(vectors))
        self.hold(slot, soft, vectors)
        self.births += 1
        return slot, soft

    @torch.no_grad()
    def hold(self, slot: int, soft: SoftText, vectors: Float[Tensor, "T D"]) -> None:
        """Set the rows of a slot to those of a birth."""
        self.slots[slot].zero_()
        self.slots[slot][: len(vectors)].copy_(vectors)
        self.held[slot] = soft

    def ids_of(self, soft: SoftText) -> tuple[int, ...]:
        """Return the ids of the rows of a birth. Raises BadInput where its slot has others by now."""
        if soft not in self.held:
            raise BadInput(f"the rows of soft context {soft.birth} are gone: its slot was given to another.")
        start = self.first + self.held.index(soft) * self.tokens
        return tuple(range(start, start + soft.tokens))

    def rows_of(self, soft: SoftText) -> Float[Tensor, "T D"]:
        """Return the rows of a birth, not copies. Raises BadInput where they are gone."""
        start = self.ids_of(soft)[0] - self.first
        return self.slots[start // self.tokens].detach()[: soft.tokens]

    # In a forward

    def fill(self, out: Float[Tensor, "N T D"], ids: Int[Tensor, "N T"]) -> Float[Tensor, "N T D"]:
        """Return what an embedding gave, with the rows at the places of their ids."""
        for slot in ((ids[ids >= self.first] - self.first) // self.tokens).unique().tolist():
            within = ids - (self.first + slot * self.tokens)
            here = (within >= 0) & (within < self.tokens)
            rows = nn.functional.embedding(within[here], self.slots[slot].to(out.device))
            out = out.index_put((here,), rows.to(out.dtype))
        return out

    @torch.no_grad()
    def try_out(self, model: PreTrainedModel) -> None:
        """Raise BadInput for a model that reads more of an id than its row of the embedding."""
        row = trial_rows(model)[0].ids
        ids = torch.tensor([row], device=model.device)
        before = self.slots[0].detach().clone(), self.held[0]
        self.slots[0][:1].copy_(embedding_of(model)(ids[:, :1])[0])
        other = ids.clone()
        other[0, 0] = self.first
        try:
            want, got = in_evaluation(model, lambda: (plain_logits(model, ids), plain_logits(model, other)))
            off = float((want - got).abs().max())
        except Exception as error:  # an architecture may look ids up anywhere
            raise BadInput(
                f"the model ({name_of(model)}) takes no rows beside its embedding ({type(error).__name__}); leave "
                "fast_weights at text."
            ) from error
        finally:
            self.slots[0].copy_(before[0])
        if not off <= tolerance(model):
            raise BadInput(
                f"the model ({name_of(model)}) reads more of a token than its row of the embedding (logits are off by "
                f"{off:.1g}); leave fast_weights at text."
            )

    # What of a prompt is soft

    def has_any(self, ids: Sequence[int]) -> bool:
        """Return whether any of these ids is that of a row."""
        return max(ids, default=-1) >= self.first


def rows_beside(model: PreTrainedModel) -> SoftRows | None:
    """Return the rows that a model looks up; None for a model without."""
    return getattr(without_adapter_shell(model).get_input_embeddings(), ATTRIBUTE, None)


def embedding_of(model: PreTrainedModel) -> nn.Embedding:
    """Return the model's embedding of tokens. Raises BadInput where it is no plain one."""
    embedding: Any = without_adapter_shell(model).get_input_embeddings()
    if not isinstance(embedding, nn.Embedding):
        raise BadInput(
            f"soft contexts need a plain embedding, and that of the model ({name_of(model)}) is a "
            f"{type(embedding).__name__}; leave fast_weights at text."
        )
    return embedding


def _width(embedding: nn.Embedding) -> int:
    """Return the length of what the embedding gives for a token."""
    return int(embedding(torch.zeros(1, dtype=torch.long, device=embedding.weight.device)).shape[-1])


@cache
def _beside(kind: type[nn.Embedding]) -> type[nn.Embedding]:
    """Return the kind of embedding that looks up rows beside its own: the same weights under the same names."""

    def forward(self: Any, input: Tensor) -> Tensor:
        past = input >= self.num_embeddings
        if not bool(past.any()):
            return kind.forward(self, input)
        return getattr(self, ATTRIBUTE).fill(kind.forward(self, input.masked_fill(past, 0)), input)

    return type(f"{kind.__name__}BesideRows", (kind,), {"forward": forward})
