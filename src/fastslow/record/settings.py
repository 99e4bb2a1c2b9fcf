"""The settings of the record: what is written and shown while a run goes on."""

from __future__ import annotations

from dataclasses import dataclass

from fastslow.core.settings import SettingsGroup, setting


@dataclass
class RecordSettings(SettingsGroup):
    """What is written and shown while a run goes on."""

    title = "Record"

    logged_groups: int = setting(
        1, "Groups of each step whose rollouts are written whole to rollouts.jsonl.", unit="groups", at_least=0,
        incidental=True,
    )  # fmt: skip
    logging_steps: float = setting(
        1, "Time between lines of metrics.jsonl.", unit="optimiser steps", at_least=1, whole=True
    )
    disable_tqdm: bool | None = setting(
        True, "Leave out transformers' own bar; ours shows both channels.", incidental=True
    )
    # None comes first as in transformers, whose parser takes the second entry for the flag's type.
    report_to: None | str | list[str] = setting(  # noqa: RUF009, RUF036 - the default is text
        "none", "Trackers beside metrics.jsonl: trackio, tensorboard, wandb, mlflow.", incidental=True
    )
    project: str = setting("fastslow", "Project in trackers.", incidental=True)
