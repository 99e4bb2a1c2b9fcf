"""Read off the settings of a run what its costs depend on; `costs` does the arithmetic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import yaml
from transformers import AutoModelForCausalLM, PreTrainedModel

from fastslow.config.settings import FastSlowConfig
from fastslow.core.errors import BadInput, quoted
from fastslow.core.modes import MODES
from fastslow.costs.disk import Disk, disk_of
from fastslow.costs.estimate import Estimate, Placement
from fastslow.costs.machines import parse_machines
from fastslow.costs.memory import MOMENTS
from fastslow.costs.pilot import read_pilot
from fastslow.costs.prices import default_prices, read_prices
from fastslow.costs.published import EFFICIENCY, ELSEWHERE, MFU, TRANSPORT
from fastslow.costs.shape import ModelShape, shape_of, shipped_config
from fastslow.costs.work import Range, Unknowns, Work
from fastslow.policy.loading import describe_model, loading, resolve_model
from fastslow.slow.adapters import kind_of
from fastslow.slow.adapters.stages import Stages

PROMPT = Range(400, 1500, 3000)
ANSWER_SHARES = Range(1 / 8, 3 / 8, 3 / 4)
"""Of the longest answer allowed, where no lengths are given: neither the paper nor any other source states lengths."""
REUSED = Range(0.0, 0.22, 0.22)
"""The paper: about 22% of the trajectories are served by the fast phase."""
LIVE = Range(0.5, 0.7, 1.0)
REQUEST, WAIT = Range(2_000, 6_000, 16_000), Range(5, 20, 60)
"""Tokens that the reflection LM reads for a proposal, and seconds of its reply: assumptions of ours."""


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Hold what `fastslow doctor --gpus` was told beside the settings: each None where it was not."""

    gpus: str
    processes: int | None = None
    servers: int = 0
    pilot: str | None = None
    prices: str | None = None
    given: Mapping[str, Range] | None = None
    """Ranges by the names that `work.Unknowns` has."""


def estimate(config: FastSlowConfig, inputs: Inputs) -> Estimate:
    """Estimate the costs of a run. Of its model only the configuration is read, from the package, a folder or the hub.

    Raises BadInput for inputs that cannot be used, and where the model has no configuration.
    """
    place = Placement.of(parse_machines(inputs.gpus), processes=inputs.processes, servers=inputs.servers)
    prices = read_prices(inputs.prices) if inputs.prices else default_prices()
    shape = shape_of(without_weights(config, shipped=True), lora_r=config.lora_r)
    work = work_of(config, place.trainers)
    other = unlike(config, inputs.pilot) if inputs.pilot else ""
    return Estimate(shape, place, work, unknowns(work, inputs, other), disk_needs(config, shape), prices)


