"""End a run on a signal, with everything saved; on a second signal at once.

The run ends after the current step, or at once within a fast phase or an evaluation, which a resume makes again. A
terminal that closes ends nothing: SIGHUP, which it sends, is only noted.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from fastslow.run.trainer import FastSlowTrainer

SIGNALS = {"SIGINT": 130, "SIGTERM": 143}


@contextmanager
def stop_on_signals(trainer: FastSlowTrainer) -> Iterator[None]:
    """Have SIGINT and SIGTERM end the run as `FastSlowTrainer.stop` does, and a second signal at once."""
    previous: dict[int, Any] = {}
    display, run = trainer.recorder.display, trainer.recorder.run

    def go_on(number: int, frame: Any) -> None:
        where = f", and fastslow watch {run.path} shows it" if run is not None else ""
        display.note(f"SIGHUP: the terminal was closed; the run goes on{where}. To stop it: kill {os.getpid()}")

    def handle(number: int, frame: Any) -> None:
        trainer.stop(signal.Signals(number).name)
        display.note(
            f"{signal.Signals(number).name}: stopping after this step; everything will be saved. A fast phase or an "
            "evaluation ends now and is made again by resume. Again to stop at once."
        )
        for name in SIGNALS:
            signal.signal(signal.Signals[name], previous[signal.Signals[name]])

    try:
        previous = {number: signal.signal(number, handle) for number in map(signal.Signals.__getitem__, SIGNALS)}
        if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:  # else it is ignored (nohup), or a caller's own matter
            previous[signal.SIGHUP] = signal.signal(signal.SIGHUP, go_on)
    except ValueError:  # not the main thread, as in a notebook or a server: their own handlers stay
        previous = {}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def exit_code(summary: Mapping[str, Any]) -> int:
    """Return 0 for a run that is finished or has used its time up, 128 + number for one that a signal stopped."""
    status = str(summary.get("status", "done"))
    return next((code for name, code in SIGNALS.items() if status.endswith(name)), 0)
