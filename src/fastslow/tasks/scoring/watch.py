"""Limit the processor time of code that cannot be stopped otherwise, in any thread.

The limit of math-verify is an alarm signal: it works in the main thread only, raises in others, counts whole seconds,
and counts the wall clock, so that a busy machine would change verdicts. Here a second thread watches the processor time
of the first and, past the limit, makes Python raise in the first. As with an alarm, that happens between two steps of
the interpreter: a single call into C, such as a power of a thousand digits, must be kept small by other means.
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
LOOK_SECONDS = 0.02


class Expired(BaseException):
    """Raised when the limit is over. Not an Exception, because math-verify and SymPy catch those."""


def within(seconds: float, call: Callable[[], T]) -> T:
    """Return the result of `call`. Raises TimeoutError where the call used up `seconds` of this thread's processor
    time.

    On systems without clocks per thread (macOS, Windows) the wall clock is measured.
    """
    watched, lock, over, fired = threading.get_ident(), threading.Lock(), threading.Event(), threading.Event()
    clock = _clock_of(watched)
    end = clock() + seconds

    def watch() -> None:
        while not over.wait(LOOK_SECONDS):
            with lock:
                if not over.is_set() and clock() >= end:
                    fired.set()
                    _raise_in(watched)  # again and again: a bare `except` may have swallowed the last one

    watcher = threading.Thread(target=watch, daemon=True, name="fastslow-watch")
    try:
        watcher.start()
        try:
            return call()
        finally:
            with lock:
                over.set()
    except Expired:
        with lock:
            over.set()
        raise TimeoutError(f"took longer than {seconds:g} s of processor time") from None
    finally:
        if fired.is_set():
            _settle(watched)


def _settle(thread: int) -> None:
    """Receive an exception that is on its way to this thread and may not have arrived.

    The exception is received and not cancelled: after a cancelled one Python 3.11 looks for it for ever, between any
    two steps, and with a tracer (a debugger, coverage, hypothesis) it never reaches the next step.
    """
    try:
        _raise_in(thread)
        while True:
            pass
    except Expired:
        return


def _clock_of(thread: int) -> Callable[[], float]:
    if not hasattr(time, "pthread_getcpuclockid"):
        return time.monotonic
    clock_id = time.pthread_getcpuclockid(thread)
    return lambda: time.clock_gettime(clock_id)


def _raise_in(thread: int) -> None:
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(Expired))
