"""A trainer that measures itself: held-out accuracy under each kind of context, and how far it is from the base."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from accelerate.utils import broadcast_object_list
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from fastslow.core.measurement import Measurement, means
from fastslow.core.types import Example
from fastslow.evaluation.accuracy import Sampling
from fastslow.evaluation.evaluator import EvaluationSettings, Evaluator
from fastslow.policy.base_model import BaseModel, adapters_off, frozen_copy
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

    def judge(self, measurements: Sequence[Measurement]) -> None:
        """Called with every evaluation, on every process, before its metrics are logged."""

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Held-out accuracy with seed context, lead context and population mean apart, and KL to the base."""
        step = self.state.global_step
        self.policy.refresh(step)
        metrics: list[dict[str, float]] = [{}]
        shared: list[list[Measurement]] = [[]]
        if self.accelerator.is_main_process:
            with self.recorder.phase("eval", step):
                measurements = self.measure()
            self.recorder.evals(step, measurements)
            self.note_best(measurements)
            metrics[0] = {
                f"eval_{context}_{what}": value
                for what in ("accuracy", "kl", "entropy")
                for context, value in means(measurements, what).items()
            }
            shared[0] = [replace(one, answers=()) for one in measurements]
        broadcast_object_list(metrics)
        broadcast_object_list(shared)
        if not self.accelerator.is_main_process:  # every process has to know which steps were measured
            self.recorder.evals(step, shared[0])
        self.judge(shared[0])
        self.log(dict(metrics[0]))
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics[0])
        if step in (self.kept_best, self.steering.good_step):
            self.control.should_save = True
        return metrics[0]

    def evaluator(self) -> Evaluator:
        """What measures this run's weights on its validation split."""
        args = self.args
        return Evaluator(
            policy=self.policy,
            model=self.model,
            base=self.base,
            policy_of=lambda model: self.make_policy(model, self.policy.window),
            task=self.parts.task,
            settings=EvaluationSettings(
                Sampling(self.eval_params(), args.eval_samples, args.seed),
                kl_examples=args.kl_examples if self.mode.slow else 0,
                packing=self.packing_problem is None,
            ),
        )

    def measure(self) -> list[Measurement]:
        """The current weights on the validation split; the caller's process alone works."""
        kinds = ["seed", "lead", "mean", *self.topics.kinds] if self.mode.fast else ["seed"]
        return self.evaluator().measure(self.population, kinds, topics=self.topics)

    def validation(self) -> dict[str, list[Example]]:
        """Validation examples by task: one task, or several that are learned one after another."""
        return by_task(self.parts.task, self.parts.task.split("validation"))

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
