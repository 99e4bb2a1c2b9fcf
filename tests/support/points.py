"""Named points of a run at which a test cuts it off: before or after the k-th call of some function of ours."""

from __future__ import annotations

import functools
import importlib
import time
from collections.abc import Callable
from typing import Any

POINTS = {
    # phase: point -> module, attribute
    "fast": ("fastslow.gepa_adapter", "Adapter.batch_evaluate"),
    "proposal": ("fastslow.gepa_adapter", "Adapter.propose_new_texts"),
    "slow": ("fastslow.trainer", "FastSlowTrainer._roll_out"),
    "route": ("fastslow.trainer", "FastSlowTrainer._route"),
    "update": ("fastslow.slow", "SlowChannel._get_grad_norm"),
    "line": ("fastslow.run_dir", "RunDirectory.append"),
    "eval": ("fastslow.trainer", "FastSlowTrainer.measure"),
    "save": ("fastslow.resumable", "ResumableTrainer._save_checkpoint"),
    "state": ("fastslow.snapshot", "take"),
    "tensors": ("fastslow.snapshot", "write_tensors"),
    "wait": ("fastslow.saving", "Background.wait"),
    "sync": ("fastslow.checkpoint", "sync"),
    "seal": ("fastslow.checkpoint", "seal"),
    "commit": ("fastslow.checkpoint", "Checkpoints.commit"),
    "prune": ("fastslow.checkpoint", "Checkpoints.prune"),
    "discard": ("fastslow.checkpoint", "discard"),
    "bundle": ("fastslow.train", "write_bundle"),
    "base": ("fastslow.train", "measure_base"),
    "file": ("fastslow.run_dir", "RunDirectory.write_bytes"),
    "tidy": ("fastslow.checkpoint", "Checkpoints.drop_all_but_milestones"),
    # of a resume
    "rewind": ("fastslow.train", "rewind"),
    "truncate": ("fastslow.run_dir", "RunDirectory.rewind"),
    "restore": ("fastslow.snapshot", "restore_weights"),
    "counters": ("fastslow.snapshot", "restore_loop"),
}


def arm(point: str, count: int, strike: Callable[[], None], *, after: bool = False, patch: Any = setattr) -> None:
    """Have `strike` called before (or after) the `count`-th call of `point`, from 1."""
    owner, name = _place(point)
    real, calls = getattr(owner, name), [0]

    @functools.wraps(real)
    def counted(*args: Any, **kwargs: Any) -> Any:
        calls[0] += 1
        now = calls[0] == count
        if now and not after:
            strike()
        result = real(*args, **kwargs)
        if now and after:
            strike()
        return result

    patch(owner, name, counted)


def delay(point: str, seconds: float) -> None:
    """Have every call of `point` take `seconds` longer."""
    owner, name = _place(point)
    real = getattr(owner, name)

    @functools.wraps(real)
    def late(*args: Any, **kwargs: Any) -> Any:
        time.sleep(seconds)
        return real(*args, **kwargs)

    setattr(owner, name, late)


def _place(point: str) -> tuple[Any, str]:
    """Object and attribute of a point."""
    module, path = POINTS[point]
    owner: Any = importlib.import_module(module)
    *parents, name = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    return owner, name
