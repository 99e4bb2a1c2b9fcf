"""Take two steps on a stand-in of a few thousand weights, so that what the libraries refuse late is refused at once.

TRL, transformers and accelerate look at many settings only where they use them: an optimiser that is not installed, a
scheduler's arguments, an unknown name in a loss. By then a run has loaded its model and written its directory. The
stand-in goes through their very code under the very settings, so there is no second list of what they take.
"""

from __future__ import annotations

import contextlib
import copy
import importlib.util
import math
import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from transformers.integrations import get_reporting_integration_callbacks
from transformers.trainer_pt_utils import LayerWiseDummyOptimizer

from fastslow.core.errors import LONGEST, BadInput, in_one_line
from fastslow.core.machine import is_out_of_memory
from fastslow.core.registry import nearest
from fastslow.core.types import Example, Rollout, Verdict
from fastslow.slow.hooks import NoListener, StepBatch
from fastslow.slow.trainer import SlowTrainer

STEPS = 2
SHOWN = 5  # settings that a message names
GROUP = 2
PLACES = 1000  # of a long run, at which its learning rate is looked at
TRACKERS = {
    "azure_ml": ("azureml", "azureml-sdk"),
    "clearml": ("clearml", "clearml"),
    "codecarbon": ("codecarbon", "codecarbon"),
    "comet_ml": ("comet_ml", "comet-ml"),
    "dagshub": ("dagshub", "dagshub"),
    "dvclive": ("dvclive", "dvclive"),
    "flyte": ("flytekit", "flytekit"),
    "kubeflow": ("transformers", "transformers"),
    "mlflow": ("mlflow", "mlflow"),
    "neptune": ("neptune", "neptune"),
    "swanlab": ("swanlab", "swanlab"),
    "tensorboard": ("tensorboard", "tensorboard"),
    "trackio": ("trackio", "trackio"),
    "wandb": ("wandb", "wandb"),
}
"""Trackers of transformers: the module that each imports, and the package that brings it."""
VOCABULARY = ("<pad>", "<end>", "<user>", "a", "b", "c")
TEMPLATE = "{% for message in messages %}<user> {{ message['content'] }} {% endfor %}"


def rehearse(args: Any, names: Sequence[str], measured: Sequence[str]) -> None:
    """Raise BadInput where a library refuses the settings `args` of a run. Writes nothing that stays.

    `names` are the settings that are in question, for the message; `measured` is what the run's evaluations will
    measure. Trackers are made, and not started.
    """
    values = {name: getattr(args, name) for name in names[:SHOWN]}
    shown = ", ".join(f"{name} {getattr(v, 'value', v)}" for name, v in values.items()) + ", ..." * (len(names) > SHOWN)
    with _randomness_kept(), _temporary_folder() as folder:
        settings, steps = _small(args, folder), args.max_steps
        with _refusing(shown):
            model, tokenizer = _stand_in(folder)
            trainer = SlowTrainer(settings, model=model, tokenizer=tokenizer)
        _check_optimiser(trainer, steps)
        trainer.forget_progress()
        trainer.source, trainer.listener = _Source(settings.beta), _Measured(measured)
        with _refusing(shown):
            trainer.train()


def check_trackers(names: Sequence[str]) -> None:
    """Raise BadInput for the first tracker that cannot be made."""
    hook, sys.unraisablehook = sys.unraisablehook, lambda _: None  # a tracker that is half made complains at its end
    try:
        problems = [problem for name in names if (problem := _problem_of_tracker(name))]
    finally:
        sys.unraisablehook = hook
    if problems:
        raise BadInput(problems[0])


def _problem_of_tracker(name: str) -> str | None:
    try:
        [make() for make in get_reporting_integration_callbacks([name])]
    except Exception as error:  # each has exceptions of its own
        if name not in TRACKERS:
            return f"report_to: there is no tracker '{name}'.{nearest(name, TRACKERS)}"
        module, package = TRACKERS[name]
        if importlib.util.find_spec(module) is None:
            return f"report_to: the tracker '{name}' is not installed; pip install {package}, or leave it out."
        return f"report_to: the tracker '{name}' cannot be used: {in_one_line(error)}"
    return None


