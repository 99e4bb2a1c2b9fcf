"""fastslow trains an LLM through two channels at once.

**Fast weights** are a population of textual contexts evolved by GEPA; **slow weights** are the model's parameters,
updated by RL through TRL. An example walks one way through the package:

    task -> stream -> population -> policy -> verdicts -> router -+-> trainer (weights)
                                                                  +-> fast (contexts)
         -> evaluation -> run_dir

- `tasks`: sources of examples with a scorer (`sandbox` runs code for them); `types`: the words used everywhere.
- `stream`, `streams`: the order of examples, known ahead. `contexts`, `population`: the fast weights.
- `topics`: what the learner knows of its stream, by `labels` or by `clusters` (with `embedders`, `change_points`), and
  the `archive` of what each topic did best with.
- `policy`: answers examples under contexts, over a `sampler` that pays for shared prefixes once.
- `routers`: decide which channel absorbs a group.
- `fast` (with `gepa_adapter` and `proposers`): one GEPA phase. `slow` (with `batching`, `packing`, `layout`): TRL's
  trainer on live rows as token trees. `trainer` (with `reuse`): the loop that couples the two.
- `train`: a whole run; `recorder`, `run_dir`, `display`: what it leaves behind and shows; `cli`: the command line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastslow.config.settings import FastSlowConfig
    from fastslow.core.errors import BadInput, FastSlowError
    from fastslow.run.train import train
    from fastslow.run.trainer import FastSlowTrainer

__all__ = ["BadInput", "FastSlowConfig", "FastSlowError", "FastSlowTrainer", "train"]

_HOMES = {
    "BadInput": "core.errors",
    "FastSlowError": "core.errors",
    "FastSlowConfig": "config.settings",
    "FastSlowTrainer": "run.trainer",
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
