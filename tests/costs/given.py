"""Inputs of the cost model that several tests share: Qwen3-8B, and a run of a step's size in the paper."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from fastslow.costs.disk import disk_of
from fastslow.costs.estimate import Estimate, Placement
from fastslow.costs.machines import parse_machines
from fastslow.costs.prices import default_prices
from fastslow.costs.published import EFFICIENCY, MFU, TRANSPORT
from fastslow.costs.shape import ModelShape, shape_of, shipped_config
from fastslow.costs.work import Range, Unknowns, Work

WORK = Work(
    steps=100,
    problems=32,
    group=8,
    contexts=8,
    phases=17,
    calls=960,
    anchor=64,
    minibatch=4,
    proposals=4,
    evaluations=3,
    evaluated=400,
    longest=8192,
    rows=1,
    updates=1,
    packed=True,
    samples=True,
    trains=True,
    checkpointing=True,
    references=1,
    kl=True,
    moments=2,
    engine="vllm",
)
UNKNOWN = Unknowns(
    prompt=Range(400, 1500, 3000),
    answer=Range(1000, 3000, 6000),
    reused=Range(0, 0.22, 0.22),
    live=Range(0.5, 0.7, 1),
    efficiency=EFFICIENCY,
    mfu=MFU,
    transport=TRANSPORT,
    request=Range(2e3, 6e3, 16e3),
    wait=Range(0, 0, 0),
    source="test",
)
LLAMA = LlamaConfig(
    hidden_size=4096,
    intermediate_size=14336,
    num_hidden_layers=32,
    num_attention_heads=32,
    num_key_value_heads=8,
    vocab_size=128256,
    tie_word_embeddings=False,
)
"""The shape of Llama-3.1-8B."""


def on_meta(config: Any) -> Any:
    """The model without weights."""
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config)


@cache
def qwen(name: str = "Qwen/Qwen3-8B", **kwargs: Any) -> ModelShape:
    return shape_of(on_meta(shipped_config(name)), **kwargs)


def estimate(gpus: str = "8xH100", shape: ModelShape | None = None, servers: int = 0, **changes: Any) -> Estimate:
    """An estimate of WORK and UNKNOWN with changes to either."""
    shape = shape or qwen()
    own = {name: value for name, value in changes.items() if name in Unknowns.__dataclass_fields__}
    work = replace(WORK, **{name: value for name, value in changes.items() if name not in own})
    disk = disk_of(
        shape, saved=range(50, work.steps + 1, 50), keep_last=1, keep_every=50, moments=2, moving=False, bundle=True
    )
    place = Placement.of(parse_machines(gpus), servers=servers)
    return Estimate(shape, place, work, replace(UNKNOWN, **own), disk, default_prices())