def _check_optimiser(trainer: SlowTrainer, steps: int) -> None:
    args: Any = trainer.args
    name = getattr(args.optim, "value", args.optim)
    given = f" with optim_args '{args.optim_args}' (written as name=value,name=value)" if args.optim_args else ""
    with _refusing(f"optim '{name}'{given}"):
        optimizer = trainer.create_optimizer()
    if isinstance(optimizer, LayerWiseDummyOptimizer) or "lomo" in name:
        raise BadInput(
            f"optim '{name}' steps within the backward pass, where neither checkpoints nor the guard against gradients "
            "that are not finite reach it; take one that steps after it."
        )
    kind, kwargs = getattr(args.lr_scheduler_type, "value", args.lr_scheduler_type), args.lr_scheduler_kwargs
    with _refusing(f"lr_scheduler_type '{kind}'" + (f" with lr_scheduler_kwargs {kwargs}" if kwargs else "")):
        scheduler: Any = trainer.create_scheduler(steps)
        for rate in getattr(scheduler, "lr_lambdas", ()):
            for step in range(0, steps + 1, max(1, steps // PLACES)):
                factor = rate(step)
                if not math.isfinite(factor):
                    raise ValueError(f"at step {step} it multiplies the learning rate by {factor}")


@contextlib.contextmanager
def _refusing(what: str) -> Iterator[None]:
    try:
        yield
    except BadInput:
        raise
    except Exception as error:  # the libraries' own words, whatever they break on
        if is_out_of_memory(error):
            raise
        raise BadInput(f"{what[:LONGEST]} cannot be trained with: {in_one_line(error)}") from error


def _small(args: Any, folder: Path) -> Any:
    """Return the settings for the stand-in: all the same, but the size of a step, and where and how much is shown."""
    small = copy.copy(args)
    small.output_dir, small.report_to = str(folder / "run"), []
    small.max_steps, small.problems_per_step, small.num_generations = STEPS, 1, GROUP
    small.per_device_train_batch_size = small.generation_batch_size = GROUP
    small.gradient_accumulation_steps = small.steps_per_generation = 1
    small.eval_steps = small.logging_steps = 1
    small.log_completions = False  # or they would be printed
    small.dataloader_num_workers = min(args.dataloader_num_workers, 1)
    small.learning_rate = args.learning_rate if args.learning_rate is not None else 1e-5
    small.adapter, small.adapter_stages = "lora", "one"  # the stand-in's layers are too small for some others
    if small.optim_target_modules is not None:
        small.optim_target_modules = "all-linear"  # the stand-in has layers of other names
    return small


def _stand_in(folder: Path) -> tuple[Any, PreTrainedTokenizerFast]:
    """Return a model with random weights and its tokenizer, saved as well: TRL loads a moving reference by name."""
    words = Tokenizer(WordLevel({word: i for i, word in enumerate(VOCABULARY)}, unk_token="a"))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", eos_token="<end>", chat_template=TEMPLATE, padding_side="left"
    )
    shape: dict[str, Any] = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = LlamaConfig(vocab_size=256, pad_token_id=0, eos_token_id=1, bos_token_id=2, **shape)
    LlamaForCausalLM(config).save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    return AutoModelForCausalLM.from_pretrained(folder / "model", dtype=torch.float32), tokenizer


class _Source:
    """Serve a group of two completions, one right and one wrong."""

    def __init__(self, beta: float):
        self._beta = beta

    def next_step(self, step: int) -> StepBatch:
        problem = Example("0", "rehearsal", "train", ({"role": "user", "content": "a"},))
        rollouts = tuple(
            Rollout(
                example_id="0", context_id="0", prompt_ids=(2, 3), completion_ids=(token, 1), logprobs=(-1.8, -1.8),
                text=VOCABULARY[token], verdict=Verdict(reward, ""), policy_version=step,
            )
            for token, reward in ((4, 0.0), (5, 1.0))
        )  # fmt: skip
        return StepBatch((problem,), rollouts, (True,), beta=self._beta)


class _Measured(NoListener):
    """Measure what a run's evaluations do, by name."""

    def __init__(self, names: Sequence[str]):
        self._names = names

    def measure(self) -> dict[str, float]:
        return dict.fromkeys(self._names, 0.5)


@contextlib.contextmanager
def _temporary_folder() -> Iterator[Path]:
    try:
        with tempfile.TemporaryDirectory(prefix="fastslow-", ignore_cleanup_errors=True) as folder:
            yield Path(folder)
    except FileNotFoundError as error:  # nowhere to write
        raise BadInput(f"there is no folder for temporary files ({error.strerror}); set TMPDIR to one.") from error


@contextlib.contextmanager
def _randomness_kept() -> Iterator[None]:
    """Leave the state of every generator as it was: a run that was rehearsed is the same run."""
    python, arrays = random.getstate(), numpy.random.get_state()
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(python)
        numpy.random.set_state(arrays)
