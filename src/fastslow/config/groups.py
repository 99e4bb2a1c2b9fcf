"""Every group of settings, joined to one flat dataclass in front of TRL's GRPOConfig, without any rule between them."""

from __future__ import annotations

from dataclasses import dataclass

from trl import GRPOConfig

from fastslow.bundles.settings import BundleSettings
from fastslow.config.run_settings import CycleSettings, RunSettings
from fastslow.contexts.settings import ContextSettings, SoftSettings
from fastslow.core.settings import SettingsGroup, Spec, specs_of
from fastslow.evaluation.settings import EvaluationSettings
from fastslow.fast.settings import FastSettings
from fastslow.files.settings import FileSettings
from fastslow.policy.settings import PolicySettings
from fastslow.record.settings import RecordSettings
from fastslow.routers.settings import RouterSettings
from fastslow.slow.settings import CriticSettings, RetentionSettings, SlowSettings
from fastslow.streams.settings import StreamSettings
from fastslow.tasks.settings import TaskSettings
from fastslow.topics.settings import TopicSettings


@dataclass
class AllSettings(  # pyrefly: ignore[inconsistent-inheritance]
    PolicySettings,
    TaskSettings,
    StreamSettings,
    TopicSettings,
    RunSettings,
    ContextSettings,
    SoftSettings,
    CycleSettings,
    FastSettings,
    RouterSettings,
    SlowSettings,
    CriticSettings,
    RetentionSettings,
    EvaluationSettings,
    FileSettings,
    RecordSettings,
    BundleSettings,
    GRPOConfig,
):
    """All fields of a run's settings, group by group in the reading order of the help."""


GROUPS: tuple[type[SettingsGroup], ...] = tuple(
    base for base in AllSettings.__bases__ if issubclass(base, SettingsGroup)
)
"""Dataclasses of settings, in reading order."""

SPECS: dict[str, Spec] = {name: spec for group in GROUPS for name, spec in specs_of(group).items()}
"""Name -> Spec of every declared setting, in reading order."""
