"""End a run on a signal, with everything saved; on a second signal at once.

The run ends after the current step, or at once within a fast phase or an evaluation, which a resume makes again. A
terminal that closes sends SIGHUP, often twice: the second one is nobody's wish to hurry.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from fastslow.run.trainer import FastSlowTrainer

SIGNALS = {"SIGHUP": 129, "SIGINT": 130, "SIGTERM": 143}


@contextmanager
def stop_on_signals(trainer: FastSlowTrainer) -> Iterator[None]:
    """Have signals end the run as `FastSlowTrainer.stop` does, and a second SIGINT or SIGTERM at once. SIGHUP is left
    alone where it is ignored (`nohup`) or handled by the caller."""
    previous: dict[int, Any] = {}

    def handle(number: int, frame: Any) -> None:
        trainer.stop(signal.Signals(number).name)
        trainer.recorder.stopping(
            f"{signal.Signals(number).name}: stopping after this step; everything will be saved. A fast phase or an "
            "evaluation ends now and is made again by resume. Again to stop at once."
        )
        for own, handler in previous.items():
            signal.signal(own, signal.SIG_IGN if own == signal.SIGHUP else handler)

    try:
        for number in map(signal.Signals.__getitem__, SIGNALS):
            if number != signal.SIGHUP or signal.getsignal(number) is signal.SIG_DFL:
                previous[number] = signal.signal(number, handle)
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
