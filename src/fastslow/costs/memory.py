"""Bytes of memory by part: of a process that trains, whole or sharded, and of a server that generates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fastslow.costs.shape import BF16, ModelShape, sharded

FP32 = 4
MOMENTS: Mapping[str, int] = {"adamw_torch": 2, "adamw_torch_fused": 2, "adafactor": 0, "sgd": 0}
"""Moments of every trained weight, in fp32, by optimiser; of an optimiser that is not listed none are certain."""

HEAD_ROWS = 512
"""Positions whose logits are in memory at once: the head is computed in chunks of this many places (trees), or in tiles
that are smaller (TRL's fused head)."""
LOGIT_COPIES = 3
"""Copies in fp32 of a chunk of logits: the logits, their log-softmax, and the gradient."""
LIVE_LAYERS = 2
"""Layers that FSDP2 holds whole at a time: the one that computes and the one that is fetched."""
RUNTIME = 3e9
"""CUDA context, NCCL's buffers and what the allocator cannot use for fragments: an assumption of ours, to be measured
by scripts/gpu_check.py."""
ACTIVATION_WIDTHS = 6
"""Hidden states that a layer keeps for its backward: inputs of two norms, in fp32 and bf16, and two residuals."""


@dataclass(frozen=True)
class Training:
    """Say how a process trains: with whole copies or as one of several that share them, and which copies it keeps.

    Args:
        processes: that share each weight (FSDP2); 1: whole copies.
        states: processes that share gradients and optimiser: `processes`, or more of them (ZeRO-2).
        trains: whether weights are trained at all.
        moments: of the optimiser, for each trained weight.
        references: whole base models in fp32 beside the trained one, for the KL.
        checkpointing: whether layers compute their activations again in the backward.
    """

    processes: int
    states: int
    trains: bool
    moments: int
    references: int
    checkpointing: bool = False


def standing(shape: ModelShape, how: Training) -> dict[str, int]:
    """Return the bytes that a process holds all the time, by purpose: fp32, each weight cut by FSDP2's rule."""
    every, trained, states = _held(shape, how.processes), _trained(shape, how.processes), _trained(shape, how.states)
    return {
        "weights": FP32 * (every + (trained if shape.adapted else 0)),
        "gradients": FP32 * states * how.trains,
        "optimiser": FP32 * states * how.moments * how.trains,
        "base for the KL": FP32 * every * how.references,
    }


def _held(shape: ModelShape, processes: int) -> int:
    """Return how many of all parameters one of `processes` holds."""
    return shape.every if processes == 1 else sharded(shape.shapes, processes)


def _trained(shape: ModelShape, processes: int) -> int:
    """Return how many of the trained parameters one of `processes` holds. The shapes of adapters are not known before
    peft has made them: they are taken to be cut without padding."""
    return -(-shape.trained // processes) if shape.adapted else _held(shape, processes)


def passing(shape: ModelShape, how: Training, tokens: int) -> dict[str, int]:
    """Return the bytes that come and go in a step over `tokens` tokens at once, by purpose, at their peak."""
    whole = LIVE_LAYERS * shape.layer + shape.outside
    kept = shape.layers if not how.checkpointing else 1
    layer = BF16 * (
        ACTIVATION_WIDTHS * shape.width + 2 * (shape.attention + shape.kv) + 4 * shape.inner
    )  # of one token: queries, keys, values and their product; gate, up, activation and product
    inputs = BF16 * shape.width * shape.layers * how.checkpointing
    return {
        "whole weights": BF16 * (whole if how.processes > 1 else shape.every),
        "whole gradients": BF16 * (shape.layer + shape.outside) if how.processes > 1 and not shape.adapted else 0,
        "activations": tokens * (inputs + kept * layer),
        "logits": LOGIT_COPIES * FP32 * HEAD_ROWS * shape.vocabulary,
    }


def serving(shape: ModelShape) -> int:
    """Return the bytes of a server's weights, in bf16; keys and values come on top."""
    return BF16 * shape.every
