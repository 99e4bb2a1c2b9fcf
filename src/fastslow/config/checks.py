"""What is refused of the settings before anything runs, in words that say how to mend it. All raise BadInput."""

from __future__ import annotations

import math
import re
from dataclasses import fields
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit

from fastslow.core.errors import BadInput
from fastslow.core.modes import MODES
from fastslow.core.registry import did_you_mean, nearest
from fastslow.core.types import Route
from fastslow.streams import ARRIVAL
from fastslow.streams.labels import noise_of

if TYPE_CHECKING:
    from fastslow.config.settings import FastSlowConfig

LOSSES = ("cispo", "grpo", "bnpo", "dapo", "dr_grpo", "luspo", "sapo", "vespo")
RETENTION_ACTIONS = ("report", "kl", "rehearse", "rollback")
CHOICES = {
    "packing": ("auto", "on", "off"),
    "save_strategy": ("no", "steps"),
    "clusters": ("none", "inferred", "labels"),
    "edits": ("small", "full"),
    "advantage_group": ("problem", "context"),
    "loss_aggregation": ("problem", "token"),
}

MOST_STEPS = 1_000_000  # TRL is given a row for every problem of every step
# Bounds of numbers; what may be None may be left out.
AT_LEAST_1 = (
    "train_size", "validation_size", "population_size", "slow_steps_per_cycle", "anchor_size",
    "reflection_minibatch_size", "proposals_per_iteration", "problems_per_step", "max_steps", "eval_samples",
    "per_device_train_batch_size", "max_worked_examples", "save_steps", "keep_last",
)  # fmt: skip
NOT_NEGATIVE = (
    "test_size", "kl_examples", "logged_groups", "lora_r", "eval_temperature", "beta", "warmup_steps", "learning_rate",
    "reflection_price_prompt", "reflection_price_completion", "max_grad_norm", "epsilon", "reflection_budget_tokens",
    "reflection_budget_usd", "top_k", "keep_every",
)  # fmt: skip
ABOVE_0 = (
    "temperature", "max_completion_length", "max_context_tokens", "eval_top_p", "top_p", "repetition_penalty",
    "lora_alpha", "eval_steps",
)  # fmt: skip
PROBABILITIES = ("top_p", "eval_top_p", "min_p")
SHARES = {"min_fast_share": 1, "min_slow_share": 1, "rehearsal_share": 0.9, "save_time_share": 1}  # from 0 to this

# What TRL would take and this trainer could only ignore: the only value allowed, and why.
UNSUPPORTED = {
    "use_vllm": (False, "rollouts are made by the model in this process"),
    "num_iterations": (1, "every batch is used for one update, as in the paper"),
    "resume_from_checkpoint": (None, "to go on with a run, say 'fastslow resume RUN'"),
    "save_total_limit": (None, "keep_last, keep_every and keep_best say which checkpoints stay"),
    "save_only_model": (False, "a checkpoint holds all that a run needs to go on"),
    "restore_callback_states_from_checkpoint": (False, "callbacks start afresh"),
    "generation_kwargs": (None, "sampling is set by temperature, top_p, top_k, min_p, repetition_penalty"),
    "load_best_model_at_end": (False, "the end of the run is what is kept"),
    "push_to_hub": (False, "a finished bundle can be uploaded by hand"),
}

WORDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false", list: "a list", NoneType: "none"}


def check_types(config: FastSlowConfig, names: list[str]) -> None:
    """A YAML file may hold anything; what is compared or opened later must be of its kind."""
    hints = get_type_hints(type(config))
    for name in names:
        kinds, value = _kinds(hints[name]), getattr(config, name)
        if name == "report_to":  # as transformers writes it: one name, or a list of them
            kinds = [*kinds, list]
        number = type(value) is int and float in kinds
        if not ((isinstance(value, tuple(kinds)) and (type(value) is not bool or bool in kinds)) or number):
            wanted = " or ".join(WORDS[kind] for kind in kinds)
            raise BadInput(f"{name} must be {wanted}, got {value!r}.")
        if isinstance(value, list) and not all(isinstance(item, str) for item in value):
            raise BadInput(f"{name} must be a list of texts, got {value!r}.")


