"""Try the model out with the trainer that is to train it: which padding is exact, and whether there is a way back."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from accelerate.utils import AutocastKwargs
from torch import Tensor

from fastslow.core.errors import BadInput
from fastslow.core.machine import is_out_of_memory
from fastslow.policy.engines.rows import without_adapter_shell
from fastslow.policy.trials import first_line, in_evaluation, kind_of, long_row, name_of, trial_rows
from fastslow.slow.padding import Padding, as_trl_pads, exact_padding

if TYPE_CHECKING:
    from fastslow.slow.trainer import SlowTrainer

_GO_BACK: set[tuple[object, ...]] = set()
"""Models that had a gradient in this process, by class, configuration, type and way: copies of a model are alike."""


def padding_of(trainer: SlowTrainer, pad: int) -> Padding:
    """Try TRL's padding, then others. Raises BadInput where none is exact."""
    base = trainer.accelerator.unwrap_model(trainer.model)
    router = {"compute_aux_loss": True} if trainer.aux_loss_enabled else {}

    def score(padding: Padding, ids: Tensor, mask: Tensor, keep: int) -> Tensor:
        logps, _, loss = trainer._score_padded(padding, base, ids, mask, keep, compute_entropy=True, **router)
        if router and loss is None:
            raise BadInput(f"the model ({name_of(base)}) returns no loss of its router; set --router_aux_loss_coef 0.")
        return logps

    with _plainly(trainer):
        return in_evaluation(base, lambda: exact_padding(base, score, pad=pad, temperature=trainer.temperature))


def try_backward(trainer: SlowTrainer, pad: int) -> None:
    """Take a gradient over a longer and a short row in training mode, the way that a step does, and drop it.

    Raises BadInput where forward or backward fails: kernels may know the forward alone, or fail where they keep what a
    backward needs.
    """
    base = trainer.accelerator.unwrap_model(trainer.model)
    args, router = trainer.args, trainer.aux_loss_enabled
    way = trainer.padding, trainer.packing_problem, args.gradient_checkpointing, type(trainer.adapter), router
    key = (type(without_adapter_shell(base)), *kind_of(base), *way)
    if key in _GO_BACK:
        return
    first, *_, last = trial_rows(base)
    ids, mask, keep = as_trl_pads([long_row(first, base), last], pad)
    was_training, extra = base.training, {"compute_aux_loss": True} if router else {}
    base.train()
    try:
        with _plainly(trainer), trainer._own_randomness("trial"):
            logps, _, loss = trainer._get_per_token_logps_and_entropies(
                base, ids.to(base.device), mask.to(base.device), keep, compute_entropy=True, **extra
            )
            (logps.sum() if loss is None else logps.sum() + loss).backward()
    except Exception as error:  # an architecture may fail anywhere on its way back
        if isinstance(error, BadInput) or is_out_of_memory(error):
            raise
        raise BadInput(
            f"the model ({name_of(base)}) cannot be trained: a forward and backward over token ids fails with "
            f"{first_line(error)}. Take another model, or --mode prompt, which trains contexts alone."
        ) from error
    finally:
        base.zero_grad(set_to_none=True)
        base.train(was_training)
    _GO_BACK.add(key)


@contextlib.contextmanager
def _plainly(trainer: SlowTrainer) -> Iterator[None]:
    """Compute in the type of the weights, as the rounding of bf16 would hide what a trial looks for; and without
    trackers, which TRL tells how long a forward took, and which have not begun."""
    usual, trainer.accelerator.autocast_handler = trainer.accelerator.autocast_handler, AutocastKwargs(enabled=False)
    trackers, trainer.args.report_to = trainer.args.report_to, []
    try:
        yield
    finally:
        trainer.accelerator.autocast_handler, trainer.args.report_to = usual, trackers
