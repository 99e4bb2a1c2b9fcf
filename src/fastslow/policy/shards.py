"""Weights that are cut up between processes (FSDP2): gather them whole, and reach this process's share of them.

A forward through such a model gathers each layer for as long as it computes, so every process has to make as many of
them. Who needs the weights alone (an engine, a bundle) takes a whole copy instead.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor
from transformers import PreTrainedModel


def is_sharded(model: nn.Module) -> bool:
    """Return whether this process holds only a share of the model's weights."""
    return isinstance(model, FSDPModule)


def settle(model: nn.Module) -> None:
    """Give back what the last forward gathered: the layers at both ends stay whole until a backward, in the type that
    the forward computes in, and would outlive a change of the weights. Not collective."""
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()


def share(tensor: Tensor) -> Tensor:
    """Return what this process holds of a tensor, without a copy: all of it where it is not cut up."""
    if not isinstance(tensor, DTensor):
        return tensor
    own: Any = tensor.detach()  # a DTensor too, which torch does not say
    return own.to_local()


def like(weight: Tensor, held: Tensor) -> Tensor:
    """Return `held`, this process's share of a tensor of the shape of `weight`, cut up as `weight` is."""
    if not isinstance(weight, DTensor) or not held.ndim or held.shape != share(weight).shape:
        return held
    return DTensor.from_local(
        held, weight.device_mesh, weight.placements, run_check=False, shape=weight.shape, stride=weight.stride()
    )


def whole(tensor: Tensor) -> Tensor:
    """Return all of a tensor, gathered where it is cut up: collective there."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def class_of(model: Any) -> type:
    """Return the model's class, without the one that FSDP2 puts over it."""
    return next(kind for kind in type(model).__mro__ if not issubclass(kind, FSDPModule))


@torch.no_grad()
def whole_weights(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield name and whole value of every parameter (tied ones once) and buffer, one at a time in memory.

    Collective: every process has to take all of them. The tensors are on the device of the weights, and those that are
    not cut up are the model's own.
    """
    settle(model)
    for name, tensor in chain(model.named_parameters(), model.named_buffers()):
        yield name, whole(tensor.detach())


def blank_of(model: PreTrainedModel) -> PreTrainedModel:
    """Return the model without its weights, to be filled by `fill`; to be made before the weights are cut up."""
    memo: dict[int, Any] = {
        id(weight): nn.Parameter(torch.empty(0, dtype=weight.dtype), requires_grad=False)
        for weight in model.parameters()
    }
    blank = copy.deepcopy(model, memo)
    for module in blank.modules():
        module.__dict__.pop("forward", None)  # TRL's and accelerate's are closures over the original
    return blank.eval()


@torch.no_grad()
def fill(
    blank: PreTrainedModel,
    model: PreTrainedModel,
    *,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> None:
    """Give `blank`, made of a model of the same kind, the whole weights of `model` and the state of its adapters.

    Collective. `dtype` is that of the copy's parameters, where it is to be another than theirs; buffers keep their own
    (rotary frequencies lose precision at far positions in bf16). `device` is where the copy lives, by default theirs.
    """
    own = dict(chain(blank.named_parameters(), blank.named_buffers()))
    weights = {name for name, _ in blank.named_parameters()}
    for name, theirs in whole_weights(model):
        mine = own[name]
        kind = dtype if dtype is not None and name in weights and theirs.is_floating_point() else theirs.dtype
        place = theirs.device if device is None else torch.device(device)
        if (mine.shape, mine.dtype, mine.device) == (theirs.shape, kind, place):
            mine.copy_(theirs)
        else:
            mine.data = theirs.to(place, kind, copy=True)
    for copied, original in zip(blank.modules(), model.modules(), strict=True):
        if hasattr(original, "_disable_adapters"):
            copied._disable_adapters = original._disable_adapters


def whole_copy(blank: PreTrainedModel, model: PreTrainedModel, *, keep: bool) -> PreTrainedModel | None:
    """Return a copy of `model` on the CPU with its whole weights, where `keep`; None elsewhere. Collective."""
    if keep:
        filled = copy.deepcopy(blank)
        fill(filled, model, device="cpu")
        return filled
    for _ in whole_weights(model):
        pass
    return None
