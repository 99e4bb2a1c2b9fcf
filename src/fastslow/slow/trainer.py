"""Subclass TRL's GRPOTrainer, once, so that it trains on our steps; the overrides are short and delegate.

TRL's own remain advantages within a group, losses, optimiser, precision, distribution, LoRA and trackers.
docs/decisions/0001-trl-and-gepa-as-they-are.md lists every override; tests/contracts hold TRL and transformers
to every behaviour relied on. Nothing outside this package touches a private name of either.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase, PrinterCallback, TrainerCallback
from trl import GRPOTrainer
from trl.trainer.utils import add_fused_lm_head

from fastslow.core import processes
from fastslow.core.errors import BadInput, ContractBroken, FastSlowError, in_one_line
from fastslow.core.machine import is_out_of_memory
from fastslow.core.modes import MODES
from fastslow.core.seeding import derive_seed
from fastslow.policy import shards
from fastslow.policy.loading import frozen_clone, pad_id
from fastslow.policy.soft_rows import SoftRows
from fastslow.policy.token_trees import Row, padded_cost
from fastslow.policy.tree_forward import forward_packed, pack, rows_of
from fastslow.policy.trials import name_of
from fastslow.slow.adapters import kind_of
from fastslow.slow.adapters.base import Calibration
from fastslow.slow.advantages import judge_rows
from fastslow.slow.batches import ROWS_GATHERED, TOKEN_SUM_LOSSES, RowPlan, Scales, loss_mask, multiplied, plan_rows
from fastslow.slow.critic import critic_of
from fastslow.slow.hooks import Listener, Moments, NoListener, StepBatch, StepSource
from fastslow.slow.limits import check_prefix_gradient, check_router_loss, why_not_pack
from fastslow.slow.padding import Padding, Scores, score_padded
from fastslow.slow.replay import Replay, counted_in_updates, places
from fastslow.slow.sharding import Sharding, active, asked_for, frozen
from fastslow.slow.soft import soft_of
from fastslow.slow.split import EMPTY, Splitter
from fastslow.slow.state import ProcessState, SlowState, load_weights, saved_weights
from fastslow.slow.teacher import check_teacher, loss_to_teacher
from fastslow.slow.trials import padding_of, try_backward
from fastslow.slow.uncertain import uncertain_tokens
from fastslow.slow.zero import GuardedEngine

logger = logging.getLogger(__name__)

# TRL warns that rollout_func may change; our version range and contract tests cover a change.
os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")


class SlowTrainer(GRPOTrainer):
    """Train on batches of `source`, and tell `listener` what happens between the steps.

    Rows that cannot change the weights cost no forward and no backward; shared tokens are computed once.

    Args:
        args: the run's settings, a GRPOConfig with those of `SlowSettings`.
        model: a causal LM with fp32 weights.
        tokenizer: its tokenizer.
        callbacks: transformers callbacks.
        given: the model was made in memory, so that no name leads to its weights.
        calibration: text for adapters that look at some before they start.
        soft: rows beside the embedding, which the model looks up.

    Raises:
        BadInput: for settings that TRL or one of its trackers cannot work with.
    """

    # TRL types these attributes more widely than this class uses them.
    args: Any
    accelerator: Any
    model: Any
    num_generations: int  # pyrefly: ignore[bad-override-mutable-attribute]
    _entropy_mask: Tensor | None = None
    _teachers: Sequence[tuple[int, ...] | None] = ()
    step_rate: float | None = None

    def __init__(
        self,
        args: Any,
        *,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        callbacks: Sequence[TrainerCallback] = (),
        given: bool = False,
        calibration: Calibration | None = None,
        soft: SoftRows | None = None,
    ):
        self.adapter = kind_of(args)(args, calibration)
        args = counted_in_updates(args)
        self.source: StepSource | None = None
        self.listener: Listener = NoListener()
        self._replay = Replay()
        self._fixed: dict[tuple[int, ...], int] = {}
        beta, reference = args.beta, None
        by_name = not (given or asked_for(args).of_weights or self.adapter.edits_base)
        if beta and not by_name and not self.adapter.holds_base and not args.sync_ref_model:
            args.beta = 0.0  # or TRL loads a reference by name, which may hold other weights, and gathers it at once
            reference = frozen_clone(model)
        if args.gradient_checkpointing and not model.supports_gradient_checkpointing:
            raise BadInput(f"gradient_checkpointing: {name_of(model)} does not support it; leave it at false.")
        peft_config = self.adapter.prepare(model)
        try:
            super().__init__(
                model=model,
                reward_funcs=[self._replay.task],
                args=args,
                train_dataset=places(args.max_steps * args.problems_per_step),
                eval_dataset=places(1),
                processing_class=tokenizer,
                callbacks=list(callbacks),
                peft_config=peft_config,
                rollout_func=self._replay.roll_out,
            )
        except Exception as error:  # refused by TRL, transformers, accelerate or a tracker, each in its own way
            if is_out_of_memory(error):
                raise
            raise BadInput(f"the trainer refuses these settings: {in_one_line(error)}") from error
        self.adapter.attach(self.accelerator.unwrap_model(self.model))
        self.sharding = active(self)
        self.blank = shards.blank_of(self.model) if self.sharding.of_weights else None
        if reference is not None:
            args.beta = self.beta = beta
            self._refer_to(reference)
        self.num_iterations = 1  # TRL must not compute log-probabilities again that came with the rollouts
        self.remove_callback(PrinterCallback)
        self.add_callback(Moments(self))
        check_router_loss(self)
        self.packing_problem = why_not_pack(self)
        check_prefix_gradient(self)
        check_teacher(self)
        self.critic = critic_of(self)
        self.soft = soft_of(self, soft)
        self.padding = padding_of(self, pad_id(tokenizer))
        self._try_out(pad_id(tokenizer))
        self.saved = SlowState(self)
        self.saved_by_process = ProcessState(self)

    def _try_out(self, pad: int) -> None:
        """Try a backward where anything is trained, and say where rows are not packed. Raises BadInput."""
        if MODES[self.args.mode].slow or self.soft is not None:
            try_backward(self, pad)
        if self.packing_problem is not None and self.args.packing != "off":
            logger.warning("training on %s: %s", self.padding.value, self.packing_problem)

    def _refer_to(self, reference: PreTrainedModel) -> None:
        """Take this copy as the reference of TRL's KL term."""
        add_fused_lm_head(reference, self.temperature, self.args.cast_lm_head_to_fp32)
        cut, prepare = self.sharding.of_weights, self.accelerator.prepare_model
        self.ref_model = frozen(self, reference) if cut else prepare(reference, evaluation_mode=True)

    @property
    def slots(self) -> int:
        """Most forwards and backwards per optimiser step."""
        return int(self.args.steps_per_generation or 1)

    @property
    def updates(self) -> int:
        """Optimiser updates of a step: each goes over the step's whole batch."""
        return int(self.args.num_iterations)

    @property
    def steps_done(self) -> int:
        """Steps that are behind the weights; transformers counts updates."""
        return self.state.global_step // self.updates

    def note(self, metrics: Mapping[str, float]) -> None:
        """Log these numbers with TRL's own of the current step."""
        for name, value in metrics.items():
            self._metrics["train"][name].append(value)

    # From a step's batch to micro-batches

    def _prepare_inputs(self, generation_batch: Any) -> dict[str, Any]:
        """Run a whole step of the source where TRL would generate; else hand out the next of its micro-batches."""
        if self._step % (self.slots * self.updates) == 0 or self._buffered_inputs is None:
            if self.source is None:
                raise ContractBroken("TRL asked for a step before there was a source of steps")
            batch = self.source.next_step(self.steps_done)
            self._buffered_inputs = self._micro_batches(batch, len(generation_batch))
        return self._buffered_inputs[self._step % self.slots]

    def _micro_batches(self, batch: StepBatch, rows_per_process: int) -> list[dict[str, Any]]:
        """Have TRL score this process's rows, and cut the live ones into accumulation slots."""
        self.step_rate = batch.rate
        if not batch.rollouts:
            return [EMPTY] * self.slots
        self.beta = batch.beta  # before TRL scores: with a KL term it computes the reference's log-probabilities
        place = self._place(batch, rows_per_process)
        rollouts = self._replay.take_up(batch, place)
        if self.args.prefix_gradient == "stop":
            self._fixed = {r.prompt_ids + r.completion_ids: r.context_tokens for r in rollouts}
        with self._own_randomness("score"):
            prompts: list[dict[str, Any]] = [{"prompt": [dict(m) for m in e.messages]} for e in batch.examples_N[place]]
            scored = self._generate_and_score_completions(prompts)
        # Of older weights, or soon to be, or another program's: every ratio is to the policy that sampled the row.
        # Nobody sampled what is imitated.
        if batch.imitated_N is None and (batch.off_policy or self.updates > 1):
            scored["old_per_token_logps"] = scored["sampling_per_token_logps"]
        plan = self._plan(batch, scored)
        judge_rows(self, batch, scored, place)
        self._teachers = (batch.teacher_prompts_N or ())[place]
        if self.top_entropy_quantile < 1.0 and batch.teacher_prompts_N is None:
            scored["entropy_mask"] = uncertain_tokens(self, scored, plan.counted_N[place])
        self.note({"fst/live_rows": float(plan.live_N.float().mean())})
        self.listener.rows_planned(int(plan.live_N.sum()) * self.updates, plan.live_tokens * self.updates)
        rows = [Row(r.prompt_ids + r.completion_ids, len(r.completion_ids)) for r in rollouts]
        return self._splitter().split(scored, rows, plan, first=place.start, scale=batch.advantage_scale)

    def _place(self, batch: StepBatch, rows: int) -> slice:
        """Return the places of this process's rows among those of the batch."""
        if rows * self.accelerator.num_processes != len(batch.rollouts):
            raise ContractBroken(f"TRL asked for {rows} rows a process, not for the step's groups")
        return processes.share_of(len(batch.rollouts))

    def _plan(self, batch: StepBatch, scored: Mapping[str, Any]) -> RowPlan:
        lengths_N = self.accelerator.gather(loss_mask(scored).sum(1)).cpu()
        plan = plan_rows(
            rewards_N=batch.rewards_N,
            lengths_N=lengths_N,
            slow_B=torch.tensor(batch.slow_B),
            per_problem=self.args.loss_aggregation == "problem" and self.args.loss_type in TOKEN_SUM_LOSSES,
            regularised=self.beta != 0.0 or self._entropy_bonus_enabled,
            prompts_count=self.aux_loss_enabled,
            parts_N=batch.parts_N,
            problems_B=batch.problems_B,
            alone_N=batch.alone_N if self.critic is None else [True] * len(batch.rollouts),
        )
        return plan if self.soft is None else self.soft.worth(plan, batch, lengths_N)

    def _splitter(self) -> Splitter:
        return Splitter(
            loss_type=self.args.loss_type,
            rows_per_forward=self.args.per_device_train_batch_size,
            slots=self.slots,
            as_trees=self.packing_problem is None and not self.aux_loss_enabled,  # which needs TRL's padded forward
            evenly=self.args.loss_type in ROWS_GATHERED or self.aux_loss_enabled,
        )

    # Forward, loss, gradient

    def _get_per_token_logps_and_entropies(
        self, model: Any, input_ids: Tensor, attention_mask: Tensor, logits_to_keep: int, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Compute TRL's padded rows as the token trees they are, where that is exact and cheaper."""
        observe = self.critic.hear if self.critic is not None and self.critic.listens else None
        padded = self.packing_problem is not None or kwargs.get("compute_aux_loss") or not int(attention_mask.sum())
        if not padded:
            rows = rows_of(input_ids, attention_mask, answers=logits_to_keep, fixed=self._fixed)
            packed = pack(rows, width=logits_to_keep)
            needed = self._fixed or observe
            padded = self.args.packing == "auto" and not needed and packed.cost > padded_cost(rows)
            if self.sharding.of_weights:  # processes make their forwards together, and those of one kind
                padded = any(processes.gather([padded]))
            if not padded:
                with self.accelerator.autocast():
                    logps, entropies = forward_packed(
                        model,
                        self.accelerator.unwrap_model(model),
                        packed,
                        temperature=self.temperature,
                        entropy_grad=self._entropy_bonus_enabled,
                        observe=observe,
                    )
                return logps, entropies if kwargs.get("compute_entropy") else None, None
        return self._score_padded(self.padding, model, input_ids, attention_mask, logits_to_keep, *args, **kwargs)

    def _score_padded(
        self, padding: Padding, model: Any, ids: Tensor, mask: Tensor, keep: int, *args: Any, **kwargs: Any
    ) -> Scores:
        """Score padded rows by TRL's forward, or by one over rows that are padded so that this is exact."""

        def trl(ids: Tensor, mask: Tensor, keep: int) -> Scores:
            return super(SlowTrainer, self)._get_per_token_logps_and_entropies(model, ids, mask, keep, *args, **kwargs)

        with self.accelerator.autocast() if padding is Padding.PLAIN else contextlib.nullcontext():
            return score_padded(padding, trl, model, ids, mask, keep, temperature=self.temperature, **kwargs)

    def get_high_entropy_mask(self, entropies: Tensor, mask: Tensor, threshold: float) -> Tensor:
        """Return which tokens of this micro-batch were marked when the whole batch was there."""
        assert self._entropy_mask is not None
        return self._entropy_mask & mask.bool()

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> Tensor:
        """Weigh every term of a micro-batch by its share of the batch; a micro-batch without a row on any process has
        no gradient at all."""
        if inputs.get("empty"):
            # A loss without a graph leaves every gradient None, and the optimiser skips what has none: weights,
            # momenta and step counts stay bit-identical.
            return torch.zeros((), device=self.accelerator.device, requires_grad=True)
        self.adapter.freeze(self.accelerator.unwrap_model(self.model))
        if self.soft is not None:
            self.soft.freeze(self.accelerator.unwrap_model(self.model))
        if "teacher" in inputs:
            with self._own_randomness("loss"):
                return loss_to_teacher(self, model, inputs, self._teachers)
        scales: Scales = inputs["scales"]
        if self.critic is not None:
            inputs.setdefault("judged", [])  # in the micro-batch itself, which the next update gets again
        # TRL returns the sum of the terms. The whole is scaled as the bonus has to be, and what the policy's term needs
        # beside that goes into its factors. A scale is 0 where the term is: then any other will do.
        whole = (scales.entropy if self._entropy_bonus_enabled else 0.0) or scales.policy or 1.0
        rest = scales.policy / whole or 1.0
        self._entropy_mask = inputs.get("entropy_mask")
        if rest != 1.0:
            inputs = {**inputs, "advantages": inputs["advantages"] * rest}
        with self._own_randomness("loss"), multiplied(self, beta=rest, router_aux_loss_coef=scales.router / whole):
            loss = self._loss_of(model, inputs) * whole
        if self._entropy_bonus_enabled:
            self._metrics["train"]["policy_loss"][-1] /= rest
        if self.beta:
            self.listener.kl_measured(self._metrics["train"]["kl"][-1], inputs["tokens"])
        return loss

    def _loss_of(self, model: Any, inputs: dict[str, Any]) -> Tensor:
        """Compute TRL's loss, by the advantages that the critic finds in its forward where there is a critic."""
        if self.critic is None:
            return super()._compute_loss(model, inputs)
        waits = self.critic.warms_up(self.steps_done)
        with self.critic.judging(inputs) as advantages_B_T, torch.set_grad_enabled(not waits):
            loss = super()._compute_loss(model, {**inputs, "advantages": advantages_B_T})
        return torch.zeros_like(loss, requires_grad=True) if waits else loss

    @contextlib.contextmanager
    def _own_randomness(self, purpose: str) -> Iterator[None]:
        """Seed what draws from torch's global state (dropout) by the place in the run, and leave that state as it was:
        code of the user's may draw from it or seed it."""
        device = self.accelerator.device
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            place = self.state.global_step, self._step % self.slots, processes.rank()
            torch.manual_seed(derive_seed(self.args.seed, "dropout", purpose, *place))
            yield

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        """Refuse a gradient that is not finite: transformers asks right before the optimiser steps."""
        norm = super()._get_grad_norm(model, grad_norm=grad_norm)
        if norm is not None and not math.isfinite(float(norm)):
            raise FastSlowError(
                f"the gradient of step {self.steps_done + 1} is not finite; the weights before it are kept. A "
                "lower learning_rate or a smaller epsilon_high may help; config.yaml has the values in use."
            )
        return norm

    # Between the steps: measuring, saving, taking up again

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Log the measurements of the listener."""
        metrics = self.listener.measure()
        self.log(dict(metrics))
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        if self.listener.keeps(self.steps_done):
            self.control.should_save = True
        return metrics

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """Make the optimiser of all weights that any stage trains."""
        with self.adapter.all_trained(self.accelerator.unwrap_model(self.model)):
            return super().create_optimizer(model)

    def _prepare_for_training(self, max_steps: int, train_dataloader: Any, resume_from_checkpoint: str | None) -> Any:
        """Guard DeepSpeed's engine, under which transformers would also look for a checkpoint of DeepSpeed's own."""
        if self.sharding is not Sharding.ZERO2:
            return super()._prepare_for_training(max_steps, train_dataloader, resume_from_checkpoint)
        prepared = super()._prepare_for_training(max_steps, train_dataloader, None)
        self.accelerator.deepspeed_engine_wrapped = GuardedEngine(self)
        if resume_from_checkpoint is not None:
            self._load_from_checkpoint(resume_from_checkpoint)
            self._load_optimizer_and_scheduler(resume_from_checkpoint)
        return prepared

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        self.listener.save()

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        load_weights(self, saved_weights(self, Path(resume_from_checkpoint)), resume_from_checkpoint)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        self.saved.restore_optimizer()

    def _load_scaler(self, checkpoint: str | None) -> None:
        """Restore nothing: the scaler comes with the optimiser."""

    def _load_rng_state(self, checkpoint: str | None) -> None:
        self.saved_by_process.restore_random()

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Write no card: a run has its report, and TRL's card would speak of a plain GRPO run."""

    def forget_progress(self) -> None:
        """Let the next `train` begin at step 0 with a new optimiser, on the weights as they are."""
        self.optimizer = self.lr_scheduler = None  # type: ignore[assignment]
        self._step, self._buffered_inputs = 0, None
