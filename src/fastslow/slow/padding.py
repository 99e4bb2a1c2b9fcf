"""Pad the rows of a micro-batch so that the model computes each of them as if it were alone.

TRL pads prompts on the left. That is exact for attention that is masked and goes by relative positions; a recurrent
state takes the padding in, and absolute positions are counted from it. Padding on the right comes after everything that
is read, so it is exact for every causal model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedModel

from fastslow.core.errors import BadInput
from fastslow.core.machine import is_out_of_memory
from fastslow.policy.engines.rows import without_cache
from fastslow.policy.token_trees import Row
from fastslow.policy.trials import (
    first_line,
    long_logprobs,
    long_row,
    name_of,
    not_for_text,
    plain_logprobs,
    tolerance,
    trial_rows,
)

Scores = tuple[Tensor, Tensor | None, Tensor | None]
"""Log-probabilities and entropies (or None) of the last tokens of rows, and a loss of the router (or None)."""
Score = Callable[[Tensor, Tensor, int], Scores]
"""Scores the last tokens of padded rows, from ids, mask and the number of tokens."""


class Padding(Enum):
    """How rows are padded for training, TRL's way first."""

    LEFT = "padded rows"
    RIGHT = "rows padded on the right"
    PLAIN = "rows padded on the right, with the logits of the model's own forward"


@torch.no_grad()
def exact_padding(
    model: PreTrainedModel, score: Callable[[Padding, Tensor, Tensor, int], Tensor], *, pad: int, temperature: float
) -> Padding:
    """Return the first way of padding under which rows have the log-probabilities that they have alone.

    Raises BadInput where none has: gradients would be those of other rows than the ones that were sampled.
    """
    # The shorter row gets all the padding there is, before its prompt and behind its answer; the longer one finds
    # kernels that compute in chunks, and fail on longer rows only.
    _, more, short = trial_rows(model)
    ids, mask, keep = as_trl_pads([long_row(more, model), short], pad)
    try:
        wanted = [long_logprobs(model, temperature=temperature), plain_logprobs(model, short, temperature=temperature)]
    except Exception as error:  # an architecture may fail on token ids alone anywhere
        raise not_for_text(model, error) from error
    if not all(bool(torch.isfinite(logps).all()) for logps in wanted):
        return Padding.LEFT  # weights that are not finite say nothing about padding
    problem = ""
    for padding in Padding:
        try:
            found = score(padding, ids.to(model.device), mask.to(model.device), keep)
        except Exception as error:  # an architecture may fail on a mask, or on TRL's head, anywhere
            if isinstance(error, BadInput) or is_out_of_memory(error):
                raise
            problem = first_line(error)
            continue
        off = torch.stack([(got[: len(want)] - want).abs().max() for got, want in zip(found, wanted, strict=True)])
        worst = float(off.max())
        if worst <= tolerance(model) / min(1.0, temperature):
            return padding
        problem = f"log-probabilities are off by {worst:.1g}"
    raise BadInput(
        f"the model ({name_of(model)}) cannot be trained on rows of different lengths: what it says of a token depends "
        f"on the padding ({problem}). Take another model."
    )


def as_trl_pads(rows: Sequence[Row], pad: int) -> tuple[Int[Tensor, "B T"], Int[Tensor, "B T"], int]:
    """Return ids, mask and the width of the answers, with prompts padded on the left and answers on the right."""
    prompts, answers = [r.ids[: -r.answer] for r in rows], [r.ids[-r.answer :] for r in rows]
    left, right = max(map(len, prompts)), max(map(len, answers))
    ids = [[*[pad] * (left - len(p)), *p, *a, *[pad] * (right - len(a))] for p, a in zip(prompts, answers, strict=True)]
    mask = [
        [*[0] * (left - len(p)), *[1] * (len(p) + len(a)), *[0] * (right - len(a))]
        for p, a in zip(prompts, answers, strict=True)
    ]
    return torch.tensor(ids), torch.tensor(mask), right


def score_on_the_right(score: Score, ids: Int[Tensor, "B T"], mask: Int[Tensor, "B T"], keep: int) -> Scores:
    """Score the last `keep` places of TRL's rows with the padding moved behind each row; 0 where a place is padding."""
    order = (1 - mask.long()).argsort(dim=1, stable=True)
    length = max(2, int(mask.sum(1).max()))
    ids_R, mask_R = ids.gather(1, order)[:, :length], mask.gather(1, order)[:, :length]
    starts = mask[:, :-keep].sum(1)  # where each answer begins, once the row begins at 0
    width = length - max(1, int(starts.min()))
    logps, entropies, extra = score(ids_R, mask_R, width)
    # Place t of an answer stands at starts + t, and `score` returns the last `width` places.
    places = (starts[:, None] + torch.arange(keep, device=ids.device) - (length - width)).clamp(0, width - 1)
    ended = mask[:, -keep:] == 0

    def back(values: Float[Tensor, "B W"] | None) -> Float[Tensor, "B T"] | None:
        return None if values is None else values.gather(1, places).masked_fill(ended, 0.0)

    return back(logps), back(entropies), extra  # type: ignore[return-value]


def score_plainly(model: Any, temperature: float, *, entropy: bool, router_loss: bool) -> Score:
    """Return what scores rows by the logits of the model's own forward: TRL's fused head does not know every head."""
    no_cache = without_cache(getattr(model, "module", model))

    def score(ids: Int[Tensor, "B T"], mask: Int[Tensor, "B T"], keep: int) -> Scores:
        extra = {"output_router_logits": True} if router_loss else {}
        output = model(input_ids=ids, attention_mask=mask, **no_cache, **extra)
        logps = (output.logits[:, -1 - keep : -1].float() / temperature).log_softmax(-1)
        chosen = logps.gather(-1, ids[:, -keep:, None])[..., 0]
        entropies = -(logps.exp() * logps).sum(-1) if entropy else None
        return chosen, entropies, getattr(output, "aux_loss", None) if router_loss else None

    return score


def score_padded(
    padding: Padding,
    trl: Score,
    model: Any,
    ids: Int[Tensor, "B T"],
    mask: Int[Tensor, "B T"],
    keep: int,
    *,
    temperature: float,
    compute_entropy: bool = False,
    compute_aux_loss: bool = False,
    **_: Any,
) -> Scores:
    """Score padded rows by TRL's forward, or by one over rows that are padded so that this is exact."""
    if padding is Padding.LEFT:
        return trl(ids, mask, keep)
    if padding is Padding.RIGHT:
        return score_on_the_right(trl, ids, mask, keep)
    plain = score_plainly(model, temperature, entropy=compute_entropy, router_loss=compute_aux_loss)
    return score_on_the_right(plain, ids, mask, keep)
