"""Check rules that span the settings of several packages, before anything runs. All raise BadInput.

What one setting may be stands in its field, and what the settings of one package must be together in that package's
`check`. A message says what is wrong and how to mend it.
"""

from __future__ import annotations

from dataclasses import fields

from fastslow.config.groups import AllSettings
from fastslow.config.inherited import BOUNDS
from fastslow.config.soft_checks import check_soft
from fastslow.core.errors import BadInput
from fastslow.core.machine import all_processes
from fastslow.core.modes import MODES
from fastslow.core.settings import check_finite, check_value
from fastslow.core.types import Route
from fastslow.streams import ARRIVAL, has_stages
from fastslow.streams.labels import noise_of

# Settings that TRL would take and this trainer would ignore: the only value allowed, and why.
UNSUPPORTED = {
    "use_vllm": (False, "vLLM samples over HTTP, with engine 'vllm' and engine_urls"),
    "resume_from_checkpoint": (None, "to go on with a run, say 'fastslow resume RUN'"),
    "save_total_limit": (None, "keep_last, keep_every and keep_best say which checkpoints stay"),
    "save_only_model": (False, "a checkpoint holds all that a run needs to go on"),
    "restore_callback_states_from_checkpoint": (False, "callbacks start afresh"),
    "generation_kwargs": (None, "sampling is set by temperature, top_p, top_k, min_p, repetition_penalty"),
    "load_best_model_at_end": (False, "the end of the run is what is kept"),
    "parallelism_config": (None, "processes share the rows of a step, under torchrun"),
    "push_to_hub": (False, "a finished bundle can be uploaded by hand"),
}

MOST_ROWS = 1_000_000
MOST_PLACES = 100_000_000
"""Rollouts of a step, and problems of a run, counted with repeats: what follows is done for each of them."""


def check_rules(config: AllSettings) -> None:
    """Refuse settings that contradict each other, and settings of TRL that this trainer would ignore."""
    for f in fields(config):  # settings of TRL too
        check_finite(f.name, getattr(config, f.name))
    for name, spec in BOUNDS.items():
        check_value(name, getattr(config, name), spec)
    for name, (only, why) in UNSUPPORTED.items():
        if getattr(config, name) != only:
            raise BadInput(f"{name} is not supported: {why}. Leave it at {only}.")
    _check_size(config)
    _check_router(config)
    _check_stages(config)
    _check_topics(config)
    _check_retention(config)
    _check_group_size(config)
    _check_loss(config)
    _check_critic(config)
    _check_phase_budget(config)
    _check_adapter(config)
    check_soft(config)


def warnings_of(config: AllSettings) -> list[str]:
    """Name settings that run, but may not have the effect that was meant."""
    mode, contexts, rollouts = MODES[config.mode], config.population_size, config.num_generations
    warnings = []
    # in other modes the weights are trained under the seed context alone
    several = mode.fast and mode.slow and mode.when != "after"
    if several and config.router.partition(":")[0] == "variance" and rollouts < 2 * contexts:
        warnings.append(
            f"router 'variance' cannot tell text from luck once {contexts} contexts (population_size) share {rollouts} "
            f"rollouts (num_generations), one each; set num_generations to at least {2 * contexts}, or population_size "
            f"to at most {max(1, rollouts // 2)}."
        )
    return warnings


def _check_size(config: AllSettings) -> None:
    """Refuse numbers that are typing errors, before anything as large is made of them."""
    rows, places = config.problems_per_step * config.num_generations, config.max_steps * config.problems_per_step
    if rows > MOST_ROWS:
        raise BadInput(f"problems_per_step x num_generations is {rows:,}, more than {MOST_ROWS:,} rollouts of a step.")
    if places > MOST_PLACES:
        raise BadInput(f"max_steps x problems_per_step is {places:,}, more than {MOST_PLACES:,} problems of a run.")


def _check_router(config: AllSettings) -> None:
    """Refuse a constant rule that keeps every example from the only channel of the mode."""
    mode, always = MODES[config.mode], {route.value: route for route in Route}.get(config.router)
    if always is None or (mode.fast and mode.slow):
        return
    if not (always.slow if mode.slow else always.fast):
        alone = "trains the weights alone" if mode.slow else "has contexts alone"
        raise BadInput(
            f"mode '{config.mode}' {alone}, and router '{always.value}' keeps all from them; leave it at both."
        )


def _check_stages(config: AllSettings) -> None:
    if not config.tasks:
        if config.stage_steps:
            raise BadInput("stage_steps is for several tasks; name them with --tasks, or set --max_steps.")
        if config.stream not in ("", ARRIVAL):
            raise BadInput(f"stream '{config.stream}' is for several tasks; name them with --tasks.")
        if noise_of(config.labels):
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


def _check_topics(config: AllSettings) -> None:
    if config.clusters == "labels" and config.labels == "hidden":
        raise BadInput("clusters 'labels' goes by labels, and they are hidden; take clusters 'inferred'.")


