"""Distil contexts into the weights by TRL's SDFTTrainer: its teacher answers under a context, its student does not.

The student samples under its own prompt; at every token of its answer its distribution is drawn to the teacher's by the
reverse KL, over the whole vocabulary (FST's Eq. 8; SDFT, arXiv 2601.19897). TRL's API is experimental:
tests/contracts/test_distill.py holds it to all that is used here, docs/decisions/0001 lists it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase, PrinterCallback, TrainerCallback

from fastslow.core.errors import BadInput, ContractBroken, in_one_line
from fastslow.core.machine import is_out_of_memory
from fastslow.core.types import Rollout
from fastslow.policy.engines.rows import without_adapter_shell, without_cache
from fastslow.policy.tree_forward import forward_hidden, pack, place_logits, rows_of, why_not
from fastslow.policy.trials import vocabulary

os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")

from trl.experimental.sdft import SDFTConfig, SDFTTrainer  # warns when it is imported
from trl.experimental.sdft.sdft_trainer import DemonstrationTeacherContextBuilder

# The trainer warns of a student with adapters that its teacher may be the bare base. Here it is a model of its own.
logging.getLogger("trl.experimental.sdft.sdft_trainer").setLevel(logging.ERROR)

WHOLE_VOCABULARY = 2**28
"""Most logits of a forward for the KL over the whole vocabulary: 1 GiB in fp32, several times alive at once."""

TOP_TOKENS = 100
"""Tokens of the KL above that, the others as one (TRL's default; SDFT uses as many)."""

MOST_ROWS = 16
"""Most questions of one forward and backward."""


class PromptPairs(Protocol):
    """Supply each place of a training with a question, as token ids under the student's and the teacher's context."""

    def __len__(self) -> int: ...

    def student(self, place: int) -> tuple[int, ...]: ...

    def teacher(self, place: int) -> tuple[int, ...]: ...

    def answer(self, places: Sequence[int], step: int) -> list[Rollout]:
        """Return the student's answers, sampled from the weights after `step` steps."""
        ...


@dataclass(frozen=True)
class Training:
    """How the student is trained.

    Attributes:
        steps: optimiser steps.
        questions: questions of a step, each answered once.
        learning_rate: the highest of the schedule.
        warmup_steps: steps until then.
        max_completion_length: most tokens of an answer.
        dtype: the type that forwards compute in, by torch's name; the weights are fp32.
        seed: that of whatever TRL draws.
        folder: TRL makes this folder, and leaves nothing in it.
    """

    steps: int
    questions: int
    learning_rate: float
    warmup_steps: int
    max_completion_length: int
    dtype: str
    seed: int
    folder: Path


class DistillTrainer(SDFTTrainer):
    """Train a student on the distributions of a frozen teacher.

    Args:
        training: how the student is trained.
        model: the student, with fp32 weights; those that require a gradient are trained.
        teacher: a model of its own with the weights that the student begins with.
        tokenizer: theirs.
        pairs: the questions; as many as the training takes.
        callbacks: transformers callbacks.

    Raises:
        BadInput: for settings or a model that TRL cannot work with.
    """

    # TRL types these attributes more widely than this class uses them.
    args: Any
    accelerator: Any
    model: Any

    def __init__(
        self,
        training: Training,
        *,
        model: PreTrainedModel,
        teacher: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        pairs: PromptPairs,
        callbacks: Sequence[TrainerCallback] = (),
    ):
        try:
            super().__init__(
                model=model,
                args=_arguments(training, vocabulary(model)),
                train_dataset=_Pairs(pairs),  # type: ignore[arg-type]  # any map of places to rows
                processing_class=tokenizer,
                callbacks=list(callbacks),
            )
        except Exception as error:  # refused by TRL, transformers or accelerate, each in its own way
            if is_out_of_memory(error):
                raise
            raise BadInput(f"the trainer refuses these settings: {in_one_line(error)}") from error
        self.remove_callback(PrinterCallback)
        self.pairs = pairs
        self.teacher_model = teacher.to(self.accelerator.device).eval().requires_grad_(False)  # type: ignore[arg-type]
        self.teacher_context_builder = TeacherPrompts(self)
        self.packing_problem = why_not(without_adapter_shell(model))

    def _tokenize_prompts(self, prompts: list[Any]) -> list[list[int]]:
        """Return the prompts as they are: token ids already, by the project's own rendering, and never cut."""
        return prompts

    def _generate(self, prompt_ids: list[list[int]]) -> tuple[list[list[int]], list[list[int]]]:
        """Have the caller sample the answers. Raises ContractBroken where TRL asks for other questions than come next.

        The places of a step follow each other: TRL goes through the data in their order, once.
        """
        step = self.state.global_step
        places = range(step * len(prompt_ids), (step + 1) * len(prompt_ids))
        if [tuple(ids) for ids in prompt_ids] != [self.pairs.student(place) for place in places]:
            raise ContractBroken("TRL asked for other questions than those of the step")
        rollouts = self.pairs.answer(places, step)
        rewards = [r.verdict.reward for r in rollouts if r.verdict.reward is not None]
        if rewards:
            self._metrics["train"]["reward"].append(sum(rewards) / len(rewards))
        return prompt_ids, [list(rollout.completion_ids) for rollout in rollouts]

    def _forward_logits(
        self, model: Any, input_ids: Tensor, attention_mask: Tensor, logits_to_keep: int
    ) -> Float[Tensor, "B T V"]:
        """Return the logits before each token of the answers, of whatever where an answer has ended.

        Questions under one context share most of their prompt, which token trees compute once. TRL's own forward counts
        positions from the padding on the left, which is exact for some models only.
        """
        base = self.accelerator.unwrap_model(model)
        with self.accelerator.autocast():
            if self.packing_problem is not None:
                return padded_logits(model, base, input_ids, attention_mask, logits_to_keep) / self.temperature
            rows = rows_of(input_ids, attention_mask, answers=logits_to_keep, fixed={})
            packed = pack(rows, width=logits_to_keep)
            hidden_P_D = forward_hidden(model, base, packed)
            source_U, which_E = packed.source_E.to(hidden_P_D.device).unique(return_inverse=True)
            edge_B_T = packed.edge_B_T.to(hidden_P_D.device).clamp(min=0)
            return place_logits(base, hidden_P_D[source_U])[which_E[edge_B_T]] / self.temperature

    def _log_self_distillation_metric(self, mode: str, value: float) -> None:
        """Log the KL per token under one name, where TRL has two for it."""
        self._metrics[mode]["kl"].append(value)

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Write no card: TRL's would speak of a plain SDFT run."""


class TeacherPrompts(DemonstrationTeacherContextBuilder):
    """Give the teacher the question under its own context, system turn and worked turns included: TRL's own builder
    would flatten the context into the last user turn."""

    def _compose_teacher_prompt(self, prompt: Any, privileged_context: Any) -> Any:
        return privileged_context


class _Pairs(torch.utils.data.Dataset):  # type: ignore[type-arg]
    """The places of a training as TRL's rows, rendered when they are asked for."""

    def __init__(self, pairs: PromptPairs):
        self._pairs = pairs

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, index: int) -> dict[str, list[int]]:
        return {"prompt": list(self._pairs.student(index)), "privileged_context": list(self._pairs.teacher(index))}


