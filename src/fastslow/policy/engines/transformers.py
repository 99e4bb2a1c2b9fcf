"""Sample completions from a transformers model and compute each shared prefix once.

Rollouts come in families: many completions of one prompt, many prompts under one context. `PrefixSampler` runs a
context once per policy version and a prompt once per call, and only then fans out to rollouts; rows that have ended
leave the batch. Each rollout draws from its own seed, so its text does not depend on the other rows of its batch.

That needs a cache that can be padded and stitched together. What a model with another cache, or with none, allows is
a `Way` (`policy.trials` finds it out by trying); `rows` has one class for each.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import partial
from importlib.metadata import version as version_of
from itertools import groupby
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel
from transformers.generation.logits_process import (
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from fastslow.policy import shards
from fastslow.policy.engines.base import Prompt, Sample, SamplingParams, go_on
from fastslow.policy.engines.rows import CachedRows, PaddedRows, Rows, Way, WholeRows, likely_way
from fastslow.policy.loading import frozen_clone
from fastslow.policy.plain import adapter_arrangement, fill_plain, is_better_plain, plain_copy

# Dropping finished rows copies the cache, so it waits until this share of a batch has ended.
COMPACT_WHEN_DONE = 0.25


class PrefixSampler:
    """Generate with transformers on one device.

    `dtype` is the compute type. Where it differs from the type of the weights, a copy of the model in `dtype` is kept
    and updated at each `refresh`, because autocast would convert every weight again for every token. `way` is how the
    model's rows can be continued; None goes by the kind of its cache. `blank` is the model without weights
    (`shards.blank_of`), for one whose weights are going to be cut up: the engine then samples from a whole copy, and
    every process has to call `refresh`.
    """

    separate = False
    window = None

    def __init__(
        self,
        model: PreTrainedModel,
        *,
        eos_ids: Sequence[int],
        pad_id: int,
        dtype: torch.dtype,
        max_rows: int = 128,
        way: Way | None = None,
        blank: PreTrainedModel | None = None,
    ):
        self._live = model
        self._eos = torch.tensor(sorted(set(eos_ids)))
        self._pad = pad_id
        self._dtype = dtype
        self._max_rows = max_rows
        self._shadow: PreTrainedModel | None = None
        self._arrangement: list[object] = []
        self._version: int | None = None
        self._prefixes: dict[tuple[int, ...], list[tuple[Tensor, Tensor]]] = {}
        self._way = way or likely_way(model)
        self._blank = blank
        self.prefill_tokens = 0
        self.decode_tokens = 0
        self.proceed = go_on

    def refresh(self, version: int) -> None:
        if version == self._version:
            return
        self._prefixes.clear()
        self._version = version
        if shards.is_sharded(self._live):
            self._gather()
            return
        plain = is_better_plain(self._live)
        if not plain and not _can_be_copied(self._live, self._dtype):
            return
        arrangement = [] if plain else adapter_arrangement(self._live)
        if self._shadow is None or arrangement != self._arrangement:
            # LoRA's adapters stay beside their weights: in bf16 small updates would be lost if they were merged.
            self._shadow = plain_copy(self._live) if plain else frozen_clone(self._live)
            self._arrangement = arrangement
            # Parameters only: rotary frequencies, which are buffers, lose precision at far positions in bf16.
            for weight in self._shadow.parameters():
                weight.data = weight.data.to(self._dtype)
            _keep_head_fast(self._shadow)
            return
        if plain:
            fill_plain(self._shadow, self._live)
            return
        with torch.no_grad():
            for shadow, live in zip(self._shadow.parameters(), self._live.parameters(), strict=True):
                shadow.copy_(live)

    def _gather(self) -> None:
        """Take a whole copy of weights that are cut up, on every process."""
        if self._shadow is None:
            if self._blank is None:
                raise RuntimeError("an engine of a sharded model needs the blank model that it can fill")
            self._shadow = copy.deepcopy(self._blank)
            _keep_head_fast(self._shadow)
        shards.fill(self._shadow, self._live, dtype=self._dtype)

    def forget(self) -> None:
        self._prefixes.clear()

    def close(self) -> None:
        self.forget()
        self._shadow = None

    def place(self, prompt: Prompt) -> str:
        return "this process"

    def describe(self) -> dict[str, Any]:
        return {"engine": "transformers", "version": version_of("transformers")}

    def usage(self) -> dict[str, float]:
        return {"prefill_tokens": self.prefill_tokens, "decode_tokens": self.decode_tokens}

    @torch.no_grad()
    def sample(self, prompts: Sequence[Prompt], params: SamplingParams) -> list[Sample]:
        """Return completions in the order of `prompts`. Raises RuntimeError before the first `refresh`."""
        if self._version is None:
            raise RuntimeError("refresh(version) must be called before sampling")
        model = self._shadow or self._live
        was_training = model.training
        model.eval()
        try:
            with torch.autocast(model.device.type, dtype=self._dtype, enabled=self._needs_autocast(model)):
                return self._sample(model, prompts, params)
        finally:
            model.train(was_training)

    def _needs_autocast(self, model: PreTrainedModel) -> bool:
        return model is self._live and self._dtype != torch.float32

    def _sample(self, model: PreTrainedModel, prompts: Sequence[Prompt], params: SamplingParams) -> list[Sample]:
        samples: list[Sample | None] = [None] * len(prompts)
        for chunk in self._chunks(prompts):
            for i, sample in zip(chunk, self._sample_chunk(model, [prompts[i] for i in chunk], params), strict=True):
                samples[i] = sample
        return [sample for sample in samples if sample is not None]

    def _chunks(self, prompts: Sequence[Prompt]) -> list[list[int]]:
        """Return the prompts of each batch: of neighbouring lengths where rows are padded, else of equal length."""
        # Rows of one prompt stay together and neighbours have similar lengths: little padding, few repeats.
        order = sorted(range(len(prompts)), key=lambda i: (len(prompts[i].ids), prompts[i].ids))
        alike = [order] if self._way.pads else [list(g) for _, g in groupby(order, key=lambda i: len(prompts[i].ids))]
        return [rows[start : start + self._max_rows] for rows in alike for start in range(0, len(rows), self._max_rows)]

    def _sample_chunk(self, model: PreTrainedModel, prompts: list[Prompt], params: SamplingParams) -> list[Sample]:
        if self._way.pads:
            return self._decode(prompts, self._padded(model, prompts), params, model.device)
        kind = WholeRows if self._way is Way.WHOLE else CachedRows
        rows = kind(model, [p.ids for p in prompts], reorders=self._way is Way.OWN_CACHE)
        self.prefill_tokens += rows.computed
        return self._decode(prompts, rows, params, model.device)

    def _padded(self, model: PreTrainedModel, prompts: list[Prompt]) -> PaddedRows:
        unique = list(dict.fromkeys((p.ids, p.prefix if self._way is Way.PREFIXES else 0) for p in prompts))
        row_of = {ids: row for row, (ids, _) in enumerate(unique)}
        cache, mask_U_P, logits_U_V = self._prefill(model, unique)
        rows = torch.tensor([row_of[p.ids] for p in prompts], device=model.device)
        if len(rows) != len(unique) or not torch.equal(rows, torch.arange(len(unique), device=model.device)):
            cache.batch_select_indices(rows)
        return PaddedRows(partial(self._forward, model), cache, mask_U_P[rows], logits_U_V[rows])

    def _prefill(
        self, model: PreTrainedModel, unique: list[tuple[tuple[int, ...], int]]
    ) -> tuple[DynamicCache, Int[Tensor, "U P"], Float[Tensor, "U V"]]:
        """Return cache, attention mask and next-token logits of every distinct prompt, with contexts taken from
        `_prefixes`."""
        prefixes = [ids[:n] for ids, n in unique]
        self._compute_prefixes(model, [p for p in dict.fromkeys(prefixes) if p])
        cache, prefix_mask = self._stitch(model, prefixes)
        suffixes = [ids[n:] for ids, n in unique]
        ids, suffix_mask = self._left_pad(suffixes, model.device)
        mask = torch.cat([prefix_mask, suffix_mask], dim=1)
        self.prefill_tokens += ids.numel()
        logits = self._forward(model, ids, mask, cache)
        return cache, mask, logits

    def _compute_prefixes(self, model: PreTrainedModel, prefixes: list[tuple[int, ...]]) -> None:
        missing = [p for p in prefixes if p not in self._prefixes]
        if not missing:
            return
        ids, mask = self._left_pad(missing, model.device)
        self.prefill_tokens += ids.numel()
        cache = DynamicCache(config=model.config)
        self._forward(model, ids, mask, cache)
        for row, prefix in enumerate(missing):
            layers: list[Any] = cache.layers  # all of kind DynamicLayer, see Way.PREFIXES
            self._prefixes[prefix] = [
                (layer.keys[row, :, -len(prefix) :].clone(), layer.values[row, :, -len(prefix) :].clone())
                for layer in layers
            ]

    def _stitch(
        self, model: PreTrainedModel, prefixes: list[tuple[int, ...]]
    ) -> tuple[DynamicCache, Int[Tensor, "U P"]]:
        """Return one cache whose rows are those of the prefixes, padded on the left and masked there."""
        cache = DynamicCache(config=model.config)
        longest = max(len(p) for p in prefixes)
        mask = torch.zeros(len(prefixes), longest, dtype=torch.long, device=model.device)
        if not longest:
            return cache, mask
        for row, prefix in enumerate(prefixes):
            mask[row, longest - len(prefix) :] = 1
        distinct = list(dict.fromkeys(prefixes))
        pick = torch.tensor([distinct.index(p) for p in prefixes], device=model.device)
        example = next(self._prefixes[p] for p in distinct if p)
        for layer, (key, value) in enumerate(example):
            keys = key.new_zeros(len(distinct), key.size(0), longest, key.size(2))
            values = value.new_zeros(len(distinct), value.size(0), longest, value.size(2))
            for row, prefix in enumerate(distinct):
                if prefix:
                    keys[row, :, longest - len(prefix) :], values[row, :, longest - len(prefix) :] = self._prefixes[
                        prefix
                    ][layer]
            cache.update(keys[pick], values[pick], layer)
        return cache, mask

    def _decode(self, prompts: list[Prompt], rows: Rows, params: SamplingParams, device: torch.device) -> list[Sample]:
        eos = self._eos.to(device)
        uniforms_N_T = uniforms(prompts, params.max_new_tokens).to(device)
        warpers = _warpers(params)
        history = None
        if params.repetition_penalty != 1.0:
            # Padded with each row's own first token, because a pad token would be penalised in padded rows only.
            longest = max(len(p.ids) for p in prompts)
            padded = [[p.ids[0]] * (longest - len(p.ids)) + list(p.ids) for p in prompts]
            history = torch.tensor(padded, device=device)
        tokens: list[list[int]] = [[] for _ in prompts]
        logprobs: list[list[float]] = [[] for _ in prompts]
        alive = torch.arange(len(prompts), device=device)  # row of the batch -> index into prompts
        done = torch.zeros(len(prompts), dtype=torch.bool, device=device)
        for t in range(params.max_new_tokens):
            self.proceed()
            chosen, chosen_logprobs = pick(rows.logits, uniforms_N_T[alive, t], params, warpers, history)
            for row, (i, token, logprob) in enumerate(
                zip(alive.tolist(), chosen.tolist(), chosen_logprobs.tolist(), strict=True)
            ):
                if not done[row]:
                    tokens[i].append(token)
                    logprobs[i].append(logprob)
            done |= torch.isin(chosen, eos)
            if bool(done.all()) or t == params.max_new_tokens - 1:
                break
            if history is not None:
                history = torch.cat([history, chosen[:, None]], dim=1)
            if rows.can_drop and float(done.float().mean()) >= COMPACT_WHEN_DONE:
                keep = (~done).nonzero(as_tuple=True)[0]
                rows.keep(keep)
                alive, chosen, done = alive[keep], chosen[keep], done[keep]
                history = None if history is None else history[keep]
            self.decode_tokens += chosen.numel()
            rows.append(chosen)
        return [Sample(tuple(ids), tuple(lps)) for ids, lps in zip(tokens, logprobs, strict=True)]

    def _forward(
        self,
        model: PreTrainedModel,
        ids: Int[Tensor, "N T"],
        mask: Int[Tensor, "N P"],
        cache: DynamicCache,
    ) -> Float[Tensor, "N V"]:
        """Return the logits after the last token of each row; padding sits on the left and takes no position."""
        positions = (mask.cumsum(1) - 1).clamp(min=0)[:, -ids.size(1) :]
        output = model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        return output.logits[:, -1].float()

    def _left_pad(
        self, rows: Sequence[Sequence[int]], device: torch.device
    ) -> tuple[Int[Tensor, "N T"], Int[Tensor, "N T"]]:
        longest = max(len(row) for row in rows)
        ids = torch.tensor([[self._pad] * (longest - len(row)) + list(row) for row in rows], device=device)
        mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows], device=device)
        return ids, mask


def _can_be_copied(model: PreTrainedModel, dtype: torch.dtype) -> bool:
    """Return whether a copy in another type is of use: not of a quantised model, whose numbers mean something else."""
    kinds = {weight.dtype for weight in model.parameters()}
    return kinds != {dtype} and all(kind.is_floating_point for kind in kinds)


def _keep_head_fast(model: PreTrainedModel) -> None:
    """Give the head contiguous rows.

    transformers slices the last position off, and on a CPU torch multiplies such a view in bf16 without its fast
    kernels: 4 s instead of 10 ms for 32 rows and a vocabulary of 49,152.
    """
    head: Any = model.get_output_embeddings()
    if head is not None:
        head.register_forward_pre_hook(lambda _, inputs: (inputs[0].contiguous(), *inputs[1:]))


def _warpers(params: SamplingParams) -> Any:
    warpers: Any = LogitsProcessorList()
    if params.top_k:
        warpers.append(TopKLogitsWarper(params.top_k))
    if params.top_p < 1.0:
        warpers.append(TopPLogitsWarper(params.top_p))
    if params.min_p:
        warpers.append(MinPLogitsWarper(params.min_p))
    return warpers


def uniforms(prompts: Sequence[Prompt], count: int) -> Float[Tensor, "N T"]:
    """Return the numbers by which `count` tokens of each prompt are drawn, from its seed alone."""
    return torch.stack([torch.rand(count, generator=torch.Generator().manual_seed(p.seed)) for p in prompts])


def pick(
    logits: Float[Tensor, "N V"],
    uniforms: Float[Tensor, " N"],
    params: SamplingParams,
    warpers: Any,
    history: Int[Tensor, "N P"] | None,
) -> tuple[Int[Tensor, " N"], Float[Tensor, " N"]]:
    """Draw one token per row by inverting the cumulative distribution at that row's own uniform number."""
    if history is not None:
        penalise: Any = RepetitionPenaltyLogitsProcessor(params.repetition_penalty)
        logits = penalise(history, logits)
    if params.temperature == 0.0:
        logprobs = logits.log_softmax(-1)
        chosen = logprobs.argmax(-1)
    else:
        logits = logits / params.temperature
        logprobs = logits.log_softmax(-1)
        weights = warpers(None, logits).softmax(-1) if warpers else logprobs.exp()
        cumulative = weights.cumsum(-1, dtype=torch.float64)
        threshold = uniforms.to(torch.float64)[:, None] * cumulative[:, -1:]
        chosen = torch.searchsorted(cumulative, threshold, right=True)[:, 0].clamp(max=logits.size(-1) - 1)
    return chosen, logprobs.gather(-1, chosen[:, None])[:, 0]
