"""The one configuration class: TRL's GRPOConfig and, in front of it, what the two channels need."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, fields
from typing import Any

import torch
from trl import GRPOConfig

from fastslow.config.checks import (
    LOSSES,
    check_names,
    check_numbers,
    check_router,
    check_secrets,
    check_stages,
    check_supported,
    check_types,
)
from fastslow.core.errors import BadInput
from fastslow.streams import SEQUENCE, Setting, make_schedule


def _option(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass
class FastSlowConfig(GRPOConfig):
    """Settings of a run. Everything GRPOConfig knows can be set as well; what is listed here is ours or has
    another default than TRL's, for the reason its help gives."""

    # What is trained on what
    model: str = _option("smollm2-135m", "'smollm2-135m' (embedded), a folder written by save_pretrained, or a hub id.")
    task: str = _option(
        "", "Task, e.g. 'reasoning_gym:products?max_terms=2' or 'jsonl:my.jsonl?scorer=my.module:score'."
    )
    tasks: list[str] | None = _option(  # noqa: RUF009 - the default is None
        None, "Several tasks instead of one, learned one after another in one run: --tasks A B C --stage_steps 20."
    )
    stage_steps: int = _option(0, "Optimiser steps on each of the tasks (>= 1); max_steps follows from it.")
    stream: str = _option(
        "",
        "How several tasks arrive: 'sequence' (default), 'recur:ROUNDS', 'interleave:STEPS', 'mixture:WEIGHTS', "
        "'drift', 'overlap:SHARE', a dotted path; of one file: 'arrival', its lines in their order.",
    )
    labels: str = _option(
        "visible", "What the learner is told as an example's task: 'visible', 'hidden', 'noisy:SHARE' (of wrong ones)."
    )
    clusters: str = _option(
        "none",
        "What has contexts of its own: 'none', 'inferred' clusters of like questions (no label is looked at), or "
        "'labels'.",
    )
    embedder: str = _option(
        "minilm",
        "Measure of likeness for clusters: 'minilm', 'ngrams' (needs no model), 'sentence-transformers:NAME', a dotted "
        "path.",
    )
    mode: str = _option(
        "fst",
        "Which channels learn: 'fst' both, 'rl' weights only, 'prompt' contexts only, 'prompt_rl' contexts first and "
        "then weights, 'rl_prompt' the other way round.",
    )
    train_size: int | None = _option(
        None, "Training examples at most (>= 1); default: 1000 of a generator, all of a file."
    )
    validation_size: int = _option(64, "Validation examples held out (>= 1).")
    test_size: int = _option(64, "Test examples held out (>= 0); training never looks at them.")
    data_seed: int = _option(0, "Seed of generated data, apart from the run's seed so that seeds share their data.")

    # Fast channel
    seed_instruction: str = _option("", "Instruction of the seed context; '' leaves the chat template's own default.")
    population_size: int = _option(4, "K: contexts in use at most (>= 1). The paper uses 4 to 8.")
    slow_steps_per_cycle: int = _option(6, "T: optimiser steps between fast phases (>= 1). The paper uses 6.")
    fast_metric_calls: int = _option(192, "Rollouts one fast phase may spend: a hard ceiling.")
    anchor_size: int = _option(16, "Examples of the lookahead on which every context is scored (>= 1).")
    reflection_minibatch_size: int = _option(4, "Examples a proposal learns from and is first tried on (>= 1).")
    proposals_per_iteration: int = _option(4, "Proposals rolled out together in one GEPA iteration (>= 1).")
    proposer: str = _option("demonstrations", "'demonstrations' (no LM), 'reflection', 'mixed', or a dotted path.")
    edits: str = _option("small", "Proposals make 'small' edits (the paper), or 'full' ones that replace a component.")
    max_worked_examples: int = _option(4, "Worked examples in one context at most (>= 1).")
    max_context_tokens: int = _option(1024, "Tokens of one context at most.")
    reflection_model: str = _option(
        "", "Model of the reflection LM: a name at the endpoint, or, without one, as --model."
    )
    reflection_base_url: str = _option("", "OpenAI-compatible endpoint of the reflection LM; '' runs it locally.")
    reflection_api_key_env: str = _option(
        "OPENAI_API_KEY", "Environment variable with the endpoint's key; '' for none."
    )
    reflection_price_prompt: float | None = _option(
        None, "US dollars per million prompt tokens of the reflection endpoint, for the costs; unknown unless given."
    )
    reflection_price_completion: float | None = _option(None, "The same for the tokens it writes.")
    reflection_max_tokens: int = _option(1024, "Tokens of one reflection reply at most.")
    reflection_budget_tokens: int | None = _option(
        None, "Tokens that all calls of the run to the reflection endpoint may take: a hard ceiling."
    )
    reflection_budget_usd: float | None = _option(None, "The same in US dollars; needs both prices.")

    # Router and reuse
    router: str = _option(
        "both",
        "Which channel absorbs an example: 'both' (the paper), 'variance', 'learned', 'success_gate', "
        "'threshold:gamma', 'fast', 'slow', 'skip', 'random:p,q', a dotted path.",
    )
    min_fast_share: float = _option(
        0.05, "Smallest share of the groups that reaches the fast channel; the constants and 'random' are exempt."
    )
    min_slow_share: float = _option(0.05, "The same for the weights.")
    reuse_fast_rollouts: bool = _option(True, "Serve the fast phase's rollouts to matching slots of the slow steps.")
    reuse_slow_rollouts: bool = _option(True, "Show the slow steps' rollouts to the proposers of the next fast phase.")

    # Slow channel
    problems_per_step: int = _option(8, "B: problems per optimiser step, each rolled out num_generations times.")
    loss_type: str = _option("cispo", f"Loss: {', '.join(LOSSES)}. The paper uses CISPO.")
    loss_aggregation: str = _option(
        "problem",
        "'problem': every problem's tokens weigh the same (the paper); 'token': every token does (TRL). "
        "For cispo, dapo and vespo; the other losses keep their own.",
    )
    advantage_group: str = _option(
        "problem",
        "Rollouts that are compared: all of a 'problem', across contexts (the paper), or those of a 'context' only.",
    )
    epsilon_high: float | None = _option(
        None,
        "CISPO: absolute upper bound of the importance ratio (>= 1), default 4 as in the paper. Other losses: the "
        "distance above 1 at which they clip, default epsilon.",
    )
    beta: float = _option(1e-3, "Coefficient of the KL term to the base model (the paper's 1e-3); 0 saves its cost.")
    kl_target: float | None = _option(
        None,
        "Budget for the KL per token to the base (nats): beta is steered to keep it, and rewards are braked above it.",
    )
    learning_rate: float | None = _option(
        None, "Default by size: 1e-5 below 0.5B, 3e-6 below 3B, else the paper's 1e-6."
    )
    lora_r: int = _option(0, "Rank of LoRA adapters on all linear layers; 0 trains every weight.")
    lora_alpha: int = _option(32, "Scale of the LoRA adapters.")
    max_steps: int = _option(30, "Optimiser steps of the run (>= 1); of several tasks their stream says how many.")
    max_minutes: float | None = _option(
        None,
        "Minutes of wall time for the run, over all its resumes: no step begins that would, by the longest so far, end "
        "later. It then stops as on SIGTERM, with exit code 0.",
    )
    per_device_train_batch_size: int = _option(
        32, "Rollouts per forward and backward; lowered to divide the batch. Bounds memory, not the result."
    )
    packing: str = _option(
        "auto",
        "Train on rollouts as token trees, shared tokens once: 'auto' where exact, 'on', or 'off' (padded rows).",
    )
    lr_scheduler_type: str = _option("constant_with_warmup", "As in the paper: constant after warm-up.")
    warmup_steps: float = _option(10, "Warm-up steps of the learning rate (the paper's 10).")
    bf16: bool | None = _option(
        None, "Compute in bf16 over fp32 weights; default: where the machine is faster with it."
    )
    gradient_checkpointing: bool = _option(False, "Trade compute for memory; off, because it changes no result.")
    temperature: float = _option(1.0, "Sampling temperature of rollouts.")

    # Retention
    rehearsal_share: float = _option(0.0, "Share of every batch that is drawn from past steps, from 0 to 0.9.")
    retention_floor: float | None = _option(
        None, "Share of its best accuracy that every task learned so far has to keep, judged at each evaluation."
    )
    retention_action: str = _option(
        "report",
        "What a fall below the floor does: 'report', 'kl' (doubles beta), 'rehearse' (doubles the share), 'rollback' "
        "(weights of the last evaluation without a fall, and doubles beta).",
    )

    # Evaluation and output
    eval_strategy: str = _option("steps", "'steps' evaluates every eval_steps and at the end; 'no' at the end only.")
    eval_steps: float | None = _option(10, "Optimiser steps between evaluations.")
    eval_samples: int = _option(1, "Samples per validation example; their mean is the accuracy.")
    eval_temperature: float = _option(0.0, "Temperature of evaluation; 0 is greedy (the paper: 0.6 over 4 samples).")
    eval_top_p: float = _option(1.0, "Top-p of evaluation (the paper: 0.95).")
    kl_examples: int = _option(16, "Validation prompts for the KL to the base model; 0 leaves it out.")
    output_dir: str | None = _option(None, "Run directory; default runs/MODE-sSEED. One that holds a run is refused.")
    logged_groups: int = _option(1, "Groups of each step whose rollouts are written whole to rollouts.jsonl (>= 0).")
    logging_steps: float = _option(1, "Steps between lines of metrics.jsonl.")
    save_bundle: bool = _option(True, "Write weights and population at the end; off, a run leaves only its numbers.")
    save_strategy: str = _option(
        "steps", "'steps' makes checkpoints to resume from; 'no' only where a signal stops the run."
    )
    save_steps: float = _option(1, "Optimiser steps between checkpoints (>= 1).")
    save_time_share: float = _option(
        1.0,
        "Share of its time that training may wait for checkpoints (0 to 1), which are written beside the next step. "
        "Below 1, one that would take more is left out; a kill then loses the steps since the last.",
    )
    keep_last: int = _option(2, "Newest checkpoints kept while the run goes on (>= 1); they go when it is done.")
    keep_every: int = _option(0, "Checkpoints of steps divisible by this are kept for good; 0: none.")
    keep_best: bool = _option(
        False, "Keep the checkpoint of the best evaluation (under the context the run ships) for good."
    )
    disable_tqdm: bool | None = _option(True, "transformers' own bar; ours shows both channels.")
    report_to: str | None = _option("none", "Trackers beside metrics.jsonl: trackio, tensorboard, wandb, mlflow.")

    def __post_init__(self) -> None:
        check_types(self, own_fields())
        check_names(self)
        check_router(self)
        check_secrets(self)
        check_supported(self)
        if self.epsilon_high is None and self.loss_type == "cispo":
            self.epsilon_high = 4.0
        check_stages(self)
        if self.tasks:
            setting = Setting(len(self.tasks), self.stage_steps, self.problems_per_step, self.seed)
            steps, unset = make_schedule(self.stream, setting).steps, type(self).max_steps
            if self.max_steps not in (unset, steps):
                raise BadInput(
                    f"max_steps is {self.max_steps}, and the tasks with stage_steps {self.stage_steps} and stream "
                    f"'{self.stream or SEQUENCE}' make {steps}; leave max_steps out, or change stage_steps."
                )
            self.max_steps = steps
        check_numbers(self)
        self._derive_batches()
        self.output_dir = self.output_dir or f"runs/{self.mode}-s{self.seed}"
        self.shuffle_dataset = False  # the stream has its own, resumable order
        self.remove_unused_columns = False
        self.num_generations_eval = 1  # our evaluation does not use TRL's
        if self.bf16 is None and not self.fp16:
            self.bf16 = bf16_is_fast()
        self.use_cpu = self.use_cpu or not torch.accelerator.is_available()  # or bf16 is refused without a GPU
        # TrainingArguments wants a number; None is put back until the model's size is known.
        chosen_rate = self.learning_rate
        self.learning_rate = chosen_rate if chosen_rate is not None else 0.0
        try:
            super().__post_init__()
        except (ValueError, NotImplementedError, ImportError) as error:
            raise BadInput(str(error).strip().splitlines()[0]) from error
        self.learning_rate = chosen_rate

    def _derive_batches(self) -> None:
        """gradient_accumulation_steps follows from problems_per_step, whatever the number of processes."""
        processes = int(os.environ.get("WORLD_SIZE", "1"))
        rows = self.problems_per_step * int(self.num_generations or 0)
        if rows % processes:
            raise BadInput(f"problems_per_step x num_generations ({rows}) must divide by the {processes} processes.")
        local = rows // processes
        size = max(n for n in range(1, min(self.per_device_train_batch_size, local) + 1) if local % n == 0)
        self.per_device_train_batch_size = size
        self.gradient_accumulation_steps = local // size
        self.generation_batch_size = None
        self.steps_per_generation = None


def bf16_is_fast() -> bool:
    """Whether bf16 arithmetic outruns fp32 here: on accelerators, and on CPUs with AMX.

    AVX-512 CPUs without AMX have bf16 instructions too, and their training steps are slower with them
    (docs/decisions/0003-compute-type.md).
    """
    return torch.accelerator.is_available() or bool(torch.cpu.get_capabilities().get("amx_bf16", False))


def own_fields() -> list[str]:
    """Names of the settings defined here, in reading order: the short help, and what config.yaml always shows."""
    return [name for name in FastSlowConfig.__annotations__ if name in {f.name for f in fields(FastSlowConfig)}]
