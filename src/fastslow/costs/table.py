"""Lay out an estimate as lines: each number in three cases, with its unit, formula and source."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from fastslow.costs.estimate import Estimate
from fastslow.costs.memory import HEAD_ROWS, LOGIT_COPIES, RUNTIME
from fastslow.costs.published import SERVED_SOURCE
from fastslow.costs.work import CASES, Range, rising

CONFIG, RECIPE, DERIVED = "model's config.json", "recipe", "derived"
FSDP = "torch's fully_shard"


@dataclass(frozen=True)
class Line:
    """Hold one number of the table: the part it belongs to, its name, its three cases, and how it came about."""

    part: str
    name: str
    value: Range
    unit: str
    formula: str
    source: str

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "value": dict(zip(CASES, self.value, strict=True))}


def lines_of(e: Estimate) -> list[Line]:
    """Return the whole table, part by part."""
    return [*_model(e), *_memory(e), *_tokens(e), *_seconds(e), *_disk(e), *_money(e)]


def summary_of(e: Estimate) -> str:
    """Return the answer in one line: whether it fits, how long it takes, and what it costs."""
    hours = [f"{e.run(case) / 3600:,.1f}" for case in range(len(CASES))]
    fits = "It fits" if e.fits else "It does NOT fit"
    text = f"{fits}. The run takes some {hours[1]} h ({hours[0]} to {hours[2]})"
    paid = next((line.value for line in _money(e) if line.name == "in all"), None)
    if paid is None:
        return f"{text}."
    return f"{text} and ${paid.typical:,.0f} (${paid.low:,.0f} to ${paid.high:,.0f})."


def notes_of(e: Estimate) -> list[str]:
    """Return what the reader of the table should know besides."""
    notes, size = [], f"{e.gpu.name} has {e.gpu.memory / 1e9:.0f} GB"
    if not e.fits:
        needs = e.trains_in(1) + RUNTIME + (e.server_weights + e.longest_row if e.place.shared else 0)
        mend = "more or larger GPUs" if e.shape.adapted else "more or larger GPUs, or adapters (--lora_r 16)"
        notes.append(f"MEMORY IS TOO SMALL: {size}, and some {needs / 1e9:.0f} GB are needed; take {mend}.")
    elif e.rows_at_once(1) < e.work.rollouts / e.place.servers:
        notes.append(f"Not all rows of a step are decoded at once: {size}, so that they take turns.")
    if e.fits and e.place.shared and e.work.engine == "vllm":
        share = math.floor(100 * (e.server_weights + e.room(2)) / e.gpu.memory) / 100
        longest = math.ceil(e.unknown.prompt.high + e.work.longest)
        notes.append(
            "Servers share their GPUs with training, which keeps its memory: start each with "
            f"--gpu-memory-utilization {share:.2f} --max-model-len {longest}."
        )
    if e.work.engine != "vllm":
        notes.append(
            f"Generation by engine '{e.work.engine}' is outside the model: its efficiency is assumed. Time a few "
            "steps before you trust these seconds."
        )
    if not e.work.checkpointing and e.training_memory.get("activations", Range(0, 0, 0)).typical > e.gpu.memory / 4:
        notes.append("gradient_checkpointing true would shrink the activations to a fraction.")
    if e.replies and e.work.reply_prices is None:
        notes.append(
            f"The reflection LM is asked about {e.replies:,} times; reflection_price_prompt and "
            "reflection_price_completion are not set, so that its cost is not in the table."
        )
    if e.gpu.name not in e.prices.gpus:
        notes.append(f"No price of {e.gpu.name} is known; give one by --prices FILE.")
    return notes


def _exactly(part: str, name: str, value: float, unit: str, formula: str, source: str = DERIVED) -> Line:
    return Line(part, name, Range.exactly(value), unit, formula, source)


def _model(e: Estimate) -> Iterator[Line]:
    s, part = e.shape, "model"
    yield _exactly(part, "parameters", s.every, "count", "counted on the meta device", CONFIG)
    yield _exactly(part, "in its layers", s.every - s.outside, "count", f"{s.layers} layers of {s.layer:,}", CONFIG)
    yield _exactly(part, "trained", s.trained, "count", "adapters only" if s.adapted else "all of them", RECIPE)
    yield _exactly(part, "keys and values", s.kv_bytes, "bytes", "a token: 2 x layers x key width x 2 B", CONFIG)


def _memory(e: Estimate) -> Iterator[Line]:
    shared = e.place.shared
    part = "memory of each GPU" if shared else "memory of a training GPU"
    of, runtime = f"of {e.gpu.memory / 1e9:.0f} GB", "CUDA, NCCL, fragments"
    for name, value in e.training_memory.items():
        if value.high:
            yield Line(part, name, value, "bytes", *_how(e, name))
    used = Range.of(e.trains_in)
    if not shared:
        yield _exactly(part, "runtime", RUNTIME, "bytes", runtime, "assumed")
        yield Line(part, "in all", Range(*(u + RUNTIME for u in used)), "bytes", of, e.gpu.source)
        part, used = "memory of a serving GPU", Range.exactly(0)
    if e.server_weights:
        source = f"engine {e.work.engine}"
        yield _exactly(part, "weights that generate", e.server_weights, "bytes", "2 B x parameters", source)
    kv = rising(Range.of(e.keys_and_values))  # long answers leave less room for rows, and for what they keep
    formula = "rows at once x (prompt + answer) x keys and values of a token"
    yield Line(part, "keys and values", kv, "bytes", formula, DERIVED)
    yield _exactly(part, "runtime", RUNTIME, "bytes", runtime, "assumed")
    total = Range(*(u + k + e.server_weights + RUNTIME for u, k in zip(used, kv, strict=True)))
    yield Line(part, "in all", total, "bytes", of, e.gpu.source)
    rows = f"of the {e.work.rollouts / e.place.servers:g} of a server: all, or what its memory holds"
    yield Line(part, "rows at once", Range.of(e.rows_at_once), "rows", rows, DERIVED)


def _how(e: Estimate, name: str) -> tuple[str, str]:
    """Return formula and source of a part of a training process."""
    n = e.place.trainers
    cut, rule = (f" / {n}", f"fp32; {FSDP}") if n > 1 else ("", "fp32, whole copies")
    layers = "(layers x width + one layer's)" if e.work.checkpointing else "layers x one layer's"
    return {
        "weights": (f"4 B x parameters{cut}", rule),
        "gradients": (f"4 B x trained{cut}", rule),
        "optimiser": (f"4 B x {e.work.moments} x trained{cut}", rule),
        "base for the KL": (f"4 B x parameters{cut}", f"beta; {rule}"),
        "whole weights": ("2 B x (2 layers + embedding, head, norm)", f"{FSDP}; its root is not resharded")
        if n > 1
        else ("2 B x parameters", "autocast keeps its casts"),
        "whole gradients": ("2 B x (1 layer + embedding, head, norm)", f"{FSDP}, until they are reduced"),
        "activations": (f"{e.tokens_at_once(1):,} tokens x 2 B x {layers}", "micro-batch with the longest answer"),
        "logits": (f"{LOGIT_COPIES} x 4 B x {HEAD_ROWS} places x vocabulary", "the head runs in chunks"),
    }[name]


def _tokens(e: Estimate) -> Iterator[Line]:
    work, u, part = e.work, e.unknown, "tokens of a step"
    yield _exactly(part, "rollouts", work.rollouts, "rows", "problems x rollouts of each", RECIPE)
    if work.phases:
        share = work.phases * work.calls / work.steps
        yield _exactly(part, "share of fast phases", share, "rows", "metric calls x phases / steps", RECIPE)
    yield Line(part, "prompt", u.prompt, "tokens", "of a row: context and question", u.source)
    yield Line(part, "answer", u.answer, "tokens", f"of a row, mean; at most {work.longest:,}", u.source)
    yield Line(part, "reused", u.reused, "share", "of the rollouts, served by the fast phase", u.source)
    yield Line(part, "live", u.live, "share", "of the rows: can move the weights, and are computed", u.source)
    yield Line(part, "generated", Range.of(e.generated), "tokens", "rollouts x (1 - reused) x answer", DERIVED)
    if work.trains:
        shared = ", prompts once a context" if work.packed else ""
        formula = f"rollouts x live x (prompt + answer){shared}"
        yield Line(part, "trained on", Range.of(e.trained_on), "tokens", formula, DERIVED)


def _seconds(e: Estimate) -> Iterator[Line]:
    work, part = e.work, "seconds"
    known = f"{e.gpu.source}; {SERVED_SOURCE}" if work.engine == "vllm" else "efficiency assumed"
    low, high = e.unknown.efficiency.low, e.unknown.efficiency.high
    step = "tokens x (weights + rows x context x keys and values) / (rows x bandwidth x efficiency"
    yield Line(part, "throughput", Range.of(e.step_throughput), "s", f"{step} {low:.2f} to {high:.2f}); prompts", known)
    tail = f"{work.longest:,} tokens of one row alone (low: twice the mean), by the same formula"
    yield Line(part, "tail", Range.of(e.tail), "s", tail, known)
    yield Line(part, "generation", Range.of(e.generation), "s", "the larger of the two; high: their sum", DERIVED)
    if work.trains:
        low, high = e.unknown.mfu.low, e.unknown.mfu.high
        updates = f"{work.updates} updates x " * (work.updates > 1)
        rate = f"(GPUs x FLOP/s x MFU {low:.2f} to {high:.2f})"
        formula = f"{updates}tokens x {e.forwards} x (2 parameters + attention) / {rate}"
        yield Line(part, "training", Range.of(e.training), "s", formula, f"{e.gpu.source}; MFU assumed")
        yield Line(part, "weights", Range.of(e.transport), "s", "2 B x trained / 0.5 to 8 GB/s, to servers", "assumed")
    yield Line(part, "one step", Range.of(e.step), "s", "generation + training + weights", DERIVED)
    if work.phases:
        formula = f"{work.calls} rollouts in {work.rounds} rounds, and {work.iterations} waits for the reflection LM"
        yield Line(part, "one fast phase", Range.of(e.fast_phase), "s", formula, "derived; waits assumed")
    if work.evaluated:
        yield Line(part, "one evaluation", Range.of(e.evaluation), "s", f"{work.evaluated:,} rollouts", DERIVED)
    several = f"{work.steps} steps, {work.phases} fast phases, {work.evaluations} evaluations"
    yield Line(part, "the run", Range.of(lambda case: e.run(case) / 3600), "h", several, DERIVED)


def _disk(e: Estimate) -> Iterator[Line]:
    d, part = e.disk, "disk"
    yield _exactly(
        part, "one checkpoint", d.checkpoint, "bytes", "4 B x trained x (1 + moments), and a moving reference"
    )
    fullest = f"{d.checkpoints} checkpoints, or {d.kept} and the bundle"
    yield _exactly(part, "at its fullest", d.fullest, "bytes", fullest, RECIPE)
    yield _exactly(part, "in the end", d.left, "bytes", f"{d.milestones} checkpoints and the bundle", RECIPE)


def _money(e: Estimate) -> Iterator[Line]:
    part, hours, price = "money", Range.of(e.gpu_hours), e.prices.gpus.get(e.gpu.name)
    yield Line(part, "GPU hours", hours, "h", f"the run x {e.place.machines.count} GPUs", DERIVED)
    if price is None:
        return
    paid = {"GPUs": Range(*(h * p for h, p in zip(hours, price, strict=True)))}
    formula = f"GPU hours x {price.low:g}, {price.typical:g}, {price.high:g}"
    yield Line(part, "GPUs", paid["GPUs"], "USD", formula, e.prices.sources[e.gpu.name])
    if e.replies and e.work.reply_prices is not None:
        paid["reflection LM"] = Range.of(e.reflection)
        yield Line(part, "reflection LM", paid["reflection LM"], "USD", f"{e.replies:,} replies, capped", RECIPE)
    if e.prices.storage is not None:
        paid["disk"] = Range.of(e.storage)
        yield Line(part, "disk", paid["disk"], "USD", "at its fullest x months of the run", e.prices.sources["storage"])
    total = Range(*(sum(values) for values in zip(*paid.values(), strict=True)))
    yield Line(part, "in all", total, "USD", "without traffic and taxes", DERIVED)
