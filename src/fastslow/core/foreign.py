"""Call code that is not ours: a user's tasks, scorers, routers, streams, embedders and proposers.

Every such call goes through `call`, so that what a run suffers from foreign code is decided in one place. What that
code raises becomes an exception that can be caught, what it prints goes to standard error, and what it changes in the
process that a run depends on is put back. `fresh` makes the copies that it is given.

Not covered: `os._exit`, a crash of the interpreter, a loop without an end, environment variables, logging, warning
filters, and threads that go on after the call. docs/extending.md says so.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, TypeVar

from fastslow.core.errors import FastSlowError

logger = logging.getLogger(__name__)

T = TypeVar("T")

SAID_CHARS = 300
"""Most characters of a foreign exception's own words in a message."""

GRACE_SECONDS = 10.0
"""Seconds that threads left behind get to end, once a command is done."""

SIGNALS = (signal.SIGINT, signal.SIGTERM)
"""Signals that end a run in order."""

_reported: set[tuple[str, str]] = set()


class Failed(FastSlowError):
    """Raised where foreign code raised anything but KeyboardInterrupt; the message is one line, `Kind: its words`."""


def call(function: Callable[..., T], *args: Any, who: str, through: tuple[type[BaseException], ...] = ()) -> T:
    """Return what a function of the user's returns.

    Args:
        function: the function, called with `args`.
        who: the user's object, as the log names it where it changed something of the process.
        through: exceptions that rise as they are.

    Raises:
        Failed: for every other exception, those that are no `Exception` (SystemExit, GeneratorExit, asyncio's
            CancelledError) included. KeyboardInterrupt alone passes: it belongs to whoever sits at the keyboard.
    """
    process = os.getpid()
    try:
        with _unchanged_process(who):
            return function(*args)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        if os.getpid() != process:
            _leave_fork(error)
        if isinstance(error, BaseExceptionGroup) and error.subgroup(KeyboardInterrupt):
            raise KeyboardInterrupt from error
        if isinstance(error, through):
            raise
        raise Failed(words(error)) from error
    finally:
        if os.getpid() != process:
            os._exit(1)  # a fork that was never ended would go on as a second run in the same directory


def words(error: BaseException) -> str:
    """Return `Kind: what it says` in one line; an exception of the user's may fail even at that."""
    if isinstance(error, Failed):
        return str(error)
    try:
        said = " ".join(str(error).split())
    except Exception:
        said = ""
    said = said if len(said) <= SAID_CHARS else said[:SAID_CHARS] + "..."
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def ours(thing: object) -> bool:
    """Return whether the class of this object is part of this package."""
    return type(thing).__module__.partition(".")[0] == __name__.partition(".")[0]


def fresh(value: T) -> T:
    """Return a copy of plain nested containers, so that nothing that is done to the copy changes the original.

    Dicts, lists, tuples and sets are copied; all else is shared, as copying it may cost anything or fail, and so is a
    value that is nested without end.
    """
    try:
        return _copy(value)
    except RecursionError:
        return value


def _copy(value: Any) -> Any:
    kind = type(value)
    if kind is dict:
        return {key: _copy(part) for key, part in value.items()}
    if kind is list:
        return [_copy(part) for part in value]
    if kind is tuple:
        return tuple([_copy(part) for part in value])
    return set(value) if kind is set else value


@contextlib.contextmanager
def output_aside() -> Iterator[None]:
    """Send to standard error what this process and its children write to standard output meanwhile, so that only a
    command's own result stands there."""
    out = sys.stdout
    try:
        out.flush()
        kept = os.dup(1)
        os.dup2(2, 1)
    except (OSError, AttributeError):  # one of the streams is closed
        kept = None
    sys.stdout = sys.stderr
    try:
        yield
    finally:
        sys.stdout = out
        if kept is not None:
            os.dup2(kept, 1)
            os.close(kept)


def end_despite_leftovers(code: int, *, grace: float = GRACE_SECONDS) -> NoReturn:
    """Exit with this code. A thread or child process that foreign code left behind is waited for `grace` seconds, then
    named, and the process ends without it."""
    threads = [t for t in threading.enumerate() if not t.daemon and t is not threading.current_thread()]

    def watch() -> None:
        while True:
            time.sleep(grace)
            children = [c for c in _children() if not c.daemon]
            held = [t.name for t in threads if t.is_alive()] + [c.name for c in children]
            if held:
                print(f"fastslow: ended, though {', '.join(held)} still ran (left behind by the user's code)",
                      file=sys.stderr, flush=True)  # fmt: skip
                for child in children:
                    child.terminate()
                os._exit(code)

    threading.Thread(target=watch, daemon=True, name="fastslow-end").start()
    sys.exit(code)


def _children() -> list[Any]:
    """Return the children that Python would wait for at the end."""
    multiprocessing = sys.modules.get("multiprocessing")
    return multiprocessing.active_children() if multiprocessing is not None else []


@contextlib.contextmanager
def _unchanged_process(who: str) -> Iterator[None]:
    """Send what is printed to standard error, and put back what the call changed in this process."""
    before, out = _state(), sys.stdout
    sys.stdout = sys.stderr
    try:
        yield
    finally:
        sys.stdout = out
        for name, (now, was) in _differences(_state(), before).items():
            with contextlib.suppress(OSError, ValueError):  # a folder that is gone, a handler that is not Python's
                _RESTORE[name](was)
            if (who, name) not in _reported:
                _reported.add((who, name))
                logger.warning("%s changed %s; it was put back (now %.60s)", who, name, now)


def _state() -> dict[str, Any]:
    """Return what a run depends on and foreign code may change, where reading it costs next to nothing."""
    state: dict[str, Any] = {"standard error": sys.stderr, "the working folder": _folder()}
    if threading.current_thread() is threading.main_thread():
        state |= {f"the handler of {s.name}": signal.getsignal(s) for s in SIGNALS}
        if hasattr(signal, "getitimer"):
            state["the alarm"] = signal.getitimer(signal.ITIMER_REAL)[0] > 0
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "get_num_threads"):  # a module that is being imported lacks it
        state["torch's default type"] = torch.get_default_dtype()
        state["torch's gradients"] = torch.is_grad_enabled()
        state["torch's threads"] = torch.get_num_threads()
    return state


def _differences(now: dict[str, Any], before: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return what changed, as (now, before). An alarm that was set before, and is over, is no change of the call's."""
    changed = {name: (now[name], was) for name, was in before.items() if name in now and now[name] != was}
    if changed.get("the alarm") == (False, True):
        del changed["the alarm"]
    return changed


_RESTORE: dict[str, Callable[[Any], Any]] = {
    "standard error": lambda was: setattr(sys, "stderr", was),
    "the working folder": lambda was: was and os.chdir(was),
    **{f"the handler of {s.name}": lambda was, s=s: was and signal.signal(s, was) for s in SIGNALS},
    "the alarm": lambda was: signal.setitimer(signal.ITIMER_REAL, 0.0),
    "torch's default type": lambda was: sys.modules["torch"].set_default_dtype(was),
    "torch's gradients": lambda was: sys.modules["torch"].set_grad_enabled(was),
    "torch's threads": lambda was: sys.modules["torch"].set_num_threads(was),
}


def _folder() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # it was removed
        return None


def _leave_fork(error: BaseException) -> None:
    """End a forked child as Python would have ended it."""
    code = error.code if isinstance(error, SystemExit) else 1
    os._exit(code if isinstance(code, int) else int(code is not None))
