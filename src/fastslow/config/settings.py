"""Define the one configuration class: the settings of every package, joined in front of TRL's GRPOConfig.

A new setting is one field in the `settings.py` of the package that it concerns; flag, recipe key, help, check and
config.yaml follow from the field.
"""

from __future__ import annotations

from dataclasses import MISSING, Field, dataclass, fields
from functools import wraps
from typing import Any, TypeVar, cast

import torch

from fastslow.config.checks import check_rules
from fastslow.config.groups import GROUPS, SPECS, AllSettings
from fastslow.config.run_settings import MOST_STEPS
from fastslow.core.errors import BadInput, in_one_line
from fastslow.core.machine import all_processes, bf16_is_fast, is_out_of_memory
from fastslow.core.modes import MODES
from fastslow.core.paths import absolute
from fastslow.core.registry import did_you_mean
from fastslow.core.settings import WORDS, check_settings, check_text, check_type, hints_of, kinds_of
from fastslow.policy.loading import EMBEDDED
from fastslow.slow.settings import ONE_LEVEL
from fastslow.streams import SEQUENCE, Setting, make_schedule
from fastslow.tasks.names import with_paths

C = TypeVar("C")

# Settings of TRL and transformers that say where and how, not what; that are derived; or that may hold a secret.
NOT_IN_CONFIG = {
    "gradient_accumulation_steps", "generation_batch_size", "steps_per_generation", "num_generations_eval",
    "shuffle_dataset", "remove_unused_columns", "hub_token", "push_to_hub_token", "deepspeed_plugin",
    "distributed_state", "logging_dir", "local_rank", "debug", "dataloader_pin_memory", "use_cpu",
}  # fmt: skip


def _with_hints(made: type[C]) -> type[C]:
    """Let a dataclass refuse a name that is no setting with the nearest one, in the place of a bare TypeError. Its
    signature stays."""
    plain = made.__init__

    @wraps(plain)
    def init(self: Any, *args: Any, **given: Any) -> None:
        known = {f.name for f in fields(made) if f.init}  # pyrefly: ignore[bad-argument-type]
        for name in given:
            if name not in known:
                close = did_you_mean(name, known) or " docs/configuration.md lists them."
                raise BadInput(f"{made.__name__} has no setting '{name}'.{close}")
        plain(self, *args, **given)

    made.__init__ = init
    return made


