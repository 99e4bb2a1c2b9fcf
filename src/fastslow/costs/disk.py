"""Bytes of disk: one checkpoint, those that the rules of retention keep, and the bundle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fastslow.costs.memory import FP32
from fastslow.costs.shape import ModelShape


@dataclass(frozen=True)
class Disk:
    """Bytes of one checkpoint and of a bundle, and numbers of checkpoints.

    Args:
        checkpoint: weights, moments and a reference that moves, in fp32.
        checkpoints: on the disk at once, including the one being written. `kept`: still there when the bundle is
            written. `milestones`: left when the run is done.
    """

    checkpoint: int
    checkpoints: int
    kept: int
    milestones: int
    bundle: int

    @property
    def fullest(self) -> int:
        """Bytes at the moment when the run takes most."""
        return max(self.checkpoints * self.checkpoint, self.kept * self.checkpoint + self.bundle)

    @property
    def left(self) -> int:
        """Bytes that a finished run leaves."""
        return self.milestones * self.checkpoint + self.bundle


def disk_of(
    shape: ModelShape,
    *,
    saved: Sequence[int],
    keep_last: int,
    keep_every: int,
    moments: int,
    moving: bool,
    bundle: bool,
    copied: bool = False,
    edited: bool = False,
    whole: bool = False,
) -> Disk:
    """Return what a run takes that saves the steps `saved`. `moving`: it has a reference model that is trained on;
    `copied`: one more checkpoint is held while it is copied to a second place; `edited`: beside adapters the weights
    of the layers change too; `whole`: the bundle holds whole weights, whatever was trained."""
    layers = shape.every - shape.outside
    milestones = {step for step in saved if keep_every and step % keep_every == 0}
    return Disk(
        checkpoint=FP32 * (shape.trained * (1 + moments) + moving * shape.every + edited * layers),
        checkpoints=len({*saved[-keep_last - 1 - copied :], *milestones}),
        kept=len({*saved[-keep_last - copied :], *milestones}),
        milestones=len(milestones),
        bundle=FP32 * (shape.trained if shape.adapted and not whole else shape.every) * bundle,
    )
