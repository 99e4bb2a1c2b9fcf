"""Distil the contexts of a bundle into its weights, so that what ships needs no added prompt tokens."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from peft import PeftModel

from fastslow.bundles.ancestry import ancestors_of
from fastslow.bundles.bundle import Bundle, open_bundle, open_task, tasks_of, write_bundle
from fastslow.bundles.digest import BUNDLE, bundle_digest, folder_of, manifest_of
from fastslow.contexts.rendering import refuse_soft
from fastslow.core import processes
from fastslow.core.errors import BadInput, FastSlowError
from fastslow.core.measurement import Measurement, means
from fastslow.core.types import Rollout
from fastslow.evaluation.accuracy import Sampling
from fastslow.evaluation.bundle import bundle_policy
from fastslow.evaluation.evaluator import EvaluationSettings, Evaluator
from fastslow.export.folder import check_output
from fastslow.files import atomic
from fastslow.files.locks import LOCK, alone_in
from fastslow.files.plain import read_plain
from fastslow.files.run_directory import RunDirectory, machine, versions
from fastslow.gate.general import bits_of, prose_pieces
from fastslow.gate.policy import Prose
from fastslow.policy.base_model import frozen_copy
from fastslow.policy.engines.base import SamplingParams
from fastslow.policy.loading import default_learning_rate, load_model, resolve_model
from fastslow.policy.policy import Policy
from fastslow.policy.settings import is_temperature
from fastslow.policy.tree_forward import why_not
from fastslow.record.display import Display
from fastslow.record.progress import Plan
from fastslow.record.recorder import Recorder
from fastslow.run.pairs import CLUSTER, Pairs, Teacher, alone, training_questions
from fastslow.slow.channel import is_finite
from fastslow.slow.distill import DistillTrainer, Training
from fastslow.streams.labels import Labels
from fastslow.tasks.base import Task
from fastslow.tasks.task_set import TaskSet, refuse_environments
from fastslow.topics.topics import Topics

KL_EXAMPLES = 16
"""Questions of a task on which the KL to the base is measured, as in an evaluation."""

RATE = 2.0
"""Learning rate as a multiple of training's: every token has a whole distribution to learn from, and steps are few.
Measured on SmolLM2-135M (`make distill-trial`)."""

ADAPTER_RATE = 10.0
"""How much more adapters take than whole weights: each of their two factors moves the product by the other alone."""


@dataclass(frozen=True)
class DistillSettings:
    """How contexts are distilled.

    Attributes:
        contexts: what the teacher answers under: `lead`, `cluster` or `mean` (see `run.pairs`).
        steps: optimiser steps.
        questions: questions of a step.
        learning_rate: None: twice that of training, which goes by the model's size; for adapters ten times as much.
        seed: of the questions' order and the samples.
        trusted: whether code that the bundle names may run.
    """

    contexts: str = "lead"
    steps: int = 100
    questions: int = 16
    learning_rate: float | None = None
    seed: int = 42
    trusted: bool = False


def distill(path: str | Path, output: Path, settings: DistillSettings, display: Display) -> dict[str, Any]:
    """Write a bundle whose weights answer under the seed context as those of the bundle at `path` do under its
    contexts, with what was measured, into the new folder `output`; return what summary.json holds.

    Nothing is at `output` before all of it is. Raises BadInput for a bundle, a task or an `output` that cannot be used,
    FastSlowError for weights that are not finite.
    """
    check_output(output)
    if processes.count() > 1:
        raise BadInput("contexts are distilled by one process; start fastslow distill without a launcher.")
    folder = folder_of(path)
    digest = bundle_digest(folder)
    bundle = open_bundle(folder, choosing=settings.contexts == CLUSTER, trusted=settings.trusted)
    for context in bundle.population.members:
        refuse_soft(context)
    task = _task_of(bundle, trusted=settings.trusted)
    refuse_environments(task, "distilling teaches single answers; ship the contexts with the weights")
    with _aside(output) as aside:
        run = _Distillation(bundle, folder, task, settings, RunDirectory(aside), display)
        summary = run.carry_out(parent={"path": str(folder.absolute()), "digest": digest})
    return summary


class _Distillation:
    """One distillation, its parts made and checked, before anything is trained."""

    def __init__(
        self,
        bundle: Bundle,
        folder: Path,
        task: Task,
        settings: DistillSettings,
        directory: RunDirectory,
        display: Display,
    ):
        self.settings, self.folder, self.directory, self.task = settings, folder, directory, task
        self.recorder = Recorder(directory, display)
        self.teacher = Teacher(bundle, settings.contexts)
        self.policy = _policy_of(bundle, task)
        self.examples = training_questions(self.policy, task, self.teacher)
        self.pairs = Pairs(
            self.policy, self.teacher, self.examples, places=settings.steps * settings.questions, seed=settings.seed,
            listen=self._note,
        )  # fmt: skip
        _let_train(bundle.model)
        self.training = Training(
            steps=settings.steps,
            questions=settings.questions,
            learning_rate=settings.learning_rate or _rate(bundle.model),
            warmup_steps=min(5, settings.steps // 10),
            max_completion_length=self.policy.params.max_new_tokens,
            dtype=bundle.settings["dtype"] or "float32",
            seed=settings.seed,
            folder=directory.path,
        )
        self.trainer = DistillTrainer(
            self.training, model=bundle.model, teacher=open_bundle(folder).model, tokenizer=bundle.tokenizer,
            pairs=self.pairs, callbacks=[self.recorder],
        )  # fmt: skip
        self.bundle = _beside(bundle)  # now that the trainer has put the model where it trains

    def carry_out(self, parent: Mapping[str, str]) -> dict[str, Any]:
        """Measure, train, measure again, and write bundle and summary."""
        kind, steps, display = self.settings.contexts, self.settings.steps, self.recorder.display
        display.start(Plan(steps), self._title())
        try:
            before, prose = self._measure(self.bundle, ["seed", kind], 0)
            self.trainer.train()
            self._check_finite()
            bundle = alone(self.bundle)
            after, prose_after = self._measure(bundle, ["seed"], steps)
        finally:
            display.stop()
            self.policy.close()
        accuracy = {"before": means(before, "accuracy"), "after": means(after, "accuracy")}
        kl = {"before": means(before, "kl"), "after": means(after, "kl")}
        how = {
            "parent": dict(parent), **asdict(self.settings), "learning_rate": self.training.learning_rate,
            "teacher_contexts": sorted({c.id for e in self.examples for c in self.teacher.contexts(e)}),
        }  # fmt: skip
        summary = {
            "status": "done", "distilled": how, "steps": steps, "model": bundle.settings["model"],
            "task": self.task.name, "training_questions": len(self.examples),
            "accuracy": accuracy,
            "share_of_teacher": _ratio(accuracy["after"].get("seed"), accuracy["before"].get(kind)),
            "kl_to_base": kl,
            "prose_bits_per_byte": {"before": prose, "after": prose_after, "rise": prose_after / prose - 1},
            "prompt_tokens": self._prompt_tokens(),
            "rollouts": dict(self.recorder.rollouts), "tokens": dict(self.recorder.tokens),
            "wall_s": self.recorder.wall_by_phase(),
            "machine": machine(str(self.trainer.accelerator.device)), "versions": versions(),
        }  # fmt: skip
        _write(self.directory, bundle, self.folder, summary)
        return summary

    def _measure(self, bundle: Bundle, kinds: Sequence[str], step: int) -> tuple[list[Measurement], float]:
        """Return accuracy and KL on the validation questions, and bits per byte of prose."""
        bundle.model.eval()
        self.policy.refresh(step)
        evaluator = Evaluator(
            policy=self.policy, model=bundle.model, base=bundle.base, policy_of=lambda model: self.policy,
            task=self.task, settings=_evaluation(bundle, self.policy), told=self.recorder.rollouts_made,
        )  # fmt: skip
        with self.recorder.phase("eval", step):
            measured = evaluator.measure(bundle.population, kinds, topics=bundle.topics)
            pieces = prose_pieces(Prose())
            prose = sum(bits_of(bundle, pieces)) / sum(len(piece.encode()) for piece in pieces)
        self.recorder.evals(step, measured)
        self.recorder.display.note(f"prose that nobody trained on: {prose:.4f} bits per byte")
        return measured, prose

    def _prompt_tokens(self) -> dict[str, float]:
        """Return the mean number of tokens of a validation prompt, under the seed context and the teacher's."""
        examples, seed = self.task.split("validation"), self.bundle.population.seed
        student = statistics.fmean(len(self.policy.prompt_ids(seed, e)) for e in examples)
        teacher = statistics.fmean(
            statistics.fmean(len(self.policy.prompt_ids(context, e)) for context in self.teacher.contexts(e))
            for e in examples
        )
        return {"student": student, "teacher": teacher, "saved": teacher - student}

    def _check_finite(self) -> None:
        bad = next((name for name, weight in self.bundle.model.named_parameters() if not is_finite(weight)), None)
        if bad is not None:
            raise FastSlowError(
                f"after {self.settings.steps} steps the weight '{bad}' is not finite, and no bundle was written; a "
                f"lower --learning_rate than {self.training.learning_rate:g} may help."
            )

    def _note(self, rollouts: Sequence[Rollout]) -> None:
        tokens = sum(rollout.tokens for rollout in rollouts)
        self.recorder.step_rollouts(fresh=len(rollouts), reused=0, fresh_tokens=tokens)

    def _title(self) -> str:
        return (
            f"fastslow distill: the {self.settings.contexts} context of {self.folder} into its weights, "
            f"{self.settings.steps} steps of {self.settings.questions} of {len(self.examples)} training questions, "
            f"learning rate {self.training.learning_rate:g}"
        )


