"""The settings of the files: where a run lives, and which checkpoints there are."""

from __future__ import annotations

from dataclasses import dataclass

from fastslow.core.settings import SettingsGroup, setting
from fastslow.files.second_place import check_url


@dataclass
class FileSettings(SettingsGroup):
    """Where a run lives, when its checkpoints are made, and which of them stay."""

    title = "Run directory and checkpoints"

    output_dir: str | None = setting(
        None, "Run directory; default runs/MODE-sSEED. One that holds a run is refused.", incidental=True
    )
    save_strategy: str = setting(
        "steps", "'steps' makes checkpoints to resume from; 'no' only where a signal stops the run.",
        choices=("no", "steps"), incidental=True,
    )  # fmt: skip
    save_steps: float = setting(
        1, "Time between checkpoints.", unit="optimiser steps", at_least=1, whole=True, incidental=True
    )
    save_time_share: float = setting(
        1.0,
        "Part of the run's time that training may wait for checkpoints, which are written beside the next step. Below "
        "1, a checkpoint that would exceed it is left out; a kill then loses the steps since the last checkpoint.",
        unit="share",
        at_least=0,
        at_most=1,
        incidental=True,
    )
    save_to: str = setting(
        "", "Second place for checkpoints and logs, copied beside training: a URL that fsspec knows, e.g. "
        "s3://bucket/run. `fastslow resume URL` goes on from there on another machine.", incidental=True,
    )  # fmt: skip
    keep_last: int = setting(
        2, "Newest checkpoints kept during the run; a finished run deletes them.", unit="checkpoints", at_least=1,
        incidental=True,
    )  # fmt: skip
    keep_every: int = setting(
        0, "Checkpoints of steps divisible by this are kept for good; 0: none.", unit="optimiser steps", at_least=0,
        incidental=True,
    )  # fmt: skip
    keep_best: bool = setting(
        False, "Keep the checkpoint of the best evaluation (under the context the run ships) for good.",
        incidental=True,
    )  # fmt: skip

    def check(self) -> None:
        """Refuse a second place that is not a URL or may hold a secret. Raises BadInput."""
        if self.save_to:
            check_url("save_to", self.save_to)
