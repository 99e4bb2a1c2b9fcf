"""Define the one configuration class: the settings of every package, joined in front of TRL's GRPOConfig.

A new setting is one field in the `settings.py` of the package that it concerns; flag, recipe key, help, check and
config.yaml follow from the field.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch

from fastslow.config.checks import check_rules
from fastslow.config.groups import GROUPS, SPECS, AllSettings
from fastslow.config.run_settings import MOST_STEPS
from fastslow.core.errors import BadInput
from fastslow.core.machine import bf16_is_fast
from fastslow.core.settings import check_settings
from fastslow.streams import SEQUENCE, Setting, make_schedule


# Where a group and GRPOConfig both have a field, the group's counts, and it may be of another type (None of a rate).
@dataclass
class FastSlowConfig(AllSettings):
    """The settings of a run: one flat dataclass of the groups above, in the reading order of the help.

    Every setting of GRPOConfig can be set as well. A setting that a group declares is new, or has another default than
    TRL's for the reason given in its help, or is TRL's own with bounds added (`inherited`).

    Raises:
        BadInput: for a value that its field, its group or the rules between groups refuse.
    """

    def __post_init__(self) -> None:
        check_settings(self, SPECS)
        for group in GROUPS:
            group.check(self)
        check_rules(self)
        if self.epsilon_high is None and self.loss_type == "cispo":
            self.epsilon_high = 4.0
        if self.tasks:
            self.max_steps = self._steps_of(self.tasks)
        self._derive_batches()
        self.output_dir = self.output_dir or f"runs/{self.mode}-s{self.seed}"
        self.shuffle_dataset = False  # the stream has its own, resumable order
        self.remove_unused_columns = False
        self.num_generations_eval = 1  # our evaluation does not use TRL's
        if self.bf16 is None and not self.fp16:
            self.bf16 = bf16_is_fast()
        self.use_cpu = self.use_cpu or not torch.accelerator.is_available()  # or bf16 is refused without a GPU
        # TrainingArguments wants a number; None is put back until the model's size is known.
        chosen_rate = self.learning_rate
        self.learning_rate = chosen_rate if chosen_rate is not None else 0.0
        try:
            super().__post_init__()
        except (ValueError, NotImplementedError, ImportError) as error:
            raise BadInput(str(error).strip().splitlines()[0]) from error
        self.learning_rate = chosen_rate

    def _steps_of(self, tasks: list[str]) -> int:
        """Return the steps that the stream of several tasks takes. Raises BadInput where max_steps gives another
        number."""
        stream = Setting(len(tasks), self.stage_steps, self.problems_per_step, self.seed)
        steps, unset = make_schedule(self.stream, stream).steps, type(self).max_steps
        if self.max_steps not in (unset, steps):
            raise BadInput(
                f"max_steps is {self.max_steps}, and the tasks with stage_steps {self.stage_steps} and stream "
                f"'{self.stream or SEQUENCE}' make {steps}; leave max_steps out, or change stage_steps."
            )
        if steps > MOST_STEPS:
            raise BadInput(f"max_steps must be at most {MOST_STEPS:,}, got {steps:,}; check stage_steps and stream.")
        return steps

    def _derive_batches(self) -> None:
        """Derive gradient_accumulation_steps from problems_per_step, whatever the number of processes."""
        processes = int(os.environ.get("WORLD_SIZE", "1"))
        rows = self.problems_per_step * self.num_generations
        if rows % processes:
            raise BadInput(f"problems_per_step x num_generations ({rows}) must divide by the {processes} processes.")
        local = rows // processes
        size = max(n for n in range(1, min(self.per_device_train_batch_size, local) + 1) if local % n == 0)
        self.per_device_train_batch_size = size
        self.gradient_accumulation_steps = local // size
        self.generation_batch_size = None
        self.steps_per_generation = None


def own_fields() -> list[str]:
    """List the settings that are ours or have another default than TRL's, in reading order: the short help, and what
    config.yaml always shows."""
    return [name for name, spec in SPECS.items() if not spec.inherited]


def bundled_fields() -> list[str]:
    """List the settings that a bundle keeps for whoever evaluates the bundle."""
    return [name for name, spec in SPECS.items() if spec.in_bundle]
