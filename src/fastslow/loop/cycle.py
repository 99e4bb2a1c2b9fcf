"""The loop that couples the channels: contexts assigned, rollouts made, groups routed, weights and contexts updated.

`FastSlowTrainer` is TRL's GRPOTrainer by way of `SlowChannel`, `ResumableTrainer` and `MeasuringTrainer`. TRL calls
`_prepare_inputs` before every forward; on a generation boundary that call runs one whole step of the cycle
(`_next_step`). Rollouts come in through TRL's `rollout_func`, so that advantages, losses and metrics stay its own.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from accelerate.utils import broadcast_object_list, gather_object
from datasets import Dataset
from peft import LoraConfig
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase, PrinterCallback, TrainerCallback

from fastslow.config.settings import FastSlowConfig
from fastslow.contexts.population import Population, assign_slots
from fastslow.core.errors import BadInput, ContractBroken, FastSlowError
from fastslow.core.measurement import Measurement
from fastslow.core.modes import MODES
from fastslow.core.seeding import derive_seed
from fastslow.core.types import Example, GroupEvidence, Rollout, Route, Trace
from fastslow.fast.phase import FastPhase
from fastslow.loop.measuring import MeasuringTrainer
from fastslow.loop.rollout_cache import RolloutCache
from fastslow.policy.loading import context_window, default_learning_rate, load_model, load_tokenizer, resolve_model
from fastslow.policy.policy import Job
from fastslow.policy.token_trees import Row
from fastslow.record.recorder import Recorder
from fastslow.run.assemble import Components, build_components
from fastslow.slow.steering import Steering
from fastslow.slow.trainer import EMPTY
from fastslow.streams.epochs import lookahead
from fastslow.tasks.base import Task

logger = logging.getLogger(__name__)

# TRL warns that rollout_func may change; our version range and contract tests take care of that.
os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")

# Experience shown to proposers is bounded: older rollouts say less about the current weights.
MAX_EXPERIENCE = 512


class FastSlowTrainer(MeasuringTrainer):
    """Trains a model through both channels.

    Args:
        args: the run's settings; names model and task.
        model: overrides `args.model` with a loaded causal LM (fp32 weights).
        task: overrides `args.task` with a task object.
        processing_class: the tokenizer, if `model` is given.
        recorder: writes the run directory; None keeps everything in memory.
        callbacks: transformers callbacks.

    Raises:
        BadInput: for settings, models or tasks that cannot be used.
    """

    def __init__(
        self,
        args: FastSlowConfig,
        *,
        model: PreTrainedModel | None = None,
        task: Task | None = None,
        processing_class: PreTrainedTokenizerBase | None = None,
        recorder: Recorder | None = None,
        callbacks: list[TrainerCallback] | None = None,
    ):
        self.mode = MODES[args.mode]
        self.recorder = recorder or Recorder(None)
        self.from_source = model is None
        source = resolve_model(args.model)
        tokenizer = processing_class or load_tokenizer(source, trust_remote_code=args.trust_remote_code)
        self.tokenizer = tokenizer
        model = model or load_model(source, trust_remote_code=args.trust_remote_code)
        if args.learning_rate is None:
            args.learning_rate = default_learning_rate(model)
        self.parts: Components = build_components(args, tokenizer=tokenizer, model=model, task=task)
        window = context_window(model)
        lora = LoraConfig(r=args.lora_r, lora_alpha=args.lora_alpha, target_modules="all-linear", task_type="CAUSAL_LM")
        try:
            super().__init__(
                model=model,
                reward_funcs=[self._reward_function()],
                args=args,
                train_dataset=_places(args.max_steps * args.problems_per_step),
                eval_dataset=_places(1),
                processing_class=tokenizer,
                callbacks=callbacks,
                peft_config=lora if args.lora_r else None,
                rollout_func=self._roll_out,
            )
        except (ValueError, NotImplementedError, ImportError) as error:  # what TRL and its trackers cannot do
            raise BadInput(f"the trainer refuses these settings: {str(error).strip().splitlines()[0]}") from error
        self.remove_callback(PrinterCallback)
        self.policy = self.make_policy(self.model, window)
        self.base = self.make_base(source)
        self.population = Population(size=args.population_size, seed=self.parts.seed_context)
        self.topics = self.parts.topics
        self._check_window()
        self._cache = RolloutCache()
        self._experience: list[Trace] = []
        self._fast_pool: dict[str, Example] = {}
        self._local: list[Rollout | Job] = []
        self._served: list[int] = []  # completion tokens of each rollout served from the cache this step
        self._skipped_steps = 0
        self.steering = Steering(args, self.parts.stream)

    def _check_window(self) -> None:
        policy, task = self.policy, self.parts.task
        if not any(policy.fits(self.population.seed, example) for example in task.split("train")):
            raise BadInput(
                f"no training question of '{task.name}' fits the model's window of {policy.window} tokens together "
                f"with the seed context and an answer of max_completion_length={policy.params.max_new_tokens}; "
                "shorten one of them or take a model with a longer window."
            )

    # The loop: one verb per stage.

    def _prepare_inputs(self, generation_batch: Any) -> dict[str, Any]:
        """TRL's hook before each forward: on a generation boundary, run a whole step of the cycle."""
        if self._step % self.slots == 0 or self._buffered_inputs is None:
            self._buffered_inputs = self._next_step(generation_batch)
        return self._buffered_inputs[self._step % self.slots]

    def _next_step(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        step = self.state.global_step
        self.policy.begin_step(step)
        if step % self.args.slow_steps_per_cycle == 0:
            self._cache = RolloutCache()  # never older than a cycle
        self._fast_phases(step)
        if not self.mode.slow:
            return [EMPTY] * self.slots
        examples = self.parts.stream.batch(step)
        rows = self._rows_of_rank(examples, len(rows))
        self._observe(step, until=step + 1)
        self._steer(step, examples)
        with self.recorder.phase("rollout", step):
            groups = self._assign(step, examples, len(rows))
            batch = self._generate_and_score_completions([dict(row) for row in rows])
        lengths_N = self.accelerator.gather(batch["completion_mask"].sum(1))
        routes = self._route(step, examples, groups, lengths_N)
        if self._served:  # some rows come from older weights: everyone's ratio is to the policy that sampled it
            batch["old_per_token_logps"] = batch["sampling_per_token_logps"]
        slow_B = torch.tensor([route.slow for route in routes])
        rows_of_rank = [_row(r) for r in self._rollouts()]
        parts_N = _parts(groups) if self.args.advantage_group == "context" else None
        return self._split(batch, rows_of_rank, lengths_N=lengths_N, slow_B=slow_B, parts_N=parts_N)

    # Steering

    def _steer(self, step: int, examples: list[Example]) -> None:
        """Set what moves during a run: KL coefficient, brake, rehearsal."""
        self.steering.next_step({e.task for e in examples})
        if self.steering.active:
            self.beta, self.advantage_scale = self.steering.beta, self.steering.advantage_scale
            for name, value in self.steering.metrics(step).items():
                self._metrics["train"][name].append(value)

    def note_kl(self, kl: float) -> None:
        self.steering.measured(kl)

    def judge(self, measurements: Sequence[Measurement]) -> None:
        """Retention: what to do where a past task has fallen below its floor."""
        step, back = self.state.global_step, self.good_checkpoint
        falls = self.steering.judge(step, measurements, self.shipped_context)
        if falls and self.args.retention_action == "rollback" and back is not None:
            self.roll_back(back)
            self.policy.begin_step(-1)  # nothing sampled or cached under the lost weights survives
            self.policy.refresh(step)
        self.recorder.falls(step, falls, self.args.retention_action, back)

    # Fast phases

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """TRL's training, then the fast phases of a mode that leaves them to the end, with an evaluation on both sides
        of them."""
        result = super().train(*args, **kwargs)
        step = self.state.global_step
        if not self.time_is_up and any(True for _ in self._cycles_at(step)):
            if step not in {one.step for one in self.recorder.measurements}:
                self.evaluate()
            self.policy.begin_step(step)
            self._fast_phases(step)
            self.evaluate()
        return result

    def _cycles_at(self, step: int) -> Iterable[int]:
        return self.mode.cycles_at(step, steps=self.args.max_steps, cycle_steps=self.args.slow_steps_per_cycle)

    def _fast_phases(self, step: int) -> None:
        for cycle in self._cycles_at(step):
            self._fast_phase(step, cycle)

    def _fast_phase(self, step: int, cycle: int) -> None:
        """Rank 0 drives GEPA; every rank ends with the same population, archive and cache."""
        phase: FastPhase | None = None
        self._observe(step, until=(cycle + 1) * self.args.slow_steps_per_cycle)
        if self.accelerator.is_main_process:
            with self.recorder.phase("fast", step):
                phase = self._evolve(cycle)
            self.recorder.fast_phase(step, phase)
        shared = [(phase.population, phase.scores, phase.rollouts, phase.metrics) if phase else None]
        broadcast_object_list(shared)
        self.population, scores, rollouts, metrics = shared[0]  # type: ignore[misc]
        self.topics.keep(scores, self._anchor(cycle), policy_version=self.population.policy_version)
        self._cache = RolloutCache(rollouts if self.args.reuse_fast_rollouts else ())
        self._experience, self._fast_pool = [], {}
        for name, value in metrics.items():
            self._metrics["train"][name].append(value)

    def _evolve(self, cycle: int) -> FastPhase:
        topics, ahead, anchor = self.topics, self._ahead(cycle), self._anchor(cycle)
        # What the router sent to the fast channel since the last phase; at the start nothing was routed yet.
        routed = cycle > 0 and self.mode.slow and self.mode.when == "between"
        at_hand = {topics.of(e) for e in ahead}
        pool = list(self._fast_pool.values()) if routed else ahead
        if pool and not at_hand & {topics.of(e) for e in pool}:  # a new stage begins
            pool = ahead
        pool = [e for e in pool if topics.of(e) in at_hand]
        return self.parts.fast.run(
            topics.recalled(self.population, ahead),
            policy=self.policy,
            anchor=anchor,
            pool=pool,
            experience=[t for t in self._experience if topics.of(t.example) in at_hand],
            demonstrations=topics.demonstrations([*pool, *anchor], (cycle + 1) * self.args.slow_steps_per_cycle),
            cycle=cycle,
        )

    def _ahead(self, cycle: int) -> list[Example]:
        """What the cycle will train on, as far as it fits the model's window."""
        cycle_steps = self.args.slow_steps_per_cycle
        ahead = lookahead(self.parts.stream, cycle * cycle_steps, cycle_steps)
        return [e for e in ahead if self.policy.fits(self.population.seed, e)]

    def _anchor(self, cycle: int) -> list[Example]:
        return self.topics.anchor(self._ahead(cycle), self.args.anchor_size)

    def _observe(self, step: int, *, until: int) -> None:
        """Clusters take in every batch once, in its order, before anything is made of it."""
        if self.topics.clusters is None:
            return
        with self.recorder.phase("clusters", step):
            found = list(self.topics.observe(until))
        if self.accelerator.is_main_process:
            self.recorder.clusters(step, found)

    # Rollouts

    def _assign(self, step: int, examples: list[Example], rows: int) -> list[list[str]]:
        """Fill every slot of this rank with a cached rollout or a job; returns the context ids of all slots, B x G."""
        members, G = self.population.members, self.num_generations
        first = step * len(examples)
        picks = assign_slots(len(members), range(first, first + len(examples)), G)
        slots: list[Rollout | Job] = []
        for problem, (example, pick) in enumerate(zip(examples, picks, strict=True), start=first):
            for slot, index in enumerate(pick):
                # All ranks walk all slots, so that all caches empty alike.
                cached = self._cache.take(members[index].id, example.id)
                seed = derive_seed(self.args.seed, "slow", problem, slot)
                slots.append(cached or Job(members[index], example, seed))
        self._local = slots[self._of_rank(rows)]
        self._served = [len(slot.completion_ids) for slot in slots if isinstance(slot, Rollout)]
        return [[members[index].id for index in pick] for pick in picks]

    def _rows_of_rank(self, examples: list[Example], rows: int) -> list[dict[str, Any]]:
        """What TRL's dataloader would hand to this rank if it could know the stream: it only counts the steps."""
        if rows * self.accelerator.num_processes != len(examples) * self.num_generations:
            raise ContractBroken(f"TRL asked for {rows} rows a process, not for the step's groups")
        prompts = [[dict(m) for m in e.messages] for e in examples for _ in range(self.num_generations)]
        mine = self._of_rank(rows)
        return [{"prompt": prompt} for prompt in prompts[mine]]

    def _of_rank(self, rows: int) -> slice:
        return slice(self.accelerator.process_index * rows, (self.accelerator.process_index + 1) * rows)

    def _roll_out(self, prompts: list[Any], trainer: Any) -> dict[str, Any]:
        """TRL's rollout_func: cached rollouts as they are, the rest from the policy."""
        jobs = [slot for slot in self._local if isinstance(slot, Job)]
        fresh = iter(self.policy.rollouts(jobs))
        rollouts = [slot if isinstance(slot, Rollout) else next(fresh) for slot in self._local]
        self._local = list(rollouts)
        return {
            "prompt_ids": [list(r.prompt_ids) for r in rollouts],
            "completion_ids": [list(r.completion_ids) for r in rollouts],
            "logprobs": [list(r.logprobs) for r in rollouts],
        }

    def _reward_function(self) -> Any:
        """Rewards were given when the rollouts were made; None is TRL's word for unscored."""

        def task(prompts: list[Any], completions: list[Any], **columns: Any) -> list[float | None]:
            return [r.verdict.reward for r in self._rollouts()]

        return task  # TRL names its reward metrics after the function

    def _rollouts(self) -> list[Rollout]:
        """This rank's rollouts, once every slot is filled."""
        return [slot for slot in self._local if isinstance(slot, Rollout)]

    # Routing

    def _route(self, step: int, examples: list[Example], groups: list[list[str]], lengths_N: Tensor) -> list[Route]:
        G = self.num_generations
        rewards = [None if r != r else r for r in self._rewards_N.tolist()]
        lengths = lengths_N.tolist()
        mine = torch.tensor([surprisal(r) for r in self._rollouts()], device=self.accelerator.device)
        surprisals = self.accelerator.gather(mine).tolist()
        evidence = [
            GroupEvidence(
                step=step,
                example_id=example.id,
                task=self.topics.of(example),
                context_ids_G=tuple(groups[b]),
                rewards_G=tuple(rewards[b * G : (b + 1) * G]),
                completion_tokens_G=tuple(lengths[b * G : (b + 1) * G]),
                surprisals_G=tuple(surprisals[b * G : (b + 1) * G]),
            )
            for b, example in enumerate(examples)
        ]
        decisions = self.parts.router.decide(evidence)
        routes = [decision.route for decision in decisions]
        self.topics.note(evidence)
        self._fast_pool.update({e.id: e for e, r in zip(examples, routes, strict=True) if r.fast})
        self._remember(examples, routes)
        self._watch_unscored(rewards)
        if self.accelerator.is_main_process:
            self.recorder.routes(examples, evidence, decisions, self.parts.router.name)
            self.recorder.starving(step, self.parts.router.starved())
            self.recorder.step_rollouts(
                fresh=len(rewards) - len(self._served),
                reused=len(self._served),
                fresh_tokens=sum(lengths) - sum(self._served),
            )
            logged = self._rollouts()[: self.args.logged_groups * G]
            self.recorder.examples_of_rollouts(step, {e.id: e for e in examples}, logged)
        self._metrics["train"]["fst/route/slow"].append(sum(r.slow for r in routes) / len(routes))
        self._metrics["train"]["fst/route/fast"].append(sum(r.fast for r in routes) / len(routes))
        self._metrics["train"]["fst/route/raised"].append(
            sum(d.route is not d.rule for d in decisions) / len(decisions)
        )
        self._metrics["train"]["fst/reused_rollouts"].append(len(self._served))
        return routes

    def _remember(self, examples: list[Example], routes: list[Route]) -> None:
        """Keep the rollouts of FAST and BOTH examples: text for the next fast phase's proposers, at no cost."""
        if not self.args.reuse_slow_rollouts:
            return
        wanted = {e.id: e for e, r in zip(examples, routes, strict=True) if r.fast}
        seen = [r for r in self._rollouts() if r.example_id in wanted and r.verdict.scored]
        traces = [Trace(wanted[r.example_id], r.context_id, r.text, r.verdict) for r in seen]
        self._experience += gather_object(traces)
        self._experience = self._experience[-MAX_EXPERIENCE:]

    def _watch_unscored(self, rewards: Sequence[float | None]) -> None:
        self._skipped_steps = self._skipped_steps + 1 if all(r is None for r in rewards) else 0
        if self._skipped_steps >= min(self.args.slow_steps_per_cycle, self.args.max_steps):
            raise FastSlowError(
                f"not one of the rollouts of the last {self._skipped_steps} steps could be scored: every prompt is too "
                "long for the model's window, or the scorer fails (see the log); there is nothing to learn from."
            )

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """A run has its report; TRL's card would speak of a plain GRPO run."""


def _places(count: int) -> Dataset:
    """A dataset that has TRL take the right number of steps; what a step trains on, the stream says when it comes."""
    return Dataset.from_dict({"prompt": [[{"role": "user", "content": "."}]] * count})


def _row(rollout: Rollout) -> Row:
    return Row(rollout.prompt_ids + rollout.completion_ids, len(rollout.completion_ids))


def _parts(groups: list[list[str]]) -> torch.Tensor:
    """A number for each (problem, context) of the batch's rows, B x G, flattened."""
    keys = [(problem, context_id) for problem, group in enumerate(groups) for context_id in group]
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    return torch.tensor([numbers[key] for key in keys])


def surprisal(rollout: Rollout) -> float:
    """Nats per token that the policy itself gave its completion; 0 for an empty one."""
    return -sum(rollout.logprobs) / len(rollout.logprobs) if rollout.logprobs else 0.0
