"""The settings of the tasks: what is learned, and how many examples there are of it."""

from __future__ import annotations

from dataclasses import dataclass

from fastslow.core.settings import SettingsGroup, setting


@dataclass
class TaskSettings(SettingsGroup):
    """What is learned, and how many examples there are of it."""

    title = "Tasks and their examples"

    task: str = setting(
        "", "Task, e.g. 'reasoning_gym:products?max_terms=2' or 'jsonl:my.jsonl?scorer=my.module:score'.",
        in_bundle=True,
    )  # fmt: skip
    tasks: list[str] | None = setting(  # noqa: RUF009 - the default is None
        None, "Several tasks instead of one, learned one after another in one run: --tasks A B C --stage_steps 20.",
        in_bundle=True,
    )  # fmt: skip
    train_size: int | None = setting(
        None, "Most training examples; default: 1000 of a generator, all of a file.", unit="examples", at_least=1,
        in_bundle=True,
    )  # fmt: skip
    validation_size: int = setting(
        64, "Validation examples held out, at most.", unit="examples", at_least=1, in_bundle=True
    )
    test_size: int = setting(
        64, "Test examples held out, at most; training never looks at them.", unit="examples", at_least=0,
        in_bundle=True,
    )  # fmt: skip
    data_seed: int = setting(
        0, "Seed of generated data, apart from the run's seed so that seeds share their data.", in_bundle=True
    )