def _check_adapter(config: AllSettings) -> None:
    """Refuse what only whole weights or one LoRA adapter can do, and stages of adapters without stages."""
    if config.engine_sync == "lora" and not config.lora_r:
        raise BadInput("engine_sync 'lora' brings adapters, and lora_r is 0: set lora_r, or engine_sync to disk.")
    kind, stages = config.adapter, config.adapter_stages
    if kind == "lora" and stages == "one":
        return
    named = f"adapter '{kind}'" if kind != "lora" else f"adapter_stages '{stages}'"
    if config.engine_sync == "lora":
        raise BadInput(f"engine_sync 'lora' brings one LoRA adapter, and this run has {named}: set engine_sync disk.")
    if config.from_bundle:
        raise BadInput(
            f"from_bundle goes on with whole weights or one LoRA adapter, and this run has {named}, which starts from "
            "a base: give the bundle's folder as --model where it holds whole weights."
        )
    if config.sync_ref_model:
        raise BadInput(f"sync_ref_model moves a copy of whole weights, and this run has {named}; leave it at false.")
    moves = kind == "jumplora" or stages != "one"
    if moves and config.retention_floor is not None and config.retention_action == "rollback":
        raise BadInput(
            f"retention_action 'rollback' takes up earlier weights, and {named} has others in each stage; take another "
            "retention_action."
        )
    if stages == "one":
        return
    if not config.tasks or not has_stages(config.stream):
        raise BadInput(
            f"adapter_stages '{stages}' takes an adapter for each stage of a stream: name --tasks, with stream "
            "'sequence' or 'overlap'."
        )
    if all_processes() > 1:
        raise BadInput(f"adapter_stages '{stages}' trains others in each stage, which one process can: start only one.")
    if stages == "merge" and config.engine != "transformers":
        raise BadInput("adapter_stages 'merge' measures merged weights in this process: leave engine at transformers.")


def _check_retention(config: AllSettings) -> None:
    """Refuse a floor without evaluations, and an action without what it acts on."""
    if config.retention_floor is None:
        return
    if config.retention_action == "rollback" and config.save_strategy == "no":
        raise BadInput("retention_action 'rollback' goes back to checkpoints; it needs save_strategy 'steps'.")
    if getattr(config.eval_strategy, "value", config.eval_strategy) == "no":
        raise BadInput("retention_floor is judged at evaluations; with eval_strategy 'no' it never acts; take 'steps'.")
    if config.retention_action in ("kl", "rollback") and not config.beta > 0:
        raise BadInput(f"retention_action '{config.retention_action}' raises beta, which must be above 0.")


def _check_group_size(config: AllSettings) -> None:
    """Refuse a group whose rollouts cannot be shared out among the contexts."""
    mode, contexts, rollouts = MODES[config.mode], config.population_size, config.num_generations
    if rollouts < 2 and config.advantages == "group":
        raise BadInput(
            f"num_generations must be at least 2, got {rollouts}: the rewards of a problem are compared with each "
            "other; advantages 'critic' needs no other."
        )
    if config.problems_per_step * rollouts < 2:
        raise BadInput("problems_per_step x num_generations must be at least 2 rollouts of a step.")
    if config.slots == "earned" and config.lead != "evidence":
        raise BadInput("slots 'earned' go by the evidence, and so must what ships: take lead 'evidence' with them.")
    if config.advantage_group == "context" and config.slots != "even":
        raise BadInput(
            f"advantage_group 'context' compares rollouts under one context, of which slots '{config.slots}' may leave "
            "a single one in a group: take slots 'even', or advantage_group 'problem'."
        )
    if mode.fast and mode.slow and mode.when != "after" and config.slots == "even" and rollouts % contexts:
        raise BadInput(
            f"num_generations ({rollouts}) must be a multiple of population_size ({contexts}), so that every context "
            f"gets as many rollouts; try num_generations={contexts * max(2, rollouts // contexts)}."
        )
    if config.advantage_group == "context" and rollouts < 2 * contexts:
        raise BadInput(
            f"advantage_group 'context' compares rollouts under one context, so num_generations ({rollouts}) must be "
            f"at least twice population_size ({contexts})."
        )


