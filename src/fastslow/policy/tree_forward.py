"""Train on rollouts as a token tree: every shared token goes through the model once.

Rollouts of one step share contexts, questions and often whole answers. `pack` merges rows into token trees and lays the
trees out as sequences whose attention mask lets each token see its ancestors only; a token's position is its depth.
Log-probabilities and gradients equal those of padded rows, because each row adds its own loss to the shared
computation. Nothing here approximates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MethodType
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.distributed.fsdp import register_fsdp_forward_method
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from fastslow.policy import shards
from fastslow.policy.token_trees import ATTENTION_WEIGHT, Row, cost, grow, lay_out

# Most positions whose logits over the whole vocabulary are in memory at once.
HEAD_ROWS = 512
# Settings of architectures whose logits are scaled after the head; none of them is handled here.
SCALED_HEADS = ("logit_scale", "logits_scaling", "output_multiplier", "lm_head_multiplier")

Observer = Callable[[Float[Tensor, "U D"], Int[Tensor, "B T"]], None]
"""Is shown the hidden states of U places, without a graph, and from which of them each completion token is predicted;
-1 where a row has ended."""


@dataclass(frozen=True)
class Packed:
    """Hold trees of tokens laid out as S sequences of L tokens.

    Attributes:
        source_E, token_E: for each distinct (place, next token) pair that a completion needs, the flat place in S x L
            whose hidden state predicts the token, and the token.
        fixed_S_L: places whose keys and values are constants; None where there are none.
        edge_B_T: the pair that each completion token reads; -1 where a row has ended.
    """

    input_ids_S_L: Int[Tensor, "S L"]
    positions_S_L: Int[Tensor, "S L"]
    sees_S_L_L: Bool[Tensor, "S L L"]
    source_E: Int[Tensor, " E"]
    token_E: Int[Tensor, " E"]
    edge_B_T: Int[Tensor, "B T"]
    tokens: int
    fixed_S_L: Bool[Tensor, "S L"] | None = None

    @property
    def cost(self) -> float:
        """Cost in tokens through the linear layers, see `token_trees.cost`."""
        return cost(*self.input_ids_S_L.shape)


def rows_of(
    ids_B_X: Int[Tensor, "B X"], mask_B_X: Int[Tensor, "B X"], *, answers: int, fixed: Mapping[tuple[int, ...], int]
) -> list[Row]:
    """Return padded rows without their padding; `answers` is the width of their answers, `fixed` says of which tokens a
    row begins with constants."""
    rows = []
    for ids, mask in zip(ids_B_X.cpu(), mask_B_X.cpu(), strict=True):
        whole = tuple(ids[mask.bool()].tolist())
        rows.append(Row(whole, int(mask[-answers:].sum()), fixed.get(whole, 0)))
    return rows


def pack(rows: Sequence[Row], *, width: int | None = None, attention_weight: float = ATTENTION_WEIGHT) -> Packed:
    """Merge rows into token trees. The last token of a row predicts nothing and is left out.

    The log-probabilities do not depend on where `lay_out` cuts. `width` is T, by default the longest answer. Raises
    ValueError for a row without a prompt.
    """
    if any(len(row.ids) <= row.answer + row.fixed for row in rows):
        raise ValueError("a row needs at least one prompt token that is not fixed")
    trees = [grow(rows, members) for members in lay_out(rows, attention_weight)]
    length = max(1, *(len(tree.tokens) for tree in trees))
    ids = np.zeros((len(trees), length), dtype=np.int64)
    positions = np.zeros_like(ids)
    sees, fixed = np.zeros((len(trees), length, length), dtype=bool), np.zeros_like(ids, dtype=bool)
    sees[:, np.arange(length), np.arange(length)] = True  # padding sees itself: an empty row would be NaN
    width = width or max(row.answer for row in rows)
    places_B_T = np.zeros((len(rows), width), dtype=np.int64)
    tokens_B_T = np.full((len(rows), width), -1, dtype=np.int64)
    for s, tree in enumerate(trees):
        n = len(tree.tokens)
        ids[s, :n], positions[s, :n], sees[s, :n, :n] = tree.tokens, tree.depths, tree.sees
        fixed[s, :n] = tree.fixed
        for i, path in tree.paths.items():
            answer = rows[i].answer
            places_B_T[i, :answer] = s * length + path[len(path) - answer :]
            tokens_B_T[i, :answer] = rows[i].ids[len(rows[i].ids) - answer :]
    ended = tokens_B_T < 0
    pairs = np.stack([places_B_T[~ended], tokens_B_T[~ended]], axis=1)
    edges, edge = np.unique(pairs, axis=0, return_inverse=True)
    if not len(edges):
        edges = np.zeros((1, 2), dtype=np.int64)  # all answers empty: one pair that no row reads
    edge_B_T = np.full_like(tokens_B_T, -1)
    edge_B_T[~ended] = edge.ravel()
    return Packed(
        input_ids_S_L=torch.from_numpy(ids),
        positions_S_L=torch.from_numpy(positions),
        sees_S_L_L=torch.from_numpy(sees),
        source_E=torch.from_numpy(edges[:, 0].copy()),
        token_E=torch.from_numpy(edges[:, 1].copy()),
        edge_B_T=torch.from_numpy(edge_B_T),
        tokens=sum(len(tree.tokens) for tree in trees),
        fixed_S_L=torch.from_numpy(fixed) if fixed.any() else None,
    )


def why_not(model: PreTrainedModel) -> str | None:
    """Return why packing would not be exact for this model, or None where it is exact."""
    config = model.config.get_text_config()
    attention = config._attn_implementation
    if attention not in ("sdpa", "eager"):
        return f"attention '{attention}' takes no mask of our own (sdpa and eager do)"
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    if kinds - {"full_attention", "sliding_attention"}:
        return f"layers of kind {', '.join(sorted(kinds - {'full_attention', 'sliding_attention'}))} see no mask"
    if "sliding_attention" in kinds and "full_attention" not in kinds:
        return "its layers all slide, and transformers then takes no mask by kind"
    # (GPT-Neo's window is in `attention_layers`)
    windowed = getattr(config, "sliding_window", None) or "local" in getattr(config, "attention_layers", ())
    if getattr(config, "layer_types", None) is None and windowed:
        return "its sliding window is not declared by layer"
    scaled = [name for name in SCALED_HEADS if getattr(config, name, None) not in (None, 1, 1.0)]
    if scaled:
        return f"its logits are scaled by {scaled[0]}"
    return _probe(model)


@torch.no_grad()
def _probe(model: PreTrainedModel) -> str | None:
    """Run two short rows through the model both ways: settings do not reveal ALiBi, recurrence or a head of two
    parts."""
    rows = [Row((1, 2, 3, 4, 5, 6), 2), Row((1, 2, 3, 7, 8), 2)]
    was_training = model.training
    model.eval()
    try:
        packed, _ = forward_packed(model, model, pack(rows), temperature=1.0, entropy_grad=False)
        for row, got in zip(rows, packed, strict=True):
            ids = torch.tensor([row.ids], device=model.device)
            logits = model(input_ids=ids, use_cache=False).logits[0, -1 - row.answer : -1].float()
            want = logits.log_softmax(-1).gather(1, ids[0, -row.answer :, None])[:, 0]
            if not torch.allclose(got, want, atol=torch.finfo(model.dtype).eps ** 0.5):
                return f"a trial gave other log-probabilities (off by {float((got - want).abs().max()):.1g})"
    except Exception as error:  # an architecture may fail on a custom mask anywhere
        return f"a trial failed with {type(error).__name__}: {str(error)[:200]}"
    finally:
        model.train(was_training)
    return None


def forward_packed(
    model: Callable[..., Any],
    base: PreTrainedModel,
    packed: Packed,
    *,
    temperature: float,
    entropy_grad: bool,
    observe: Observer | None = None,
) -> tuple[Float[Tensor, "B T"], Float[Tensor, "B T"]]:
    """Return the log-probability of every completion token and the entropy of its distribution; 0 where a row has
    ended.

    `model` is what is called (it may be wrapped for distribution), `base` the causal LM inside it; `observe` is shown
    the hidden states that all this was computed from. Where weights are cut up, every process has to call this
    function.
    """
    if shards.is_sharded(base):
        return _as_one_forward(base)(packed, temperature, entropy_grad, observe)
    return _forward_packed(model, base, packed, temperature, entropy_grad, observe)


def _as_one_forward(base: PreTrainedModel) -> Callable[..., tuple[Tensor, Tensor]]:
    """Return what FSDP2 takes for a forward of the model: body and head both run while the weights are whole."""
    name = "score_token_trees"
    if name not in base.__dict__:

        def score(self: Any, packed: Packed, *how: Any) -> tuple[Tensor, Tensor]:
            plain = partial(shards.class_of(self).forward, self)  # its own hooks belong to `score` now
            return _forward_packed(plain, self, packed, *how)

        setattr(base, name, MethodType(score, base))
        register_fsdp_forward_method(base, name)
    return base.__dict__[name]


def _forward_packed(
    model: Callable[..., Any],
    base: PreTrainedModel,
    packed: Packed,
    temperature: float,
    entropy_grad: bool,
    observe: Observer | None,
) -> tuple[Float[Tensor, "B T"], Float[Tensor, "B T"]]:
    device = base.device
    hidden = forward_hidden(model, base, packed)
    source_U, which_E = packed.source_E.to(device).unique(return_inverse=True)
    token_E = packed.token_E.to(device)
    logps, entropies = [], []
    # Pairs of one place lie together, so that a chunk of the head has whole places.
    order = which_E.argsort(stable=True)
    for start in range(0, len(source_U), HEAD_ROWS):
        stop = min(start + HEAD_ROWS, len(source_U))
        pairs = order[(which_E[order] >= start) & (which_E[order] < stop)]
        arguments = (base, hidden[source_U[start:stop]], which_E[pairs] - start, token_E[pairs], temperature)
        if torch.is_grad_enabled() and len(source_U) > HEAD_ROWS:
            logp, entropy = checkpoint(_score, *arguments, entropy_grad, use_reentrant=False)
        else:
            logp, entropy = _score(*arguments, entropy_grad)
        logps.append(logp)
        entropies.append(entropy[which_E[pairs] - start])
    back = torch.empty_like(order)
    back[order] = torch.arange(len(order), device=device)
    edge = packed.edge_B_T.to(device)
    ended = edge < 0
    if observe is not None:
        observe(hidden[source_U].detach(), which_E[edge.clamp(min=0)].masked_fill(ended, -1))
    logp_E, entropy_E = torch.cat(logps)[back], torch.cat(entropies)[back]
    pick = edge.clamp(min=0)
    return logp_E[pick].masked_fill(ended, 0.0), entropy_E[pick].masked_fill(ended, 0.0)


def forward_hidden(model: Callable[..., Any], base: PreTrainedModel, packed: Packed) -> Float[Tensor, "S_times_L D"]:
    """Return the input of the head at every place of the trees; 0 at places that are constants."""
    if packed.fixed_S_L is not None:
        return _after_constants(model, base, packed, packed.fixed_S_L)
    output = model(
        input_ids=packed.input_ids_S_L.to(base.device),
        attention_mask=_attention_mask(base.config.get_text_config(), packed, base.device),
        position_ids=packed.positions_S_L.to(base.device),
        use_cache=False,
        output_hidden_states=True,
        logits_to_keep=1,  # the head runs later, on the places that need it
    )
    return output.hidden_states[-1].flatten(0, 1)


def _after_constants(
    model: Callable[..., Any], base: PreTrainedModel, packed: Packed, fixed_S_L: Bool[Tensor, "S L"]
) -> Float[Tensor, "S_times_L D"]:
    """Compute the places that are constants without a graph, and the others as what follows them."""
    device, (sequences, length) = base.device, packed.input_ids_S_L.shape
    first_S_F, is_first_S_F = _places(fixed_S_L)
    rest_S_R, is_rest_S_R = _places(~fixed_S_L)
    row_S = torch.arange(sequences)[:, None]
    sees = packed.sees_S_L_L
    own_F = torch.eye(first_S_F.shape[1], dtype=torch.bool)  # padding sees itself: an empty row would be NaN
    among_first = sees[row_S[..., None], first_S_F[:, :, None], first_S_F[:, None]] & is_first_S_F[:, None] | own_F
    of_first = sees[row_S[..., None], rest_S_R[:, :, None], first_S_F[:, None]] & is_first_S_F[:, None]
    own_R = torch.eye(rest_S_R.shape[1], dtype=torch.bool)
    among_rest = sees[row_S[..., None], rest_S_R[:, :, None], rest_S_R[:, None]] & is_rest_S_R[:, None] | own_R

    def places(called: Callable[..., Any], places_S_X: Tensor, mask: Tensor, **kwargs: Any) -> Any:
        return called(
            input_ids=packed.input_ids_S_L[row_S, places_S_X].to(device),
            position_ids=packed.positions_S_L[row_S, places_S_X].to(device),
            attention_mask=_as_layers_take_it(base.config.get_text_config(), mask.to(device)),
            use_cache=True,
            logits_to_keep=1,
            **kwargs,
        )

    with torch.no_grad():
        cache = places(base, first_S_F, among_first).past_key_values
    output = places(
        model, rest_S_R, torch.cat([of_first, among_rest], dim=2), past_key_values=cache, output_hidden_states=True
    )
    hidden_S_R_D = output.hidden_states[-1]
    where = (row_S * length + rest_S_R)[is_rest_S_R].to(device)
    whole = hidden_S_R_D.new_zeros(sequences * length, hidden_S_R_D.shape[-1])
    return whole.index_copy(0, where, hidden_S_R_D[is_rest_S_R.to(device)])


def _places(wanted_S_L: Bool[Tensor, "S L"]) -> tuple[Int[Tensor, "S X"], Bool[Tensor, "S X"]]:
    """Return the wanted places of each sequence in order, padded to as many, and which of them are no padding."""
    count_S = wanted_S_L.sum(1)
    order_S_L = (~wanted_S_L).to(torch.int8).argsort(dim=1, stable=True)
    most = max(1, int(count_S.max()))
    return order_S_L[:, :most], torch.arange(most) < count_S[:, None]


def place_logits(base: PreTrainedModel, hidden_U_D: Float[Tensor, "U D"]) -> Float[Tensor, "U V"]:
    """Return fp32 logits over the vocabulary after each place."""
    head: Any = base.get_output_embeddings()
    if shards.is_sharded(base):  # FSDP2 counts the calls of a module, and expects one of each
        logits = nn.functional.linear(hidden_U_D, head.weight, head.bias).float()
    else:
        logits = head(hidden_U_D).float()
    softcap = getattr(base.config.get_text_config(), "final_logit_softcapping", None)
    return logits if softcap is None else softcap * torch.tanh(logits / softcap)


def _score(base, hidden, which, token, temperature: float, entropy_grad: bool):
    logps = (place_logits(base, hidden) / temperature).log_softmax(-1)
    with torch.set_grad_enabled(torch.is_grad_enabled() and entropy_grad):
        entropy = -(logps.exp() * logps).sum(-1)
    return logps[which, token], entropy


def _as_layers_take_it(config: Any, sees: Bool[Tensor, "S Q K"]) -> Tensor:
    """Return a mask in the form of the model's attention: what may be seen, or what is added to the scores."""
    mask = sees[:, None]
    if config._attn_implementation != "eager":
        return mask
    return torch.zeros(mask.shape, device=mask.device).masked_fill(~mask, torch.finfo(torch.float32).min)


def _attention_mask(config, packed: Packed, device: torch.device):
    """Return the 4-D mask that transformers passes through, one for each kind of layer where there are two."""
    full = packed.sees_S_L_L[:, None].to(device)
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    masks = {"full_attention": full}
    if "sliding_attention" in kinds:
        distance = packed.positions_S_L[:, :, None] - packed.positions_S_L[:, None, :]
        masks["sliding_attention"] = full & (distance < config.sliding_window)[:, None].to(device)
    masks = {kind: _as_layers_take_it(config, mask[:, 0]) for kind, mask in masks.items()}
    return masks["full_attention"] if len(masks) == 1 else masks
