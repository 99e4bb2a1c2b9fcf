"""Train an LLM through two channels at once.

**Fast weights** are a population of textual contexts, evolved by GEPA; **slow weights** are the model's parameters,
updated by RL through TRL. Data flows through the packages in this order:

    tasks -> streams -> topics -> contexts -> policy -> routers -+-> slow (weights)
                                                                 +-> fast (contexts)
    tasks -> contexts -> policy -> evaluation -> record -> report
                                   evaluation -> gate -> registry

`loop` drives the first line, `run` both.

- `core`: the words used everywhere. `files`: crash-safe files. `sandbox`: runs foreign code.
- `tasks`: sources of examples with a scorer. `streams`: the order of examples. `topics`: which of them belong together.
- `contexts`: the fast weights as values. `policy`: answers examples under contexts.
- `routers`: decide which channel takes a group. `fast`, `slow`: the two channels. `loop`: the cycle that couples them.
- `evaluation`: accuracy and drift. `metrics`: measures as pure functions. `bundles`: what a run ships.
- `config`: the settings. `costs`: what a run will cost. `run`: one run. `experiments`: many runs.
- `record`, `report`: files, display and reports.
- `gate`: may a bundle be released? `registry`: what was released.
- `export`: a bundle as a folder for stock servers. `serving`: answers requests under the contexts of a release.
- `cli`: the command line.

A package imports only packages of lower layers; CONTRIBUTING.md lists the layers, and `[tool.importlinter]` in
pyproject.toml checks them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastslow.bundles.contexts import open_contexts
    from fastslow.config.settings import FastSlowConfig
    from fastslow.core.errors import BadInput, FastSlowError
    from fastslow.run.train import train
    from fastslow.run.trainer import FastSlowTrainer

__all__ = ["BadInput", "FastSlowConfig", "FastSlowError", "FastSlowTrainer", "open_contexts", "train"]

_HOMES = {
    "BadInput": "core.errors",
    "FastSlowError": "core.errors",
    "FastSlowConfig": "config.settings",
    "FastSlowTrainer": "run.trainer",
    "open_contexts": "bundles.contexts",
    "train": "run.train",
}


def __getattr__(name: str) -> Any:
    # torch and trl take seconds to import; `fastslow --help` should not wait for them.
    if name not in _HOMES:
        raise AttributeError(f"module 'fastslow' has no attribute '{name}'")
    import importlib

    value = getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value
