"""Draw answers under one prompt to those of the same model under another: on-policy self-distillation.

The student samples under its own prompt. The teacher is the same model with the same weights under a prompt that holds
more: the right answer, or a context that has proved itself. At each token of the student's answer its distribution is
drawn to the teacher's, by the reverse KL over the whole vocabulary (FST's Eq. 8; SDFT, arXiv 2601.19897).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from fastslow.core import processes
from fastslow.core.errors import BadInput
from fastslow.core.modes import MODES
from fastslow.policy.token_trees import Row
from fastslow.policy.tree_forward import HEAD_ROWS, forward_hidden, pack, place_logits
from fastslow.policy.trials import in_evaluation
from fastslow.slow.distill import padded_logits

Result = TypeVar("Result")


def check_teacher(trainer: Any) -> None:
    """Raise BadInput where the mode has a teacher, and the weights are cut up between processes."""
    if MODES[trainer.args.mode].has_teacher and trainer.sharding.of_weights:
        raise BadInput(
            f"mode '{trainer.args.mode}' compares whole distributions of two forwards, which is not built for weights "
            "that are cut up between processes; train on whole copies (DDP), or take another mode."
        )


def loss_to_teacher(
    trainer: Any, model: Any, inputs: Mapping[str, Any], prompts: Sequence[tuple[int, ...] | None]
) -> Tensor:
    """Return the share of a micro-batch in the mean KL of a step's tokens, and log the KL per token (nats).

    Args:
        trainer: the SlowTrainer.
        model: its model as it is called, wrapped or not.
        inputs: TRL's micro-batch of B rows, whose `advantages` are factors on the rows, and whose `teacher` says which
            of `prompts` is that of a row.
        prompts: the teacher's prompts of this process's rows of the step; None for rows that are not taught.
    """
    rows = [prompts[i] for i in inputs["teacher"].tolist()]
    kl_B_T = divergences(trainer, model, inputs, rows)
    mask_B_T = inputs["completion_mask"] * inputs.get("tool_mask", 1)
    seen = processes.gather([(float((kl_B_T.detach() * mask_B_T).sum()), int(mask_B_T.sum()))])
    trainer.note({"fst/teacher/kl": sum(kl for kl, _ in seen) / max(1, sum(tokens for _, tokens in seen))})
    total = (kl_B_T * mask_B_T * inputs["advantages"][:, None]).sum()
    return total * processes.count() / inputs["num_items_in_batch"].clamp(min=1)  # DDP takes the mean over processes


def divergences(
    trainer: Any, model: Any, inputs: Mapping[str, Any], prompts_B: Sequence[tuple[int, ...] | None]
) -> Float[Tensor, "B T"]:
    """Return KL(student || teacher) in nats at every token of the completions, with a graph to the student alone; 0
    where a row has ended, or has no teacher."""
    base = trainer.accelerator.unwrap_model(model)
    ids_B_T, ended_B_T = inputs["completion_ids"], inputs["completion_mask"] == 0
    own = _unpadded(inputs["prompt_ids"], inputs["prompt_mask"])
    answers = _unpadded(ids_B_T, inputs["completion_mask"])
    teachers = [prompt or student for prompt, student in zip(prompts_B, own, strict=True)]
    width = ids_B_T.shape[1]
    with trainer.accelerator.autocast():
        if trainer.packing_problem is not None:
            student = _padded(model, base, own, answers, width)
            teacher = _as_teacher(base, lambda: _padded(base, base, teachers, answers, width))
            kl_B_T = reverse_kl(student / trainer.temperature, teacher / trainer.temperature)
            return kl_B_T.masked_fill(ended_B_T, 0.0)
        student_P_D, student_B_T = _places(model, base, own, answers, width)
        teacher_P_D, teacher_B_T = _as_teacher(base, lambda: _places(base, base, teachers, answers, width))
    # Rows that share all they have said share the pair of places too: each pair is looked at once.
    pairs_X_2 = torch.stack([student_B_T, teacher_B_T], -1)[~ended_B_T]
    pairs_E_2, edge_X = pairs_X_2.unique(dim=0, return_inverse=True)
    score = _kl_of_places if len(pairs_E_2) <= HEAD_ROWS else partial(checkpoint, _kl_of_places, use_reentrant=False)
    parts = [
        score(base, student_P_D[pairs[:, 0]], teacher_P_D[pairs[:, 1]], trainer.temperature)
        for pairs in pairs_E_2.split(HEAD_ROWS)
    ]
    kl_B_T = student_P_D.new_zeros(ids_B_T.shape, dtype=torch.float32)
    return kl_B_T.masked_scatter(~ended_B_T, torch.cat(parts)[edge_X]) if parts else kl_B_T


@torch.no_grad()
def _as_teacher(base: Any, forward: Callable[[], Result]) -> Result:
    """Return what a forward of the teacher returns: without a graph, and without the student's dropout."""
    return in_evaluation(base, forward)


def reverse_kl(student_V: Float[Tensor, "... V"], teacher_V: Float[Tensor, "... V"]) -> Float[Tensor, ...]:
    """Return KL(student || teacher) in nats from logits over the vocabulary."""
    student_V, teacher_V = student_V.log_softmax(-1), teacher_V.log_softmax(-1)
    return (student_V.exp() * (student_V - teacher_V)).sum(-1)


def _kl_of_places(
    base: Any, student_E_D: Float[Tensor, "E D"], teacher_E_D: Float[Tensor, "E D"], temperature: float
) -> Float[Tensor, " E"]:
    with torch.no_grad():
        teacher_E_V = place_logits(base, teacher_E_D) / temperature
    return reverse_kl(place_logits(base, student_E_D) / temperature, teacher_E_V)


def _places(
    model: Any, base: Any, prompts: Sequence[tuple[int, ...]], answers: Sequence[tuple[int, ...]], width: int
) -> tuple[Float[Tensor, "P D"], Int[Tensor, "B T"]]:
    """Return hidden states of the rows as token trees, and the place from which each token of an answer is
    predicted."""
    rows = [Row(prompt + answer, len(answer)) for prompt, answer in zip(prompts, answers, strict=True)]
    packed = pack(rows, width=width)
    hidden_P_D = forward_hidden(model, base, packed)
    return hidden_P_D, packed.source_E[packed.edge_B_T.clamp(min=0)].to(hidden_P_D.device)


def _padded(
    model: Any, base: Any, prompts: Sequence[tuple[int, ...]], answers: Sequence[tuple[int, ...]], width: int
) -> Float[Tensor, "B T V"]:
    """Return the logits of padded rows."""
    longest, device = max(map(len, prompts)), base.device
    ids = torch.zeros(len(prompts), longest + width, dtype=torch.long, device=device)
    mask = torch.zeros_like(ids)
    for row, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
        whole = slice(longest - len(prompt), longest + len(answer))
        ids[row, whole] = torch.tensor(prompt + answer, device=device)
        mask[row, whole] = 1
    return padded_logits(model, base, ids, mask, width)


def _unpadded(ids: Int[Tensor, "B X"], mask: Int[Tensor, "B X"]) -> list[tuple[int, ...]]:
    return [tuple(row[seen.bool()].tolist()) for row, seen in zip(ids.cpu(), mask.cpu(), strict=True)]
