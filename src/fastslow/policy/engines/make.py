"""Make the engine that samples completions: the one place that knows which engines there are."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from fastslow.policy import shards
from fastslow.policy.engines.base import Engine
from fastslow.policy.engines.transformers import PrefixSampler
from fastslow.policy.loading import pad_id
from fastslow.policy.trials import sampling_way


def make_engine(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    *,
    eos_ids: Sequence[int],
    dtype: torch.dtype,
    urls: Sequence[str] = (),
    adapters: bool = False,
    blank: PreTrainedModel | None = None,
) -> Engine:
    """Return what samples with `model`, computing in `dtype`; `eos_ids` end a completion. `blank` is the model without
    weights, where those of `model` are or will be cut up between processes.

    With `urls` it is vLLM servers there that sample, and `adapters` says that they are brought the adapters alone.
    Raises BadInput for a model that cannot be sampled from token by token, and for a server that cannot be used.
    """
    if urls:
        # openai is slow to import; only runs that have servers pay for it.
        from fastslow.policy.engines.vllm import VllmEngine

        return VllmEngine(model, tokenizer, urls=urls, adapters=adapters, eos_ids=eos_ids, dtype=dtype)
    pad = pad_id(tokenizer)
    # Weights that are cut up cannot be tried: the blank model is of the kind that was, before they were.
    tried = blank if blank is not None and shards.is_sharded(model) else model
    way = sampling_way(tried, pad_id=pad)
    return PrefixSampler(model, eos_ids=eos_ids, pad_id=pad, dtype=dtype, way=way, blank=blank)
