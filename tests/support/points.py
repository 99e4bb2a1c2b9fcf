"""Named points of a run at which a test cuts it off: before or after the k-th call of some function of ours."""

from __future__ import annotations

import functools
import importlib
import time
from collections.abc import Callable
from typing import Any

POINTS = {
    # phase: point -> module, attribute
    "fast": ("fastslow.fast.gepa", "Adapter.batch_evaluate"),
    "proposal": ("fastslow.fast.gepa", "Adapter.propose_new_texts"),
    "slow": ("fastslow.loop.groups", "GroupMaker.roll_out"),
    "route": ("fastslow.loop.cycle", "Cycle._route"),
    "update": ("fastslow.slow.trainer", "SlowTrainer._get_grad_norm"),
    "line": ("fastslow.files.run_directory", "RunDirectory.append"),
    "eval": ("fastslow.run.trainer", "FastSlowTrainer.measure"),
    "save": ("fastslow.run.checkpoints", "Checkpointing.save"),
    "state": ("fastslow.files.snapshot", "take"),
    "tensors": ("fastslow.files.snapshot", "write_tensors"),
    "wait": ("fastslow.files.background", "Background.wait"),
    "sync": ("fastslow.files.atomic", "sync"),
    "seal": ("fastslow.files.sealed", "seal"),
    "commit": ("fastslow.files.sealed", "Checkpoints.commit"),
    "prune": ("fastslow.files.sealed", "Checkpoints.prune"),
    "discard": ("fastslow.files.atomic", "discard"),
    "bundle": ("fastslow.run.closing", "write_bundle"),
    "base": ("fastslow.evaluation.evaluator", "Evaluator.measure_base"),
    "file": ("fastslow.files.run_directory", "RunDirectory.write_bytes"),
    "tidy": ("fastslow.files.sealed", "Checkpoints.drop_all_but_milestones"),
    # of a resume
    "rewind": ("fastslow.run.train", "rewind"),
    "truncate": ("fastslow.files.run_directory", "RunDirectory.rewind"),
    "restore": ("fastslow.slow.trainer", "load_weights"),
    "counters": ("fastslow.slow.state", "SlowState.restore_counters"),
}

OF_A_REGISTRY = {
    "copy": ("fastslow.registry.versions", "copy"),
    "version": ("fastslow.files.manifest", "seal"),
    "place": ("fastslow.files.atomic", "put_in_place"),
    "line": ("fastslow.files.jsonl", "append"),
    "cut": ("fastslow.files.jsonl", "cut_torn_line"),
    "aliases": ("fastslow.registry.log", "Log.mirror"),
    "write": ("fastslow.files.atomic", "write_file"),
    "disk": ("fastslow.files.atomic", "sync"),
    "check": ("fastslow.registry.versions", "verify"),
    "sweep": ("fastslow.registry.versions", "sweep"),
}
"""Points of adding, promoting and rolling back, as `registry/NAME`."""


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
    module, path = OF_A_REGISTRY[point.removeprefix("registry/")] if "/" in point else POINTS[point]
    owner: Any = importlib.import_module(module)
    *parents, name = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    return owner, name