def _kinds(hint: Any) -> list[type]:
    """The plain types of an annotation: `list[str] | None` -> list, NoneType."""
    return [get_origin(kind) or kind for kind in (get_args(hint) if get_origin(hint) in (Union, UnionType) else [hint])]


def check_names(config: FastSlowConfig) -> None:
    for name, known in (("mode", MODES), ("loss_type", LOSSES), ("retention_action", RETENTION_ACTIONS)):
        value = getattr(config, name)
        if value not in known:
            raise BadInput(f"unknown {name} '{value}'.{nearest(value, known)}")
    for name, choices in CHOICES.items():
        value = getattr(getattr(config, name), "value", getattr(config, name))  # transformers makes enums of some
        if value not in choices:
            *some, last = (f"'{choice}'" for choice in choices)
            raise BadInput(f"{name} is {', '.join(some)} or {last}, got '{value}'.{did_you_mean(value, choices)}")
    if config.clusters == "labels" and config.labels == "hidden":
        raise BadInput("clusters 'labels' goes by labels, and they are hidden; take clusters 'inferred'.")
    if config.retention_action == "rollback" and config.retention_floor and config.save_strategy == "no":
        raise BadInput("retention_action 'rollback' goes back to checkpoints; it needs save_strategy 'steps'.")


def check_router(config: FastSlowConfig) -> None:
    """A rule that always says the same must not keep everything from the only channel that the mode has."""
    mode, always = MODES[config.mode], {route.value: route for route in Route}.get(config.router)
    if always is None or (mode.fast and mode.slow):
        return
    if not (always.slow if mode.slow else always.fast):
        alone = "trains the weights alone" if mode.slow else "has contexts alone"
        raise BadInput(
            f"mode '{config.mode}' {alone}, and router '{always.value}' keeps all from them; leave it at both."
        )


def warnings_of(config: FastSlowConfig) -> list[str]:
    """What runs, and not as one may have meant it."""
    mode, contexts, rollouts = MODES[config.mode], config.population_size, int(config.num_generations or 0)
    found = []
    # elsewhere the weights are trained under the seed context alone
    several = mode.fast and mode.slow and mode.when != "after"
    if several and config.router.partition(":")[0] == "variance" and rollouts < 2 * contexts:
        found.append(
            f"router 'variance' cannot tell text from luck once {contexts} contexts (population_size) share {rollouts} "
            f"rollouts (num_generations), one each; set num_generations to at least {2 * contexts}, or population_size "
            f"to at most {max(1, rollouts // 2)}."
        )
    return found


def check_secrets(config: FastSlowConfig) -> None:
    """Settings are written to config.yaml: what may hold a key is refused."""
    url = urlsplit(config.reflection_base_url)
    if url.username or url.password or url.query:
        raise BadInput(
            "reflection_base_url must hold no user, password or query, which may be secrets; put the key into an "
            "environment variable and name that in reflection_api_key_env."
        )
    if not re.fullmatch(r"([A-Za-z_][A-Za-z0-9_]*)?", config.reflection_api_key_env):
        raise BadInput("reflection_api_key_env is the name of an environment variable, not a key.")


def check_supported(config: FastSlowConfig) -> None:
    for name, (only, why) in UNSUPPORTED.items():
        if getattr(config, name) != only:
            raise BadInput(f"{name} is not supported: {why}. Leave it at {only}.")


def check_stages(config: FastSlowConfig) -> None:
    noise = noise_of(config.labels)
    if not config.tasks:
        if config.stage_steps:
            raise BadInput("stage_steps is for several tasks; name them with --tasks, or set --max_steps.")
        if config.stream not in ("", ARRIVAL):
            raise BadInput(f"stream '{config.stream}' is for several tasks; name them with --tasks.")
        if noise:
            raise BadInput(f"labels '{config.labels}' needs several tasks: of one task no label is wrong.")
        return
    if config.task:
        raise BadInput("give either task or tasks, not both.")
    if config.stage_steps < 1:
        raise BadInput(f"several tasks need stage_steps, at least 1, got {config.stage_steps}.")
    if MODES[config.mode].fast and MODES[config.mode].when != "between":
        raise BadInput(f"mode '{config.mode}' is for one task: it evolves contexts for all stages at once.")
    if config.stream == ARRIVAL:
        raise BadInput("stream 'arrival' is for one task, a file in its own order; give it as --task.")