def _task_of(bundle: Bundle, *, trusted: bool) -> Task:
    """Return the task of the bundle's run, with the splits that it had there."""
    opened = [open_task(name, bundle.settings, trusted=trusted) for name in tasks_of(bundle.settings)]
    sets = [task for task in opened if isinstance(task, TaskSet)]
    return TaskSet([task for one in sets for task in one.tasks.values()]) if sets else opened[0]


def _policy_of(bundle: Bundle, task: Task) -> Policy:
    """Return the policy that answers with the weights in training, sampled as the run's evaluations were. Raises
    BadInput for a bundle that asks for what cannot be sampled."""
    import torch

    settings = bundle.settings
    params = SamplingParams(
        max_new_tokens=int(settings["max_completion_length"]),
        temperature=settings["eval_temperature"],
        top_p=settings["eval_top_p"],
    )
    if not is_temperature(params.temperature) or not 0 < params.top_p <= 1:
        raise BadInput(f"the bundle's eval_temperature ({params.temperature}) or eval_top_p ({params.top_p}) is none.")
    return bundle_policy(bundle, bundle.model, task, params, getattr(torch, settings["dtype"] or "float32"))


def _evaluation(bundle: Bundle, policy: Policy) -> EvaluationSettings:
    """Return the evaluation of the bundle's run."""
    sampling = Sampling(policy.params, int(bundle.settings["eval_samples"]), int(bundle.settings["seed"]))
    return EvaluationSettings(sampling, KL_EXAMPLES, packing=why_not(bundle.model) is None)


