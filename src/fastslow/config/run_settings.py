"""The settings of the run and of its cycle.

They stand here because the packages they belong to, `loop` and `run`, lie above `config`, which could not import them.
"""

from __future__ import annotations

from dataclasses import dataclass

from fastslow.core.modes import MODES
from fastslow.core.settings import SettingsGroup, inherited, setting

MOST_STEPS = 1_000_000  # TRL is given a row for every problem of every step


@dataclass
class RunSettings(SettingsGroup):
    """Which channels learn, and for how long."""

    title = "Run"

    mode: str = setting(
        "fst",
        "Which channels learn: 'fst' both, 'rl' weights only, 'prompt' contexts only, 'prompt_rl' contexts first and "
        "then weights, 'rl_prompt' the other way round; 'supervised' weights from the data's right answers, "
        "'rejection' weights from those rollouts that earned full reward, 'self_distillation' weights from the model's "
        "own judgement with the right answer before it; 'consolidate' both, and what the contexts do goes into the "
        "weights; 'retrieval' nothing: the answers of similar questions are put before a new one.",
        choices=tuple(MODES),
        in_bundle=True,
    )
    from_bundle: str = setting(
        "",
        "Bundle or finished run whose weights, contexts, archive, clusters and router this run starts from "
        "(--from for short); drift is still measured from `model`, the base of both.",
    )
    max_steps: int = setting(
        30, "Length of the run; with several tasks it follows from their stream.", unit="optimiser steps", at_least=1,
        at_most=MOST_STEPS,
    )  # fmt: skip
    max_minutes: float | None = setting(
        None,
        "Wall time of the run, over all its resumes: a step that would end later, judged by the longest so far, does "
        "not begin. The run then stops as on SIGTERM, with exit code 0.",
        unit="minutes",
        above=0,
        incidental=True,
    )
    seed: int = inherited(
        42, "The run's seed: order of examples, sampling, proposals.", at_least=0, at_most=2**32 - 1, in_bundle=True
    )


@dataclass
class CycleSettings(SettingsGroup):
    """The size of a step, the steps between fast phases, and what the channels hand each other."""

    title = "Cycle of the two channels"

    slow_steps_per_cycle: int = setting(
        6, "T: steps between fast phases. The paper uses 6.", unit="optimiser steps", at_least=1, channel="fast"
    )
    consolidation_share: float = setting(
        0.5,
        "Mode consolidate: the share of a cycle's slow steps, the last ones, that draw answers under the seed context "
        "to those under the cycle's contexts.",
        at_least=0,
        at_most=1,
        channel="slow",
    )
    consolidation_rate: float = setting(
        1.0,
        "Mode consolidate: learning rate of these steps as a multiple of `learning_rate`; it does not decay.",
        above=0,
        channel="slow",
    )
    problems_per_step: int = setting(
        8, "B: problems per optimiser step, each rolled out num_generations times.", unit="problems", at_least=1
    )
    num_generations: int = inherited(
        8, "G: rollouts per problem, whose spread is the signal (1 needs a critic); in mode fst a multiple of "
        "population_size.",
        unit="rollouts", at_least=1,
    )  # fmt: skip
    reuse_fast_rollouts: bool = setting(
        True, "Serve the fast phase's rollouts to matching slots of the slow steps.", channel="fast"
    )
    reuse_slow_rollouts: bool = setting(
        True, "Show the slow steps' rollouts to the proposers of the next fast phase.", channel="fast"
    )