def work_of(config: FastSlowConfig, processes: int) -> Work:
    """Return the work of a run that `processes` processes train. Raises BadInput where its rows cannot be shared."""
    mode, tasks = MODES[config.mode], len(config.tasks or [1])
    rows, questions = config.problems_per_step * int(config.num_generations or 1), config.questions_per_step
    group = rows // questions
    contexts = config.population_size if mode.fast and mode.when != "after" else 1
    cycles = -(-config.max_steps // config.slow_steps_per_cycle)
    measured = config.population_size + 1 if mode.fast else 1
    every = int(config.eval_steps or 1) if _text(config.eval_strategy) != "no" else config.max_steps
    evaluations = -(-config.max_steps // every) + 1  # the base weights are measured in the end
    if config.eval_contexts == "shipped":  # but for the last and that of the base
        measured = (2 * measured + evaluations - 2) / evaluations
    prices = config.reflection_price_prompt, config.reflection_price_completion
    return Work(
        steps=config.max_steps,
        problems=questions,
        group=group,
        contexts=min(contexts, group),
        phases=cycles if mode.fast else 0,
        calls=config.fast_metric_calls,
        anchor=config.anchor_size,
        minibatch=config.reflection_minibatch_size,
        proposals=config.proposals_per_iteration,
        evaluations=evaluations,
        evaluated=round(config.validation_size * tasks * config.eval_samples * measured),
        longest=config.max_completion_length,
        rows=config.rows_of_a_forward(processes),
        updates=config.num_iterations,
        packed=config.packing != "off",
        samples=mode.samples,
        trains=mode.slow or config.fast_weights != "text",  # rows cost what weights do, but for their gradients
        checkpointing=bool(config.gradient_checkpointing),
        references=references(config),
        kl=bool(config.beta),
        moments=moments(config),
        engine=config.engine,
        reply=config.reflection_max_tokens if config.reflection_base_url else 0,
        reply_prices=(prices[0], prices[1]) if prices[0] is not None and prices[1] is not None else None,
        reply_budget=config.reflection_budget_usd,
    )


ALIKE = ("model", "task", "tasks", "max_completion_length", "mode")
"""Settings in which a pilot has to be like the run that it speaks for."""


def unlike(config: FastSlowConfig, pilot: str) -> str:
    """Return in which settings a pilot's run is another than this one: '' for none, or where it does not say."""
    try:
        saved = yaml.safe_load((Path(pilot) / "config.yaml").read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError, RecursionError):
        return ""
    own = saved if isinstance(saved, dict) else {}
    return ", ".join(
        f"{name} {quoted(own[name], 40)}" for name in ALIKE if name in own and own[name] != getattr(config, name)
    )


def unknowns(work: Work, inputs: Inputs, other: str = "") -> Unknowns:
    """Return what the settings do not say: from flags, from a pilot, else assumed. `other` says in what the pilot is
    another run than this one."""
    given = dict(inputs.given or {})
    answer = Range(*(share * work.longest for share in ANSWER_SHARES))
    known = {
        "prompt": PROMPT,
        "answer": answer,
        "reused": REUSED if work.phases else Range(0, 0, 0),
        "live": LIVE if work.samples else Range(1, 1, 1),
    }
    source = "assumed (measure: --pilot RUN)"
    if inputs.pilot is not None:
        pilot = read_pilot(inputs.pilot)
        measured = {"prompt": pilot.prompt, "answer": pilot.answer, "reused": pilot.reused, "live": pilot.live}
        known |= {name: value for name, value in measured.items() if value is not None}
        source = f"{pilot.steps} steps of {inputs.pilot}" + (f", ANOTHER RUN: {other}" if other else "")
    if given:
        source = f"given: {', '.join(given)}; the rest {source}"
    known |= given
    if known["answer"].high > work.longest:
        raise BadInput(
            f"answers of {known['answer'].high:g} tokens are longer than max_completion_length ({work.longest})."
        )
    return Unknowns(
        prompt=known["prompt"], answer=known["answer"], reused=known["reused"], live=known["live"],
        efficiency=EFFICIENCY if work.engine == "vllm" else ELSEWHERE, mfu=known.get("mfu", MFU),
        transport=TRANSPORT, request=REQUEST, wait=WAIT if work.reply else Range(0, 0, 0), source=source,
    )  # fmt: skip


def disk_needs(config: FastSlowConfig, shape: ModelShape) -> Disk:
    """Return what the run takes of a disk."""
    adapters = Stages.of(config).count if config.lora_r and config.adapter_stages != "one" else 1
    return disk_of(
        replace(shape, trained=shape.trained * adapters),
        saved=saved_steps(config),
        keep_last=config.keep_last,
        keep_every=config.keep_every,
        moments=moments(config),
        moving=moves_reference(config),
        bundle=config.save_bundle,
        copied=bool(config.save_to),
        edited=kind_of(config).edits_base,
        whole=not kind_of(config).ships_adapters,
    )


def moments(config: FastSlowConfig) -> int:
    """Return the moments that the optimiser keeps of every trained weight."""
    return MOMENTS.get(_text(config.optim), 0) if MODES[config.mode].slow else 0


def moves_reference(config: FastSlowConfig) -> bool:
    """Whether there is a separate reference model that is trained on, in memory and in checkpoints."""
    return bool(config.beta and config.sync_ref_model)


def references(config: FastSlowConfig) -> int:
    """Return how many base models are in memory beside the trained one."""
    return 0 if kind_of(config).holds_base else 1 + moves_reference(config)


def saved_steps(config: FastSlowConfig) -> list[int]:
    """Return the steps that are certain to be saved."""
    if _text(config.save_strategy) == "no":
        return []
    steps = list(range(int(config.save_steps), config.max_steps + 1, int(config.save_steps)))
    return steps if config.save_time_share >= 1 else steps[-1:]


def without_weights(config: FastSlowConfig, *, shipped: bool = False) -> PreTrainedModel:
    """Return the model on the meta device. With `shipped`, a model of the hub whose configuration this package has is
    not looked up. Raises BadInput where the model has no configuration."""
    known = shipped_config(config.model) if shipped else None
    source, trust = resolve_model(config.model), config.trust_remote_code
    described = known if known is not None else describe_model(source, trust_remote_code=trust)
    with loading(source), torch.device("meta"):
        return AutoModelForCausalLM.from_config(described, trust_remote_code=trust)


def _text(value: object) -> str:
    return str(getattr(value, "value", value))  # transformers makes enums of some texts