# Where a group and GRPOConfig both have a field, the group's counts, and it may be of another type (None of a rate).
@_with_hints
@dataclass
class FastSlowConfig(AllSettings):
    """The settings of a run: one flat dataclass of the groups above, in the reading order of the help.

    Every setting of GRPOConfig can be set as well. A setting that a group declares is new, or has another default than
    TRL's for the reason given in its help, or is TRL's own with bounds added (`inherited`).

    Raises:
        BadInput: for a name that is no setting, and for a value that its field, its group or the rules between groups
            refuse.
    """

    def __post_init__(self) -> None:
        unset = [f.name for f in fields(self) if f.init and getattr(self, f.name) == default_of(f)]
        self._check_types()
        check_settings(self, SPECS)
        for group in GROUPS:
            group.check(self)
        check_rules(self)
        self._fix_paths()
        if self.epsilon_high is None and self.loss_type == "cispo":
            self.epsilon_high = 4.0
        self.importance_sampling_level = self.importance_sampling_level or ONE_LEVEL.get(self.loss_type, "token")
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
        group, rows = self.num_generations, self.problems_per_step * self.num_generations
        try:
            self.num_generations = group if group > 1 else rows  # TRL compares rewards and refuses a group of one
            super().__post_init__()
        except Exception as error:  # a value may break any of the libraries' rules, or their code, which trusts it
            if is_out_of_memory(error):
                raise
            raise BadInput(f"the settings are refused: {in_one_line(error)}") from error
        finally:
            self.num_generations = group
        self.learning_rate = chosen_rate
        # What was made of settings that nobody gave, for config.yaml, which leaves it out.
        self.derived = {name: getattr(self, name) for name in unset}

    def _check_types(self) -> None:
        """Check the types of all settings, TRL's too, and make floats of whole numbers where TRL wants floats."""
        hints = hints_of(type(self))
        for f in fields(self):
            value, types = getattr(self, f.name), kinds_of(hints[f.name])
            unset = value is f.default or (value is None and list in types)  # None: a list that no flag names
            if f.init and not unset and set(types) <= set(WORDS):
                check_type(f.name, value, hints[f.name])
            check_text(f.name, value)
            if type(value) is int and float in types and isinstance(f.default, float):
                setattr(self, f.name, float(value))
        if self.report_to is None:
            self.report_to = "none"
        else:
            listed = [self.report_to] if isinstance(self.report_to, str) else self.report_to
            names = [name.strip() for text in listed for name in text.split(",")]
            self.report_to = list(filter(None, names)) or names

    def _fix_paths(self) -> None:
        """Make the paths of what exists here absolute: resumed, and in its bundle, a run finds it from any folder."""
        for name in ("model", "from_bundle", "reflection_model", "deepspeed", "accelerator_config", "fsdp_config"):
            value = getattr(self, name)
            if value and isinstance(value, str) and value != EMBEDDED:
                setattr(self, name, absolute(value))
        self.task = with_paths(self.task, absolute) if self.task else self.task
        self.tasks = [with_paths(name, absolute) for name in self.tasks] if self.tasks else self.tasks

    def _steps_of(self, tasks: list[str]) -> int:
        """Return the steps that the stream of several tasks takes. Raises BadInput where max_steps gives another
        number."""
        stream = Setting(len(tasks), self.stage_steps, self.problems_per_step, self.seed)
        steps, unset = make_schedule(self.stream, stream).steps, cast(Any, type(self)).max_steps
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
        processes = all_processes()
        self.per_device_train_batch_size = self.rows_of_a_forward(processes)
        rows = self.problems_per_step * self.num_generations
        self.gradient_accumulation_steps = rows // processes // self.per_device_train_batch_size
        self.generation_batch_size = None
        self.steps_per_generation = None

    @property
    def questions_per_step(self) -> int:
        """Questions of a step: as many as it has rows where it makes no rollouts, but takes the data's answers."""
        return self.problems_per_step * (1 if MODES[self.mode].samples else int(self.num_generations or 1))

    def rows_of_a_forward(self, processes: int) -> int:
        """Return the rollouts of a micro-batch where `processes` share those of a step: at most
        per_device_train_batch_size. Raises BadInput where they cannot be shared out evenly."""
        rows = self.problems_per_step * self.num_generations
        if rows % processes:
            raise BadInput(f"problems_per_step x num_generations ({rows}) must divide by the {processes} processes.")
        local = rows // processes
        return max(n for n in range(1, min(self.per_device_train_batch_size, local) + 1) if local % n == 0)


def default_of(field: Field[Any]) -> Any:
    """Return the default of a setting; None where it has none."""
    if field.default is not MISSING:
        return field.default
    return field.default_factory() if field.default_factory is not MISSING else None


def own_fields() -> list[str]:
    """List the settings that are ours or have another default than TRL's, in reading order: the short help, and what
    config.yaml always shows."""
    return [name for name, spec in SPECS.items() if not spec.inherited]


def foreign_settings(config: FastSlowConfig) -> list[str]:
    """List the settings with another value than their default that only the libraries can judge."""
    ours = FastSlowConfig(**{name: getattr(config, name) for name in SPECS})
    theirs = {f.name for f in fields(config) if f.init} - set(SPECS) - (NOT_IN_CONFIG - {"debug"})
    judged = {"lr_scheduler_type", "report_to", "gradient_checkpointing"}  # declared here, and checked by them
    default = FastSlowConfig.__dataclass_fields__
    changed = {name for name in theirs if getattr(config, name) != getattr(ours, name)}
    changed |= {n for n in judged if getattr(config, n) not in (default[n].default, [])}
    return sorted(changed)


def compute_type(config: FastSlowConfig) -> str:
    """Return the type that rollouts and evaluations compute in, by torch's name; the weights are fp32."""
    return "bfloat16" if config.bf16 else "float16" if config.fp16 else "float32"


def bundled_fields() -> list[str]:
    """List the settings that a bundle keeps for whoever evaluates the bundle."""
    return [name for name, spec in SPECS.items() if spec.in_bundle]
