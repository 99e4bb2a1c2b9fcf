"""A model with adapters as the plain model that it computes like: its own weights, and these with the adapters added.

Adapters are peft's layers, or parametrizations of torch's (`torch.nn.utils.parametrize`), whose weights are what they
compute.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch
from peft.tuners.lora import LoraLayer
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized
from transformers import PreTrainedModel

from fastslow.policy.engines.rows import without_adapter_shell

PARAMETRIZED = ".parametrizations."


def is_better_plain(model: nn.Module) -> bool:
    """Return whether sampling is far cheaper from the plain model: every token would compute these adapters anew from
    matrices as large as the weights. LoRA's are small."""
    return any(
        is_parametrized(module) or (isinstance(module, BaseTunerLayer) and not isinstance(module, LoraLayer))
        for module in model.modules()
    )


def adapter_arrangement(model: nn.Module) -> list[object]:
    """Return what a copy of a model with adapters has to have like it: which weights there are, and which adapters of
    each layer are on."""
    layers = (module for module in model.modules() if isinstance(module, BaseTunerLayer))
    on: list[object] = [(layer.disable_adapters, *layer.active_adapters) for layer in layers]
    return [*(name for name, _ in model.named_parameters()), *on]


def own_weights(model: PreTrainedModel) -> dict[str, Tensor]:
    """Return the model's own weights by the names that they have without adapters; not copies."""
    inner = without_adapter_shell(model)
    adapted = {name for name, module in inner.named_modules() if isinstance(module, BaseTunerLayer)}
    named = {name: (_plain_name(name, adapted), weight) for name, weight in inner.state_dict().items()}
    return {plain: weight for plain, weight in named.values() if plain is not None}


def _plain_name(name: str, adapted: set[str]) -> str | None:
    """Return the name of a weight without adapters; None for one of an adapter."""
    if PARAMETRIZED in name:
        layer, _, rest = name.partition(PARAMETRIZED)
        weight, _, part = rest.partition(".")
        return f"{layer}.{weight}" if part == "original" else None
    parts = name.split(".")
    for i in range(1, len(parts)):
        if ".".join(parts[:i]) in adapted:
            return ".".join(parts[:i] + parts[i + 1 :]) if parts[i] == "base_layer" else None
    return name


@torch.no_grad()
def plain_weights(model: PreTrainedModel) -> Iterator[tuple[str, Tensor]]:
    """Yield the weights by their plain names, with the adapters that are on added to what they adapt; not copies where
    nothing is adapted."""
    layers: dict[str, Any] = dict(without_adapter_shell(model).named_modules())
    for name, weight in own_weights(model).items():
        owner, _, part = name.rpartition(".")
        layer = layers.get(owner)
        if layer is not None and is_parametrized(layer):
            weight = getattr(layer, part)
        elif part == "weight" and isinstance(layer, BaseTunerLayer) and not layer.disable_adapters:
            weight = weight + _added(layer)
        yield name, weight


def _added(layer: Any) -> Tensor:
    """Return what the adapters of a layer that are on add to its weight; a layer need not have all of them."""
    names: list[str] = [name for name in layer.active_adapters if name in getattr(layer, layer.adapter_layer_names[0])]
    deltas: list[Tensor] = [layer.get_delta_weight(name) for name in names]
    added = deltas[0] if deltas else torch.zeros((), device=layer.get_base_layer().weight.device)
    for delta in deltas[1:]:
        added = added + delta
    return added


def plain_copy(model: PreTrainedModel) -> PreTrainedModel:
    """Return a copy for inference without adapters, which computes what the model computes with those that are on."""
    inner = without_adapter_shell(model)
    memo: dict[int, Any] = {}
    for module in inner.modules():  # adapters are not copied: some are larger than what they adapt
        if isinstance(module, BaseTunerLayer):
            memo[id(module)] = copy.deepcopy(module.get_base_layer(), memo)
        elif is_parametrized(module):
            memo[id(module)] = copy.deepcopy(_bare(module), memo)
    plain = copy.deepcopy(inner, memo)
    plain.__dict__.pop("peft_config", None)  # peft's mark of a model that it has changed
    for module in plain.modules():
        module.__dict__.pop("forward", None)  # TRL's and accelerate's are closures over the original
    fill_plain(plain, model)
    return plain.eval().requires_grad_(False)


def _bare(module: Any) -> nn.Module:
    """Return a layer with the weights below its parametrizations: torch can remove these from the original only, as
    a copy shares the class that torch has made for them."""
    kind: Any = type(module).__bases__[0]
    bare = kind.__new__(kind)
    bare.__dict__ = dict(module.__dict__)
    bare._modules = {name: child for name, child in module._modules.items() if name != "parametrizations"}
    below = {name: weights.original for name, weights in module.parametrizations.items()}
    bare._parameters = {**module._parameters, **below}
    return bare


@torch.no_grad()
def fill_plain(plain: PreTrainedModel, model: PreTrainedModel) -> None:
    """Bring a copy that `plain_copy` made up to date with its model, in the type that its parameters have."""
    own = dict(plain.named_parameters())
    for name, weight in plain_weights(model):
        if name in own:  # buffers do not move, and a tied weight has one name
            own[name].copy_(weight)
