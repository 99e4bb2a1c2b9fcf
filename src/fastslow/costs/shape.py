"""Read off a model what its costs depend on: parameters by part, width, keys and values. No weights are needed."""

from __future__ import annotations

import importlib.resources
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import nn
from transformers import AutoConfig, PreTrainedConfig, PreTrainedModel
from transformers.pytorch_utils import Conv1D

BF16 = 2
"""Bytes of a number in bf16, the type of compute and of keys and values."""


@dataclass(frozen=True)
class ModelShape:
    """Hold the numbers of a model that costs depend on. Parameters are counted once where they are tied.

    Args:
        every: all parameters of the model, without adapters.
        trained: those that the optimiser moves: all of them, or the adapters'.
        adapted: whether adapters are trained.
        layer: parameters of the largest decoder layer. `outside`: those outside all decoder layers.
        lookup: parameters of an embedding table that is only looked up, so that no token is multiplied with it.
        idle: parameters of experts that a token does not pass.
        width: of a hidden state. `attention`, `kv`: of all query heads, and of all key heads, of a layer.
        inner: width of the feed-forward part that a token passes.
        shapes: of every parameter.
    """

    every: int
    trained: int
    adapted: bool
    layers: int
    layer: int
    outside: int
    lookup: int
    idle: int
    width: int
    attention: int
    kv: int
    inner: int
    vocabulary: int
    shapes: tuple[tuple[int, ...], ...]

    @property
    def multiplied(self) -> int:
        """Parameters that each token is multiplied with: 2 FLOPs each in a forward."""
        return self.every - self.lookup - self.idle

    @property
    def weights_read(self) -> int:
        """Bytes of weights that a decoding step of a batch reads, in bf16."""
        return BF16 * (self.every - self.lookup)

    @property
    def kv_bytes(self) -> int:
        """Bytes of keys and values of one token in bf16; an upper bound where layers have windows or a state."""
        return 2 * BF16 * self.layers * self.kv


def shape_of(model: PreTrainedModel, *, lora_r: int = 0) -> ModelShape:
    """Return the shape of a model, which may lie on the meta device. A model without attention has no keys and
    values; what its layers carry instead does not grow with the text."""
    config: Any = model.config.get_text_config()
    embedding: Any = model.get_input_embeddings()
    every, head, layers = count(model), model.get_output_embeddings(), list(_layers(model))
    width = _size(config, "hidden_size", usual=embedding.weight.shape[-1])
    heads = _size(config, "num_attention_heads")
    head_size = _size(config, "head_dim", usual=width // heads if heads else 0)
    untied = head is None or head.weight is not embedding.weight
    experts = sum(p.numel() for name, p in model.named_parameters() if ".experts." in name)
    active = _size(config, "num_experts_per_tok", usual=1)
    known = _size(config, "num_experts", "num_local_experts", usual=1)
    inner = _size(config, "moe_intermediate_size") if experts else 0
    return ModelShape(
        every=every,
        trained=adapter_parameters(model, lora_r) if lora_r else every,
        adapted=bool(lora_r),
        layers=_size(config, "num_hidden_layers", usual=len(layers)),
        layer=max(map(count, layers), default=0),
        outside=every - sum(map(count, layers)),
        lookup=count(embedding) if untied else 0,
        idle=experts - experts * active // known if experts else 0,
        width=width,
        attention=heads * head_size,
        kv=_size(config, "num_key_value_heads", usual=heads) * head_size if heads else 0,
        inner=active * inner if inner else _size(config, "intermediate_size", usual=4 * width),
        vocabulary=_size(config, "vocab_size", usual=embedding.weight.shape[0]),
        shapes=tuple(tuple(p.shape) for p in model.parameters()),
    )


def _size(config: Any, *names: str, usual: int = 0) -> int:
    """Return the first of these numbers that a configuration has: the greatest of a list, as some have one a layer."""
    for name in names:
        value = getattr(config, name, None)
        sizes = value if isinstance(value, (list, tuple)) else [value]
        size = max((s for s in sizes if type(s) is int), default=0)
        if size > 0:
            return size
    return usual


def count(module: nn.Module) -> int:
    """Return the number of parameters, tied ones once."""
    return sum(p.numel() for p in module.parameters())


def adapter_parameters(model: PreTrainedModel, rank: int) -> int:
    """Return the parameters of LoRA adapters of this rank on all linear layers."""
    return rank * sum(sum(layer.weight.shape) for _, layer in adapted_layers(model))


def adapted_layers(model: PreTrainedModel) -> list[tuple[str, Any]]:
    """Return name and layer of what adapters are put on: all linear layers but the head, which peft's "all-linear"
    leaves out."""
    head = model.get_output_embeddings()
    return [(name, m) for name, m in model.named_modules() if isinstance(m, (nn.Linear, Conv1D)) and m is not head]


def sharded(shapes: tuple[tuple[int, ...], ...], processes: int) -> int:
    """Return the elements that a process holds under FSDP2: each parameter is cut along its first dimension into equal
    chunks, of which the last may be partly or wholly padding (torch's fully_shard)."""
    return sum(-(-shape[0] // processes) * math.prod(shape[1:]) if shape else 1 for shape in shapes)


def shipped_config(name: str) -> PreTrainedConfig | None:
    """Return the configuration of a model of the hub that this package has, so that its costs need no network."""
    file = importlib.resources.files("fastslow.costs") / "models" / f"{name.replace('/', '--')}.json"
    return AutoConfig.for_model(**json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else None


def _layers(model: PreTrainedModel) -> Iterator[nn.Module]:
    """Yield the decoder layers: what transformers does not split, and what FSDP wraps one by one; of those within one
    another the outer one."""
    kinds = set(getattr(model, "_no_split_modules", None) or ())

    def below(module: nn.Module) -> Iterator[nn.Module]:
        for child in module.children():
            yield from [child] if type(child).__name__ in kinds else below(child)

    yield from below(model)