def check_numbers(config: FastSlowConfig) -> None:
    for f in fields(config):
        value = getattr(config, f.name)
        if isinstance(value, float) and not math.isfinite(value):
            raise BadInput(f"{f.name} must be a finite number, got {value}.")
    if not isinstance(config.seed, int) or not 0 <= config.seed < 2**32:
        raise BadInput(f"seed must be a whole number from 0 to 2**32 - 1, got {config.seed}.")
    if not isinstance(config.max_steps, int):
        raise BadInput(f"max_steps must be a whole number, got {config.max_steps}.")
    if config.max_steps > MOST_STEPS:
        raise BadInput(f"max_steps must be at most {MOST_STEPS:,}, got {config.max_steps:,}; check steps and stream.")
    for name in AT_LEAST_1:
        value = getattr(config, name)
        if value is not None and value < 1:
            raise BadInput(f"{name} must be at least 1, got {value}.")
    for name in NOT_NEGATIVE:
        if (getattr(config, name) or 0) < 0:
            raise BadInput(f"{name} must not be negative, got {getattr(config, name)}.")
    for name in PROBABILITIES:
        if (getattr(config, name) or 0) > 1:
            raise BadInput(f"{name} is a probability, got {getattr(config, name)}.")
    for name, most in SHARES.items():
        if not 0 <= getattr(config, name) <= most:
            raise BadInput(f"{name} is a share from 0 to {most}, got {getattr(config, name)}.")
    for name in ABOVE_0:
        if not (getattr(config, name) or 0) > 0:
            raise BadInput(f"{name} must be above 0, got {getattr(config, name)}.")
    if config.max_minutes is not None and not config.max_minutes > 0:
        raise BadInput(f"max_minutes must be above 0, got {config.max_minutes}.")
    _check_retention(config)
    _check_groups(config)


def _check_retention(config: FastSlowConfig) -> None:
    if config.kl_target is not None and not (config.kl_target > 0 and config.beta > 0):
        raise BadInput(f"kl_target ({config.kl_target}) must be above 0, and needs a beta above 0 to begin with.")
    if config.retention_floor is not None and not 0 < config.retention_floor <= 1:
        raise BadInput(f"retention_floor is a share of the best, above 0 and at most 1, got {config.retention_floor}.")
    if config.retention_floor is not None and getattr(config.eval_strategy, "value", config.eval_strategy) == "no":
        raise BadInput("retention_floor is judged at evaluations; with eval_strategy 'no' it never acts; take 'steps'.")
    if config.retention_action in ("kl", "rollback") and config.retention_floor and not config.beta > 0:
        raise BadInput(f"retention_action '{config.retention_action}' raises beta, which must be above 0.")


def _check_groups(config: FastSlowConfig) -> None:
    """What rollouts of one group, contexts and budgets must be to each other."""
    mode, contexts, rollouts = MODES[config.mode], config.population_size, config.num_generations
    if not rollouts or rollouts < 2:
        raise BadInput(f"num_generations must be at least 2 (a group needs spread), got {rollouts}.")
    if mode.fast and mode.slow and mode.when != "after" and rollouts % contexts:
        raise BadInput(
            f"num_generations ({rollouts}) must be a multiple of population_size ({contexts}), so that every context "
            f"gets as many rollouts; try num_generations={contexts * max(2, rollouts // contexts)}."
        )
    if config.loss_type == "cispo" and (config.epsilon_high is None or config.epsilon_high < 1.0):
        raise BadInput(
            f"epsilon_high is the upper bound of CISPO's importance ratio and must be at least 1, "
            f"got {config.epsilon_high}; the paper uses 4."
        )
    if config.advantage_group == "context" and rollouts < 2 * contexts:
        raise BadInput(
            f"advantage_group 'context' compares rollouts under one context, so num_generations ({rollouts}) must be "
            f"at least twice population_size ({contexts})."
        )
    floor = (contexts + 2) * config.anchor_size + 2 * config.reflection_minibatch_size
    if mode.fast and config.fast_metric_calls < floor:
        raise BadInput(
            f"fast_metric_calls ({config.fast_metric_calls}) cannot pay for one proposal: re-scoring the seed and "
            f"{contexts} contexts on anchor_size ({config.anchor_size}) examples and trying one child takes {floor}."
        )
