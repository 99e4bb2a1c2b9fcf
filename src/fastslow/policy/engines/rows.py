"""Continue the rows of one batch token by token, in the way that the model's cache allows.

`PaddedRows` have a cache of ours that is padded on the left. `CachedRows` have whatever the model itself keeps between
two tokens, called as transformers' `generate` calls it; the rows are of one length, because a recurrent state would
take padding for content. `WholeRows` have no cache: every token costs a forward over its whole row, which any model can
do.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any, Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import Cache, DynamicLayer, DynamicSlidingWindowLayer

CACHES = ("past_key_values", "cache_params")
"""Names under which a model hands its cache from one forward to the next, where it is a `Cache` of transformers."""


class Way(Enum):
    """How rows of a model can be continued, the cheapest first."""

    PREFIXES = "shares the prefixes of prompts"
    PADDED = "pads prompts of different lengths"
    OWN_CACHE = "batches prompts of one length"
    OWN_CACHE_FIXED = "batches prompts of one length, with every row to the end"
    WHOLE = "computes every row anew for each token"

    @property
    def pads(self) -> bool:
        """Whether the rows of a batch are padded on the left, over a cache that this project makes."""
        return self in (Way.PREFIXES, Way.PADDED)


class Rows(Protocol):
    """A batch between two tokens."""

    logits: Float[Tensor, "N V"]
    """What the next token of each row is drawn from."""
    can_drop: bool
    """Whether `keep` may be called."""

    def keep(self, rows: Int[Tensor, " K"]) -> None:
        """Go on with these rows only."""
        ...

    def append(self, chosen: Int[Tensor, " N"]) -> None:
        """Append a token to each row, and compute the logits after it."""
        ...


class PaddedRows:
    """Rows over a cache that is padded on the left; `forward` takes ids, mask and cache."""

    can_drop = True

    def __init__(
        self,
        forward: Callable[..., Float[Tensor, "N V"]],
        cache: DynamicCache,
        mask: Int[Tensor, "N P"],
        logits: Float[Tensor, "N V"],
    ):
        self._forward, self._cache, self._mask, self.logits = forward, cache, mask, logits

    def keep(self, rows: Int[Tensor, " K"]) -> None:
        self._cache.batch_select_indices(rows)
        self._mask = self._mask[rows]

    def append(self, chosen: Int[Tensor, " N"]) -> None:
        self._mask = torch.cat([self._mask, self._mask.new_ones(self._mask.size(0), 1)], dim=1)
        self.logits = self._forward(chosen[:, None], self._mask, self._cache)


class CachedRows:
    """Rows of one length, with the cache that the model makes for itself.

    With `reorders`, a prompt that several rows share is computed once, and rows that have ended are dropped.
    """

    def __init__(self, model: PreTrainedModel, prompts: Sequence[Sequence[int]], *, reorders: bool):
        self._model: Any = without_adapter_shell(model)
        unique = list(dict.fromkeys(map(tuple, prompts))) if reorders else list(map(tuple, prompts))
        self._ids = torch.tensor(unique, device=model.device)
        self._kwargs: dict[str, Any] = {"attention_mask": torch.ones_like(self._ids), "use_cache": True}
        if takes(model, "logits_to_keep"):
            self._kwargs["logits_to_keep"] = 1
        self.computed = self._ids.numel()
        self._forward(None)
        self.can_drop = reorders
        if len(unique) < len(prompts):
            row_of = {ids: row for row, ids in enumerate(unique)}
            self.keep(torch.tensor([row_of[tuple(ids)] for ids in prompts], device=model.device))

    def keep(self, rows: Int[Tensor, " K"]) -> None:
        # `batch_select_indices` is missing from the layers with a recurrent state; beam search uses this method.
        next(self._kwargs[name] for name in CACHES if isinstance(self._kwargs.get(name), Cache)).reorder_cache(rows)
        self._kwargs["attention_mask"] = self._kwargs["attention_mask"][rows]
        self._ids, self.logits = self._ids[rows], self.logits[rows]

    def append(self, chosen: Int[Tensor, " N"]) -> None:
        self._ids = torch.cat([self._ids, chosen[:, None]], dim=1)
        self._forward(1)

    def _forward(self, new: int | None) -> None:
        inputs = self._model.prepare_inputs_for_generation(
            self._ids, next_sequence_length=new, is_first_iteration=new is None, **self._kwargs
        )
        output = self._model(**inputs, return_dict=True)
        self._kwargs = self._model._update_model_kwargs_for_generation(output, self._kwargs)
        self.logits = output.logits[:, -1].float()


class WholeRows:
    """Rows of one length without any cache."""

    can_drop = True

    def __init__(self, model: PreTrainedModel, prompts: Sequence[Sequence[int]], *, reorders: bool):
        self._model = model
        self._ids = torch.tensor(list(map(list, prompts)), device=model.device)
        self.computed = self._ids.numel()
        self.logits = last_logits(model, self._ids)

    def keep(self, rows: Int[Tensor, " K"]) -> None:
        self._ids = self._ids[rows]

    def append(self, chosen: Int[Tensor, " N"]) -> None:
        self._ids = torch.cat([self._ids, chosen[:, None]], dim=1)
        self.logits = last_logits(self._model, self._ids)


def likely_way(model: PreTrainedModel) -> Way:
    """Return the way that the kind of the model's cache suggests.

    The cache is asked and not the config: Mistral and Phi-3 use sliding windows without declaring them by layer.
    """
    try:
        kinds = {type(layer) for layer in DynamicCache(config=model.config).layers}
    except (AttributeError, KeyError, TypeError, ValueError):  # a config that describes no layers of attention
        return Way.OWN_CACHE
    if kinds == {DynamicLayer}:
        return Way.PREFIXES
    return Way.PADDED if kinds and kinds <= {DynamicLayer, DynamicSlidingWindowLayer} else Way.OWN_CACHE


def last_logits(model: PreTrainedModel, ids: Int[Tensor, "N T"]) -> Float[Tensor, "N V"]:
    """Return the logits after the last token of whole rows, from a forward without a cache."""
    return plain_logits(model, ids, keep=1)[:, -1].float()


def plain_logits(model: PreTrainedModel, ids: Int[Tensor, "N T"], *, keep: int | None = None) -> Float[Tensor, "N T V"]:
    """Return the logits of a forward over whole rows without padding, cache or mask: what every other way must equal.

    With `keep`, those of the last `keep` positions only, where the model can leave the others out.
    """
    settings: dict[str, Any] = without_cache(model)
    if keep is not None and takes(model, "logits_to_keep"):
        settings["logits_to_keep"] = keep
    return model(input_ids=ids, **settings).logits


def without_cache(model: PreTrainedModel) -> dict[str, bool]:
    """Return the argument of a forward that keeps no cache, where the model has one: for a forward over whole rows it
    is lost memory, and kernels that carry a state may fail (xLSTM's on rows longer than a chunk)."""
    return {"use_cache": False} if takes(model, "use_cache") else {}


def takes(model: PreTrainedModel, name: str) -> bool:
    """Return whether the model's forward has an argument of this name."""
    return name in inspect.signature(type(without_adapter_shell(model)).forward).parameters


def without_adapter_shell(model: PreTrainedModel) -> PreTrainedModel:
    """Return the model inside of peft's wrapper, whose layers hold the adapters."""
    unwrap: Any = getattr(model, "get_base_model", None)
    return model if unwrap is None else unwrap()
