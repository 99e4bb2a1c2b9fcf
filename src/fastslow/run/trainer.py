"""Assemble both channels of one run from its settings; `train` or a script drives the result."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainerCallback

from fastslow.bundles.ancestry import ancestors_from, behind
from fastslow.config.settings import FastSlowConfig
from fastslow.contexts.evidence import Book
from fastslow.contexts.population import Population
from fastslow.core import processes
from fastslow.core.errors import BadInput, Stopped
from fastslow.core.measurement import Measurement, means
from fastslow.core.modes import MODES
from fastslow.evaluation.evaluator import Evaluator
from fastslow.files.run_directory import no_new_folders
from fastslow.files.snapshot import Stateful
from fastslow.loop.births import Births
from fastslow.loop.cycle import Cycle
from fastslow.loop.state import LoopState
from fastslow.policy.loading import context_window, default_learning_rate, load_model, load_tokenizer, resolve_model
from fastslow.policy.pairing import make_fit
from fastslow.policy.soft_rows import SoftRows
from fastslow.policy.tool_calls import with_tools
from fastslow.record.recorder import Recorder
from fastslow.run.assemble import Components, build_components, calibration_rows, check_answers, make_steering
from fastslow.run.carry import Predecessor, gone, predecessor
from fastslow.run.checkpoints import Checkpointing
from fastslow.run.measuring import make_base, make_evaluator, make_policy
from fastslow.run.wall_time import WallTime
from fastslow.slow.channel import SlowChannel
from fastslow.tasks.base import Task


class FastSlowTrainer:
    """Train a model through both channels.

    Args:
        args: the run's settings; names model and task.
        model: overrides `args.model` with a loaded causal LM (fp32 weights).
        task: overrides `args.task` with a task object.
        processing_class: the tokenizer, if `model` is given.
        recorder: writes the run directory; None keeps everything in memory.
        callbacks: transformers callbacks.

    Attributes:
        slow: the slow channel: weights, and TRL's trainer behind them.
        cycle: the loop that couples the channels, with the fast channel, the router and the state of the loop.
        policy: answers examples under contexts, with the weights as they are.
        base: enters the weights that training started from.
        evaluator: measures the weights and the base.
        checkpointing: saves the run, and goes back.
        own_task: whether the task was given as an object.

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
        callbacks: Sequence[TrainerCallback] | None = None,
    ):
        self.args = args
        self.mode = MODES[args.mode]
        self.recorder = recorder or Recorder(None)
        self.begun_from = None if gone(args) else predecessor(args)
        """The bundle that weights and contexts are taken from; None for the base, or for one that is gone."""
        begun_from = [args.from_bundle] if args.from_bundle else []
        self.ancestors = ancestors_from(*begun_from, *behind(args.model))
        """The runs behind the weights that this run begins with, for its bundle: read now, as they may go meanwhile."""
        source, given = resolve_model(args.model), model is not None
        self.tokenizer = processing_class or load_tokenizer(source, trust_remote_code=args.trust_remote_code)
        model = model or load_model(source, trust_remote_code=args.trust_remote_code)
        make_fit(model, self.tokenizer)
        if args.learning_rate is None:
            args.learning_rate = default_learning_rate(model)
        self.own_task = task is not None
        self.parts: Components = build_components(args, tokenizer=self.tokenizer, model=model, task=task)
        if tools := getattr(self.parts.task, "tools", None):
            own: Any = args.chat_template_kwargs
            args.chat_template_kwargs = with_tools(self.tokenizer, own, tools, args.template_date)
        window, soft = context_window(model), self._rows_beside(model)
        with no_new_folders(args.output_dir):  # transformers' trainer makes one, and keeps nothing there
            self.slow = SlowChannel(
                args, model=model, tokenizer=self.tokenizer, callbacks=callbacks or (), given=given,
                calibration=partial(calibration_rows, args, self.tokenizer, self.parts.topics.material), soft=soft,
            )  # fmt: skip
        self.stopped_by: list[str] = []
        """Why the run ends before its last step: names of signals."""
        self.policy = make_policy(args, self.slow, self.tokenizer, self.parts.task, window, stops=self._is_stopped)
        self.steering = make_steering(args, self.parts.stream)
        self.cycle = self._make_cycle()
        self.base = make_base(args, self.slow, source, given=given)
        self.evaluator = make_evaluator(
            args, self.slow, self.tokenizer, self.policy, self.base, self.parts.task, self._is_stopped,
            told=self.recorder.rollouts_made,
        )  # fmt: skip
        self.wall_time = WallTime(args.max_minutes, self.recorder.elapsed)
        self.checkpointing = Checkpointing(
            args, parts=self._stateful(), slow=self.slow, steering=self.steering, recorder=self.recorder
        )
        if self.begun_from is not None:
            self._take_up(self.begun_from)
        self.time_is_up = False
        """Whether the run ends because of max_minutes."""
        self._steps_go_on = False
        self._check_prompts()
        self.slow.listen(self)

    def _rows_beside(self, model: PreTrainedModel) -> SoftRows | None:
        """Make the rows of soft contexts, where there may be some."""
        args = self.args
        if args.fast_weights == "text":
            return None
        slots = args.population_size if args.fast_weights == "soft" else max(1, args.population_size // 2)
        return SoftRows.beside(model, slots=slots, tokens=args.soft_tokens)

    def _make_cycle(self) -> Cycle:
        """Couple the channels, from a population of the seed context alone."""
        args, parts = self.args, self.parts
        population = Population(size=args.population_size, seed=parts.seed_context)
        return Cycle(
            args,
            policy=self.policy,
            stream=parts.stream,
            topics=parts.topics,
            fast=parts.fast,
            router=parts.router,
            steering=self.steering,
            state=LoopState(parts.task, population, Book(args.evidence_half_life)),
            recorder=self.recorder,
            log=self.slow.note,
            further=parts.further,
            births=self._births(),
        )

    def _births(self) -> Births | None:
        learner = self.slow.soft
        only = self.args.fast_weights == "soft"
        return None if learner is None else Births(learner, self.policy, self.slow.model, only=only)

    def _take_up(self, earlier: Predecessor) -> None:
        """Start from a bundle; a resumed run, whose checkpoint has it all, may do without."""
        earlier.load_weights(self.slow)
        population = earlier.contexts(self.population, self.parts.held_out)
        earlier.load_topics(self.topics, population.known, self.parts.held_out)
        earlier.load_router(self.parts.router)
        self.cycle.state.population = population

    def _stateful(self) -> dict[str, Stateful]:
        """Return what a checkpoint holds besides the weights, by name."""
        return {
            **self.slow.parts,
            "loop": self.cycle.state,
            "topics": self.topics,
            "router": self.parts.router,
            "steering": self.steering,
            "policy": self.policy,
            "recorder": self.recorder,
            "wall_time": self.wall_time,
        }

    def _check_prompts(self) -> None:
        policy, task = self.policy, self.parts.task
        policy.check_prompts(self.population.seed, [*task.split("train"), *task.split("validation")])
        if (self.mode.fast or self.mode.retrieves or self.mode.has_teacher) and not policy.shows_worked_examples:
            raise BadInput(
                "the model's chat template does not show earlier questions and answers, so that contexts cannot hold "
                "worked examples; take a template that does, or --mode rl."
            )
        check_answers(self.mode, task, lambda e, answer: policy.given(self.population.seed, e, answer).verdict.scored)
        if not any(policy.fits(self.population.seed, example) for example in task.split("train")):
            raise BadInput(
                f"no training question of '{task.name}' fits the model's window of {policy.window} tokens together "
                f"with the seed context and an answer of max_completion_length={policy.params.max_new_tokens}; "
                "shorten one of them or take a model with a longer window."
            )

    # State

    @property
    def model(self) -> Any:
        """The model in training."""
        return self.slow.model

    @property
    def step(self) -> int:
        """How many optimiser steps are behind the weights."""
        return self.slow.step

    @property
    def population(self) -> Population:
        """The contexts in use."""
        return self.cycle.state.population

    @property
    def topics(self) -> Any:
        """What the learner knows of its stream."""
        return self.parts.topics

    @property
    def shipped_context(self) -> str:
        """The kind of context that a bundle of this run is used with: chosen by the question where topics have
        contexts."""
        return self.mode.ships(chosen=bool(self.topics.kinds))

    # Actions

    def train(self, resume_from_checkpoint: str | Path | None = None) -> None:
        """Train to the end, or until time or a signal ends it; then run the fast phases of a mode that leaves them to
        the end, with an evaluation on both sides of them.

        `resume_from_checkpoint` is a folder that `files.sealed.verify` has passed.
        """
        folder = Path(resume_from_checkpoint) if resume_from_checkpoint is not None else None
        if folder is None and self.begun_from is None:
            predecessor(self.args)  # raises where the bundle to start from is gone
        self.time_is_up = self.checkpointing.must_save = False
        if folder is not None:
            self.checkpointing.restore(folder)
            if self.out_of_time():  # the weights of the checkpoint go into bundle and summary
                return self.slow.load_weights(folder)
        with suppress(Stopped):  # what it ends is made again by a resume, from the checkpoint before
            if self._take_steps(folder):
                self._end_with_fast_phases()
        return None

    def _take_steps(self, folder: Path | None) -> bool:
        """Have the slow channel train. Return False where a fast phase or an evaluation was ended early: then the state
        before it is saved."""
        # The start was measured before the run was stopped, unless it was stopped by then.
        first = None if folder is None else self.checkpointing.evaluation_due
        with self.checkpointing.writing(folder):
            self._steps_go_on = True
            try:
                self.slow.train(self.cycle, self, resume_from=folder, evaluate_first=first)
            except Stopped:
                self.checkpointing.save_held()
                return False
            finally:
                self._steps_go_on = False
        return True

    def _end_with_fast_phases(self) -> None:
        step = self.step
        if not self.time_is_up and self.cycle.cycles_at(step):
            if step not in self.recorder.measured_steps:
                self.evaluate()
            self.policy.begin_step(step)
            self.cycle.fast_phases(step)
            self.evaluate()

    def evaluate(self) -> dict[str, float]:
        """Measure the current weights on the validation split, log the result, and return it."""
        return self.slow.evaluate()

    def add_callback(self, callback: TrainerCallback) -> None:
        """Have transformers call `callback` as well."""
        self.slow.add_callback(callback)

    def stop(self, reason: str) -> None:
        """End the run with a checkpoint: after the current step, or at once within a fast phase or an evaluation, which
        is then lost and made again by a resume."""
        self.stopped_by.append(reason)

    def _is_stopped(self) -> bool:
        return bool(self.stopped_by)

    def out_of_time(self) -> bool:
        """Return whether no further step may begin or, after the last step, no closing measurement.

        From then on `time_is_up` is true. Every process gets the same answer.
        """
        if self.args.max_minutes is not None:
            last = self.step >= self.args.max_steps
            over = processes.from_main(lambda: self.wall_time.is_over if last else not self.wall_time.allows_a_step())
            self.time_is_up = self.time_is_up or over
        return self.time_is_up

    # What happens between the steps (slow.hooks.Listener)

    def step_begins(self) -> None:
        """Start the clock of the first step, and hold the state from which a fast phase could be made again."""
        self.wall_time.steps_begin()
        self.checkpointing.settle_evaluation()
        if self.cycle.cycles_at(self.step):
            self.checkpointing.hold()

    def step_ends(self) -> bool:
        """Return whether training stops here: because time is up, or because a process received a signal."""
        self.wall_time.step_ends()
        over = self.out_of_time()
        if over or any(processes.gather([bool(self.stopped_by)])):
            self.checkpointing.must_save = True
        return self.checkpointing.must_save

    def weights_change_next(self) -> None:
        """Wait until the checkpoint of the step before is whole, before the weights move."""
        self.checkpointing.weights_change_next()

    def kl_measured(self, kl: float, tokens: int) -> None:
        """Steer by the KL of a micro-batch."""
        self.steering.measured(kl, tokens)

    def rows_planned(self, rows: int, tokens: int) -> None:
        """Count what the weights were trained on."""
        self.recorder.trains_on(rows, tokens)

    def measure(self) -> dict[str, float]:
        """Measure seed context, lead context and population mean separately, and the KL to the base; act on losses."""
        step = self.step
        if self._steps_go_on:
            self.checkpointing.hold(evaluation_due=True)
        self.policy.refresh(step)
        self.cycle.weighing.choose_lead(step)
        measurements = self._measured(step)
        if self._judge(step, measurements):
            measurements = self._measured(step)  # others have the number of this step now
        self.recorder.evals(step, measurements)
        self.checkpointing.note_accuracy(means(measurements, "accuracy").get(self.shipped_context))
        return {
            f"eval_{context}_{what}": value
            for what in ("accuracy", "kl", "entropy")
            for context, value in means(measurements, what).items()
        }

    def _measured(self, step: int) -> list[Measurement]:
        with self.recorder.phase("eval", step), self._evaluator_of_what_ships(step) as evaluator:
            return evaluator.measure(self.population, self._measured_contexts(step), topics=self.topics)

    @contextmanager
    def _evaluator_of_what_ships(self, step: int) -> Iterator[Evaluator]:
        """Enter the evaluator of the weights in training or, where others ship, of these."""
        if not self.slow.ships_another:
            yield self.evaluator
            return
        args, slow, task, model = self.args, self.slow, self.parts.task, self.slow.shipped_model()
        stops = self._is_stopped
        with closing(
            make_policy(args, slow, self.tokenizer, task, self.policy.window, model=model, stops=stops)
        ) as policy:
            policy.refresh(step)
            told = self.recorder.rollouts_made
            yield make_evaluator(args, slow, self.tokenizer, policy, self.base, task, stops, model=model, told=told)

    def _measured_contexts(self, step: int) -> list[str]:
        """Return the kinds of context to measure after `step` steps; drift is that of the lead."""
        if not self.mode.fast:
            return ["seed", *self.topics.kinds]
        if self.args.eval_contexts == "shipped" and step < self.args.max_steps and not self.time_is_up:
            return list(dict.fromkeys(["lead", self.shipped_context]))
        return ["seed", "lead", "mean", *self.topics.kinds]

    def keeps(self, step: int) -> bool:
        """Return whether the checkpoint of `step` is needed, whatever the schedule says."""
        return self.checkpointing.keeps(step)

    def save(self) -> None:
        """Begin a checkpoint."""
        self.checkpointing.save()

    def _judge(self, step: int, measurements: Sequence[Measurement]) -> bool:
        """Act as the settings say where a past task has fallen below its floor; return whether the weights are others
        now than those that were measured."""
        back = self.checkpointing.good_step
        falls = self.steering.judge(step, measurements, self.shipped_context)
        goes_back = bool(falls) and self.args.retention_action == "rollback" and back is not None
        if goes_back and back is not None:
            self.checkpointing.roll_back(back)
            self.cycle.weighing.forget(after=back)
            self.policy.begin_step(-1)  # nothing sampled or cached under the lost weights survives
            self.policy.refresh(step)
        self.recorder.falls(step, falls, self.args.retention_action, back)
        return goes_back