def _check_loss(config: AllSettings) -> None:
    """Refuse what the loss cannot do: TRL would fail in the first step, or do something else without a word."""
    if config.entropy_coef_min > config.entropy_coef_max:
        raise BadInput(
            f"entropy_coef_min ({config.entropy_coef_min}) must not be above entropy_coef_max "
            f"({config.entropy_coef_max})."
        )
    mode = MODES[config.mode]
    if mode.imitates and config.loss_type != "cispo":
        raise BadInput(
            f"mode '{config.mode}' maximises the likelihood of answers, which is what loss_type 'cispo' comes to where "
            f"every ratio is 1; '{config.loss_type}' would be something else. Leave it at cispo."
        )
    if mode.imitates and (config.top_entropy_quantile != 1.0 or config.entropy_coef):
        raise BadInput(
            f"mode '{config.mode}' maximises the likelihood of whole answers: leave top_entropy_quantile at 1 and "
            "entropy_coef at 0."
        )
    _check_length(config)
    _check_teacher(config)
    if not mode.samples and config.router != "both":
        raise BadInput(f"mode '{config.mode}' makes no rollouts that a router could send anywhere; leave it at both.")
    if not mode.samples and config.dynamic_sampling:
        raise BadInput(f"mode '{config.mode}' makes no rollouts that dynamic_sampling could replace; set it to 0.")
    if mode.imitates and config.dynamic_sampling:
        raise BadInput(
            f"dynamic_sampling replaces groups whose rewards are all alike, and mode '{config.mode}' learns from every "
            "right answer, of such groups too; set it to 0."
        )
    if config.advantage_group == "context" and config.multi_objective_aggregation != "sum_then_normalize":
        raise BadInput(
            f"multi_objective_aggregation '{config.multi_objective_aggregation}' normalises over whole groups, and "
            "advantage_group 'context' compares rollouts under one context; leave it at sum_then_normalize."
        )


def _check_length(config: AllSettings) -> None:
    """Refuse a penalty on length over more tokens than an answer has, and where no reward is learned from."""
    if config.overlong_buffer > int(config.max_completion_length or 0):
        raise BadInput(
            f"overlong_buffer ({config.overlong_buffer}) is the end of an answer, which has max_completion_length "
            f"({config.max_completion_length}) tokens at most; lower it."
        )
    mode = MODES[config.mode]
    if config.overlong_buffer and mode.learns_from != "rewards":
        raise BadInput(
            f"overlong_buffer takes something off rewards, and mode '{config.mode}' learns from {mode.learns_from}; "
            "leave it at 0."
        )


def _check_teacher(config: AllSettings) -> None:
    """Refuse what compares rewards, or judges tokens in another way, where a teacher judges them."""
    mode, usual = MODES[config.mode], {"advantages": "group", "advantage_group": "problem", "dynamic_sampling": 0}
    wrong = next((name for name, value in usual.items() if mode.has_teacher and getattr(config, name) != value), None)
    if wrong is not None:
        raise BadInput(
            f"mode '{config.mode}' has a teacher that judges every token, which {wrong} "
            f"'{getattr(config, wrong)}' has no part in; leave it at {usual[wrong]}."
        )
    if mode.learns_from == "teacher" and (config.kl_target is not None or config.retention_action == "kl"):
        name = "kl_target" if config.kl_target is not None else "retention_action 'kl'"
        raise BadInput(
            f"mode '{config.mode}' draws the model to a teacher alone, with no KL term to the base that {name} could "
            "steer; leave it out, or stay near the base by a lower learning_rate."
        )
    if mode.consolidates and not round(config.slow_steps_per_cycle * config.consolidation_share):
        raise BadInput(
            f"consolidation_share ({config.consolidation_share}) of slow_steps_per_cycle "
            f"({config.slow_steps_per_cycle}) is not one step: nothing would be consolidated; raise one of them."
        )
    unused = {"consolidation_share": 0.5, "consolidation_rate": 1.0} if not mode.consolidates else {}
    for name in (name for name, value in unused.items() if getattr(config, name) != value):
        raise BadInput(f"{name} is about mode 'consolidate'; leave it out, or set mode to consolidate.")


def _check_critic(config: AllSettings) -> None:
    """Refuse what compares rollouts, or knows no rewards, where a critic judges each of them alone."""
    if config.advantages != "critic":
        return
    mode = MODES[config.mode]
    if mode.imitates or not mode.slow:
        what = "imitates answers" if mode.imitates else "trains no weights"
        raise BadInput(f"mode '{config.mode}' {what}, which a critic has no part in; leave advantages at group.")
    problem = (
        ("advantage_group", "problem") if config.advantage_group != "problem"
        else ("dynamic_sampling", 0) if config.dynamic_sampling
        else ("scale_rewards", "group") if config.scale_rewards not in ("group", True)
        else None
    )  # fmt: skip
    if problem:
        name, usual = problem
        raise BadInput(
            f"{name} is about the rewards of a group, and advantages 'critic' compares none; leave it at {usual}."
        )


def _check_phase_budget(config: AllSettings) -> None:
    contexts = config.population_size
    least = (contexts + 2) * config.anchor_size + 2 * config.reflection_minibatch_size
    if MODES[config.mode].fast and config.fast_metric_calls < least:
        raise BadInput(
            f"fast_metric_calls ({config.fast_metric_calls}) cannot pay for one proposal: re-scoring the seed and "
            f"{contexts} contexts on anchor_size ({config.anchor_size}) examples and trying one child takes {least}."
        )
