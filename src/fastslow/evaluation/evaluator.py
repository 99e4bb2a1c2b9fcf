"""A trainer that measures itself: held-out accuracy under each kind of context, and how far it is from the base."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import torch
from accelerate.utils import broadcast_object_list
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from fastslow.core.types import Example
from fastslow.evaluation.accuracy import (
    BaseModel,
    Drift,
    adapters_off,
    frozen_copy,
    means,
    measure_drift,
    measure_population,
)
from fastslow.policy.engines.transformers import PrefixSampler, SamplingParams
from fastslow.policy.loading import ModelSource, frozen_clone, load_model, pad_id
from fastslow.policy.policy import Policy
from fastslow.run.checkpoints import ResumableTrainer
from fastslow.tasks.task_set import by_task


class MeasuringTrainer(ResumableTrainer):
    """ResumableTrainer with an `evaluate` of both channels instead of TRL's."""

    # Set by FastSlowTrainer.
    base: BaseModel
    tokenizer: PreTrainedTokenizerBase
    from_source: bool
    """Whether the model was loaded from its source here, and can be loaded again."""

    def judge(self, rows: list[dict[str, Any]]) -> None:
        """Called with the rows of every evaluation, on every process, before its metrics are logged."""

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Held-out accuracy with seed context, lead context and population mean apart, and KL to the base."""
        self.policy.refresh(self.state.global_step)
        metrics: list[dict[str, float]] = [{}]
        rows: list[dict[str, Any]] = []
        if self.accelerator.is_main_process:
            with self.recorder.phase("eval", self.state.global_step):
                rows = self.measure()
            self.recorder.evals(self.state.global_step, rows)
            self.note_best(rows)
            metrics[0] = {
                f"eval_{context}_{what}": value
                for what in ("accuracy", "kl", "entropy")
                for context, value in means(rows, what).items()
            }
        shared = [rows]
        broadcast_object_list(metrics)
        broadcast_object_list(shared)
        if not self.accelerator.is_main_process:  # every process has to know which steps were measured
            self.recorder.eval_rows += [{"step": self.state.global_step, **row} for row in shared[0]]
        self.judge(shared[0])
        self.log(dict(metrics[0]))
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics[0])
        if self.state.global_step in (self.kept_best, self.steering.good_step):
            self.control.should_save = True
        return metrics[0]

    def measure(self) -> list[dict[str, Any]]:
        """Rows of evals.jsonl for the current weights on the validation split; the caller's process alone works."""
        kinds = ["seed", "lead", "mean", *self.topics.kinds] if self.mode.fast else ["seed"]
        return [row for name, some in self.validation().items() for row in self._measure(name, some, kinds)]

    def validation(self) -> dict[str, list[Example]]:
        """Validation examples by task: one task, or several that are learned one after another."""
        return by_task(self.parts.task, self.parts.task.split("validation"))

    def _measure(self, task: str, examples: list[Example], kinds: list[str]) -> list[dict[str, Any]]:
        args, contexts = self.args, {"seed": self.population.seed, "lead": self.population.lead}
        how = {"params": self.eval_params(), "samples": args.eval_samples, "seed": args.seed}
        rows = measure_population(self.policy, self.population, examples, kinds, topics=self.topics, **how)
        drifts: dict[str, Drift] = {}
        for row in rows:
            row |= {"task": task, "split": "validation", "weights": "trained", "kl": None, "entropy": None}
            context = contexts.get(row["context"])
            if context is None or not args.kl_examples or not self.mode.slow:
                continue
            if context.id not in drifts:
                some, packing = examples[: args.kl_examples], self.packing_problem is None
                drifts[context.id] = measure_drift(
                    self.policy, self.model, self.base, context, some, seed=args.seed, packing=packing
                )
            row |= asdict(drifts[context.id])
        return rows

    def make_policy(self, model: PreTrainedModel, window: int) -> Policy:
        """Something that answers this run's task with `model`, sampling as the rollouts do."""
        args = self.args
        dtype = torch.bfloat16 if args.bf16 else torch.float16 if args.fp16 else torch.float32
        return Policy(
            sampler=PrefixSampler(model, eos_ids=self.eos_token_ids, pad_id=pad_id(self.tokenizer), dtype=dtype),
            tokenizer=self.tokenizer,
            task=self.parts.task,
            params=SamplingParams(
                max_new_tokens=int(args.max_completion_length or 256),
                temperature=args.temperature,
                top_p=args.top_p,
                top_k=args.top_k or 0,
                min_p=args.min_p,
                repetition_penalty=args.repetition_penalty,
            ),
            window=window,
            chat_template_kwargs=self.chat_template_kwargs,
        )

    def eval_params(self) -> SamplingParams:
        return replace(
            self.policy.params, temperature=self.args.eval_temperature, top_p=self.args.eval_top_p, top_k=0, min_p=None
        )

    def make_base(self, source: ModelSource) -> BaseModel:
        """The weights training started from: adapters off, TRL's reference, or a copy loaded on demand."""
        if self.args.lora_r:
            return adapters_off(self.model)
        if self.ref_model is not None and not self.args.sync_ref_model:
            return frozen_copy(lambda: self.accelerator.unwrap_model(self.ref_model))
        start = None if self.from_source else frozen_clone(self.model)
        return frozen_copy(lambda: start or load_model(source, trust_remote_code=self.args.trust_remote_code))
