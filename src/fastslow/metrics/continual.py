"""Measure from an accuracy matrix over stages how much was learned and kept, and how much it helped later tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean


@dataclass(frozen=True)
class Continual:
    """Of T stages, stage t training on task t. None where one stage leaves nothing to compare.

    `average`            mean accuracy on all tasks after the last stage
    `backward_transfer`  after the last stage minus just after learning, mean over the earlier tasks (Lopez-Paz and
                         Ranzato 2017, arXiv 1706.08840)
    `forward_transfer`   just before learning minus the base, mean over the later tasks (same source)
    `forgetting_since_learned`  just after learning minus now: the negative of backward transfer
    `forgetting_since_peak`     the best accuracy after any earlier stage minus now (Chaudhry et al. 2018,
                         arXiv 1801.10112)
    `retained`           accuracy now over that best accuracy, mean over the earlier tasks that had one above 0
    `acquisition`        per stage, accuracy on its task after it minus before it
    """

    average: float
    backward_transfer: float | None
    forward_transfer: float | None
    forgetting_since_learned: float | None
    forgetting_since_peak: float | None
    retained: float | None
    acquisition: tuple[float, ...]


def measure_continual(matrix: Sequence[Sequence[float]], base: Sequence[float]) -> Continual:
    """Measure a matrix: `matrix[t][j]` is the accuracy on task j after stage t, `base[j]` before the first. Raises
    ValueError unless there is a row for each stage and a column for each task."""
    stages = len(matrix)
    if not stages or any(len(row) != stages for row in matrix) or len(base) != stages:
        raise ValueError(f"expected {stages} x {stages} accuracies and {stages} of the base model")
    last, earlier, later = matrix[-1], range(stages - 1), range(1, stages)
    learned = [last[j] - matrix[j][j] for j in earlier]
    peaks = [max(row[j] for row in matrix[:-1]) for j in earlier]
    retained = [last[j] / peak for j, peak in enumerate(peaks) if peak > 0]
    before = [base[0], *(matrix[j - 1][j] for j in later)]
    return Continual(
        average=mean(last),
        backward_transfer=mean(learned) if learned else None,
        forward_transfer=mean(matrix[j - 1][j] - base[j] for j in later) if stages > 1 else None,
        forgetting_since_learned=-mean(learned) if learned else None,
        forgetting_since_peak=mean(peak - last[j] for j, peak in enumerate(peaks)) if peaks else None,
        retained=mean(retained) if retained else None,
        acquisition=tuple(matrix[j][j] - before[j] for j in range(stages)),
    )
