"""Write a FastSlowConfig as the text of config.yaml, which makes the same run again."""

from __future__ import annotations

import os
from dataclasses import fields
from typing import Any

import yaml

from fastslow.config.settings import NOT_IN_CONFIG, FastSlowConfig, default_of, own_fields


def dump_config(config: FastSlowConfig, *, own_task: bool = False) -> str:
    """Write every setting of ours, and every inherited one that was given and differs from its default, as YAML.

    The seed is always written, because readers of a run ask for it. With `own_task`, the run was given a task object in
    the place of the one that the settings name, and no task is written.
    """
    ours = own_fields()
    out: dict[str, Any] = {name: getattr(config, name) for name in ours}
    for f in fields(config):
        value = getattr(config, f.name)
        plain = isinstance(value, (str, int, float, bool, list, dict, type(None)))
        unset = f.name in config.derived and value == config.derived[f.name]
        shown = (value != default_of(f) and not unset) or f.name == "seed"
        if shown and plain and f.init and f.name not in ours and f.name not in NOT_IN_CONFIG:
            out[f.name] = value
    if own_task:
        out |= {"task": "", "tasks": None}
    out["output_dir"] = os.path.abspath(str(config.output_dir))  # what it names has its place from there
    return yaml.safe_dump({k: getattr(v, "value", v) for k, v in out.items()}, sort_keys=False, allow_unicode=True)