def _let_train(model: Any) -> None:
    """Let the weights of a bundle learn again: all of them, or its adapters, which are opened as constants."""
    for name, weight in model.named_parameters():
        weight.requires_grad_(not isinstance(model, PeftModel) or model.prefix in name)


def _rate(model: Any) -> float:
    return default_learning_rate(model) * RATE * (ADAPTER_RATE if isinstance(model, PeftModel) else 1.0)


def _beside(bundle: Bundle) -> Bundle:
    """Return the bundle with its base on the device of its model."""
    if isinstance(bundle.model, PeftModel):
        return bundle
    device = bundle.model.device
    return replace(bundle, base=frozen_copy(lambda: load_model(resolve_model(bundle.settings["model"])).to(device)))  # type: ignore[arg-type]


def _write(directory: RunDirectory, bundle: Bundle, parent: Path, summary: Mapping[str, Any]) -> None:
    """Write the bundle, which has no topics any more, and the summary."""
    labels = Labels(bundle.settings["labels"], tasks=tasks_of(bundle.settings), seed=bundle.settings["seed"])
    write_bundle(
        directory.path / "bundle",
        model=bundle.model,
        tokenizer=bundle.tokenizer,
        population=bundle.population,
        router=_router_of(parent),
        topics=Topics(labels=labels, stream=None),
        base_name=bundle.settings["model"],
    )
    about = {name: summary[name] for name in ("distilled", "steps", "status", "accuracy", "kl_to_base", "versions")}
    settings = {**bundle.settings, "clusters": "none"}
    if ancestors := ancestors_of(parent, bundle.settings):  # which an older bundle can only tell where it is
        settings["ancestors"] = ancestors
    directory.write_json(f"bundle/{BUNDLE}", {"settings": settings, **about, **manifest_of(directory.path / "bundle")})
    directory.write_json("summary.json", summary)


def _router_of(folder: Path) -> dict[str, Any]:
    """Return the router's state in a bundle, which a run that goes on from it takes up."""
    file = folder / "router.json"
    try:
        state = json.loads(read_plain(file))
        return dict(state)
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise BadInput(f"'{file}' is damaged ({type(error).__name__}: {error}).") from error


def _ratio(one: float | None, other: float | None) -> float | None:
    return one / other if one is not None and other else None


@contextmanager
def _aside(output: Path) -> Iterator[Path]:
    """Give a folder beside `output` that takes its place at the end; after an error nothing is left. What a kill has
    left is taken away by the next attempt. Raises BadInput where another process writes the same folder."""
    target = output.absolute()
    aside = target.with_name(f"{target.name}.tmp")
    with alone_in(aside):
        try:
            for entry in aside.iterdir():
                if entry.name != LOCK:
                    atomic.remove(entry)
            yield aside
            (aside / LOCK).unlink()
            for entry in aside.iterdir():
                atomic.sync(entry)
            atomic.sync(aside)
            atomic.put_in_place(aside, target)
        except OSError as error:
            raise BadInput(f"cannot write '{output}': {error.strerror or error}.") from error
        finally:
            atomic.remove(aside)
