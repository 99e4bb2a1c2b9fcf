"""Compare a separate engine's log-probabilities with those of the model in training, on rollouts made just now.

An engine in another program can sample from other weights than those it was sent, and answer 200: vLLM was seen to
keep a tied head when it reloads, and it keeps keys and values of older weights where its prefix cache is not reset.
Training would go on, on another policy's rollouts. Only fresh rollouts are compared: those served from the cache are of
older weights by design.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from fastslow.core import processes
from fastslow.core.errors import EngineError
from fastslow.core.types import Rollout
from fastslow.policy.token_trees import Row
from fastslow.policy.tree_forward import forward_packed, pack
from fastslow.policy.trials import in_evaluation, plain_logprobs

STEP_ROWS = 64
"""Most rollouts of a step that are compared, evenly spread over them: a forward over each, beside the forwards and
backwards over all of them."""
FEW_ROWS = 8
"""Most rollouts that are compared of the first batch after a refresh, whatever the batch is for."""
ROWS_AT_ONCE = 8
"""Rollouts of one forward as token trees."""

BOUNDS = {torch.float32: 1e-3, torch.bfloat16: 0.5, torch.float16: 0.1}
"""Nats by which one token's log-probability may differ, by the type that both sides compute in. In fp32 vLLM on a CPU
and transformers differ by some 3e-5. docs/engines.md has the measurements."""


@dataclass(frozen=True)
class Gap:
    """How far two programs are apart, in nats: the largest and the mean difference over `tokens` tokens of `rows`
    rollouts."""

    largest: float
    mean: float
    rows: int
    tokens: int


class Tripwire:
    """Measure the gap of an engine to a model, and stop the run where it is too large.

    Args:
        model: the model in training.
        bound: nats by which the log-probability of a token may differ.
        dtype: type that rollouts are computed in.
        packing: compute shared tokens once, for models where that is exact.
    """

    def __init__(self, model: PreTrainedModel, *, bound: float, dtype: torch.dtype, packing: bool):
        self._model, self._bound, self._dtype, self._packing = model, bound, dtype, packing
        self._version: int | None = None
        self.last: Gap | None = None
        """The gap measured last."""
        self.largest = 0.0
        """The largest gap so far."""

    def check(
        self,
        rollouts: Sequence[Rollout],
        *,
        version: int,
        temperature: float,
        step: bool,
        place: Callable[[int], str],
    ) -> None:
        """Compare some of `rollouts`, which were sampled from the weights of `version` just now: of a `step` up to
        STEP_ROWS, else FEW_ROWS of the first batch of a version. Every process has to call this method.

        `place` says in words where the rollout at a place among `rollouts` was made. Raises EngineError where the gap
        is beyond the bound.
        """
        rows = STEP_ROWS if step else FEW_ROWS
        if not rollouts or (version == self._version and not step):
            return
        chosen = [at * len(rollouts) // min(rows, len(rollouts)) for at in range(min(rows, len(rollouts)))]
        gaps = self._gaps([rollouts[at] for at in chosen], temperature)
        tokens = torch.cat(gaps)
        self.last = Gap(float(tokens.max()), float(tokens.mean()), len(gaps), len(tokens))
        self._version = version
        worst = max(range(len(gaps)), key=lambda row: float(gaps[row].nan_to_num(torch.inf).max()))
        if not self.last.largest <= self._bound:  # NaN is beyond every bound
            raise EngineError(
                f"after {version} steps {place(chosen[worst])} gives a sampled token another log-probability than the "
                f"model in training, by {self.last.largest:.3g} nats (engine_gap allows {self._bound:g}; mean "
                f"{self.last.mean:.2g} over {len(gaps)} fresh rollouts): it samples from other weights. Was it started "
                "on a folder made by 'fastslow engine prepare', with the flags that docs/engines.md names, and does "
                "nothing else send it weights?"
            )
        self.largest = max(self.largest, self.last.largest)

    def _gaps(self, rollouts: Sequence[Rollout], temperature: float) -> list[Float[Tensor, " T"]]:
        """Return the absolute difference at every token of every rollout; each process computes its share."""
        count = processes.count()
        # Equal shares, the last rows repeated: a forward through sharded weights needs every process.
        padded = [*rollouts, *[rollouts[-1]] * (-len(rollouts) % count)]
        own = padded[processes.rank() :: count]
        ours = in_evaluation(self._model, lambda: self._logprobs(own, temperature))
        gaps = [(x - torch.tensor(r.logprobs)).abs()[list(r.said) or ...] for x, r in zip(ours, own, strict=True)]
        shares = processes.gather([gaps])
        return [shares[at % count][at // count] for at in range(len(rollouts))]

    @torch.no_grad()
    def _logprobs(self, rollouts: Sequence[Rollout], temperature: float) -> list[Float[Tensor, " T"]]:
        model, rows = self._model, [Row(r.prompt_ids + r.completion_ids, len(r.completion_ids)) for r in rollouts]
        with torch.autocast(model.device.type, dtype=self._dtype, enabled=self._dtype != torch.float32):
            if not self._packing:
                return [plain_logprobs(model, row, temperature=temperature).cpu() for row in rows]
            found: list[Tensor] = []
            for start in range(0, len(rows), ROWS_AT_ONCE):
                chunk = rows[start : start + ROWS_AT_ONCE]
                together, _ = forward_packed(model, model, pack(chunk), temperature=temperature, entropy_grad=False)
                found += [logps[: row.answer].cpu() for logps, row in zip(together, chunk, strict=True)]
            return found
