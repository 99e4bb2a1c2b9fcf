"""The settings of the bundle: whether a run ships one."""

from __future__ import annotations

from dataclasses import dataclass

from fastslow.core.settings import SettingsGroup, setting


@dataclass
class BundleSettings(SettingsGroup):
    """Whether a run ships its weights."""

    title = "Bundle"

    save_bundle: bool = setting(True, "Write weights and population at the end; off, a run leaves only its numbers.")