def padded_logits(
    model: Any, base: Any, ids_B_X: Int[Tensor, "B X"], mask_B_X: Int[Tensor, "B X"], keep: int
) -> Float[Tensor, "B T V"]:
    """Return the same logits of padded rows, with the padding moved behind each row: exact for every causal model."""
    order = (1 - mask_B_X.long()).argsort(dim=1, stable=True)
    length = int(mask_B_X.sum(1).max())
    output = model(
        input_ids=ids_B_X.gather(1, order)[:, :length],
        attention_mask=mask_B_X.gather(1, order)[:, :length],
        **without_cache(base),
    )
    starts_B = mask_B_X[:, :-keep].sum(1)  # where each answer begins, once the row begins at 0
    places_B_T = (starts_B[:, None] - 1 + torch.arange(keep, device=ids_B_X.device)).clamp(0, length - 1)
    logits_B_X_V = output.logits.float()
    return logits_B_X_V.gather(1, places_B_T[..., None].expand(-1, -1, logits_B_X_V.shape[-1]))


def _arguments(training: Training, tokens: int) -> SDFTConfig:
    """Return TRL's settings: on-policy, reverse KL, prompts that are never cut, one answer to a question."""
    rows = max(n for n in range(1, MOST_ROWS + 1) if training.questions % n == 0)
    whole = rows * training.max_completion_length * tokens <= WHOLE_VOCABULARY
    return SDFTConfig(
        output_dir=str(training.folder),
        max_steps=training.steps,
        per_device_train_batch_size=rows,
        gradient_accumulation_steps=training.questions // rows,
        learning_rate=training.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=training.warmup_steps,
        weight_decay=0.0,
        max_grad_norm=1.0,
        bf16=training.dtype == "bfloat16",
        fp16=training.dtype == "float16",
        seed=training.seed,
        gradient_checkpointing=False,
        logging_steps=1,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        dataloader_pin_memory=False,
        shuffle_dataset=False,  # the order of the pairs is theirs
        num_generations=1,
        max_prompt_length=None,  # TRL's 512 would cut the context away, from the left
        max_completion_length=training.max_completion_length,
        temperature=1.0,
        distillation_alpha=1.0,
        distillation_mode="full_logits" if whole else "topk_logits",
        distillation_topk=min(TOP_TOKENS, tokens),
        distillation_add_tail=True,
        distillation_is_clip=None,  # the answers are of the very weights
        teacher_model_kind="live",  # makes no teacher: `base` would be the adapters' base, or found by a name
    )
