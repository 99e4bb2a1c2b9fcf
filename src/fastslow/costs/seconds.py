"""Seconds of the stages of a run, each from a bound of the hardware and an efficiency that was measured or is assumed.

Decoding is bound by memory: each step of a batch reads all weights, and the keys and values of every row. Training and
the reading of prompts are bound by arithmetic.
"""

from __future__ import annotations

from fastslow.costs.machines import Gpu
from fastslow.costs.shape import BF16, ModelShape


def decode_step(shape: ModelShape, gpu: Gpu, *, rows: float, context: float, efficiency: float) -> float:
    """Return the seconds in which a server decodes one token of each of `rows` rows of `context` tokens."""
    memory = (shape.weights_read + rows * context * shape.kv_bytes) / (gpu.bandwidth * efficiency)
    return max(memory, 2 * shape.multiplied * rows / gpu.matmul)


def prefill(shape: ModelShape, gpu: Gpu, *, tokens: float) -> float:
    """Return the seconds in which a server reads prompts of `tokens` tokens together."""
    return 2 * shape.multiplied * tokens / gpu.matmul


def prefill_share(shape: ModelShape, gpu: Gpu, *, rows: float, prompt: float, answer: float) -> float:
    """Return the share of a request's time, at full bandwidth, that goes into its prompt while `rows` are served."""
    reading = prefill(shape, gpu, tokens=prompt)
    writing = answer * decode_step(shape, gpu, rows=rows, context=prompt + answer / 2, efficiency=1.0) / rows
    return reading / (reading + writing)


def throughput(
    shape: ModelShape, gpu: Gpu, *, rows: float, at_once: float, prompt: float, answer: float, efficiency: float
) -> float:
    """Return the seconds in which one server answers `rows` prompts, `at_once` of them at a time."""
    at_once = max(1.0, min(rows, at_once))
    step = decode_step(shape, gpu, rows=at_once, context=prompt + answer / 2, efficiency=efficiency)
    return rows * answer * step / at_once


def tail(shape: ModelShape, gpu: Gpu, *, prompt: float, longest: float, efficiency: float) -> float:
    """Return the seconds of one row of `longest` tokens that is decoded alone: no batch ends sooner, whatever its
    size."""
    return longest * decode_step(shape, gpu, rows=1, context=prompt + longest / 2, efficiency=efficiency)


def forward_flops(shape: ModelShape, *, length: float) -> float:
    """Return the FLOPs of a forward by token: 2 for each parameter that it meets, and its attention to half of a row of
    `length` tokens, on average (2 for the products with keys and 2 with values)."""
    return 2 * shape.multiplied + 2 * shape.layers * shape.attention * length


def update(
    shape: ModelShape, gpu: Gpu, *, tokens: float, length: float, gpus: int, mfu: float, forwards: float
) -> float:
    """Return the seconds of training on `tokens` tokens in rows of `length`, over `gpus` GPUs.

    `forwards` counts what each token costs in forwards: 3 for a forward and its backward (2 with adapters), one more
    where activations are computed again, one more for each reference model.
    """
    return tokens * forwards * forward_flops(shape, length=length) / (gpus * gpu.flops * mfu)


def transport(shape: ModelShape, *, bytes_per_second: float) -> float:
    """Return the seconds in which new weights reach the servers: adapters, or all weights in bf16."""
    return BF16 * (shape.trained if shape.adapted else shape.every) / bytes_per_second
