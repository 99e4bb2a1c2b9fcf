"""The one way into a user's code: whatever that code raises, prints or changes, a run can go on."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from fastslow.core import foreign
from fastslow.core.errors import BadInput, FastSlowError

ROOT = Path(__file__).parents[2]


class Own(BaseException):
    """An exception of the user's that no `except Exception` catches."""


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("not even that")


RAISED: list[tuple[BaseException, str]] = [
    (SystemExit(), "SystemExit"),
    (SystemExit(0), "SystemExit: 0"),
    (SystemExit("bye"), "SystemExit: bye"),
    (GeneratorExit(), "GeneratorExit"),
    (asyncio.CancelledError(), "CancelledError"),
    (Own("mine"), "Own: mine"),
    (BaseExceptionGroup("several", [SystemExit(1)]), "BaseExceptionGroup: several (1 sub-exception)"),
    (StopIteration(), "StopIteration"),
    (RecursionError("deep"), "RecursionError: deep"),
    (MemoryError(), "MemoryError"),
    (AssertionError(), "AssertionError"),
    (KeyError("a"), "KeyError: 'a'"),
    (ValueError("two\n  lines"), "ValueError: two lines"),
    (Mute(), "Mute"),
]


def raising(error: BaseException) -> Any:
    raise error


@pytest.mark.parametrize(("error", "said"), RAISED, ids=[said for _, said in RAISED])
def test_whatever_foreign_code_raises_becomes_an_exception_of_one_line(error: BaseException, said: str) -> None:
    with pytest.raises(foreign.Failed) as caught:
        foreign.call(raising, error, who="x")
    assert str(caught.value) == said
    assert isinstance(caught.value, FastSlowError)
    assert caught.value.__cause__ is error, "whoever debugs wants the traceback"


def test_long_words_are_cut() -> None:
    with pytest.raises(foreign.Failed) as caught:
        foreign.call(raising, ValueError("x" * 10_000), who="x")
    assert len(str(caught.value)) < foreign.SAID_CHARS + 30


@pytest.mark.parametrize("error", [KeyboardInterrupt(), BaseExceptionGroup("g", [KeyboardInterrupt(), ValueError()])])
def test_an_interrupt_at_the_keyboard_passes(error: BaseException) -> None:
    with pytest.raises(KeyboardInterrupt):
        foreign.call(raising, error, who="x")


def test_the_exceptions_named_pass_as_they_are() -> None:
    error = BadInput("no")
    with pytest.raises(BadInput) as caught:
        foreign.call(raising, error, who="x", through=(BadInput,))
    assert caught.value is error


def test_what_is_printed_goes_to_standard_error(capsys) -> None:
    assert foreign.call(lambda: print("hello") or 3, who="x") == 3
    assert capsys.readouterr() == ("", "hello\n")


CHANGES: dict[str, Any] = {
    "standard error": lambda: setattr(sys, "stderr", None),
    "the working folder": lambda: os.chdir("/"),
    "the handler of SIGINT": lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    "the handler of SIGTERM": lambda: signal.signal(signal.SIGTERM, signal.SIG_DFL),
    "the alarm": lambda: signal.setitimer(signal.ITIMER_REAL, 3600),
    "torch's default type": lambda: torch.set_default_dtype(torch.float64),
    "torch's gradients": lambda: torch.set_grad_enabled(False),
    "torch's threads": lambda: torch.set_num_threads(torch.get_num_threads() + 1),
}


@pytest.mark.parametrize("what", CHANGES)
@pytest.mark.parametrize("raises", [False, True], ids=["returning", "raising"])
def test_what_a_call_changed_in_the_process_is_put_back_and_logged_once(what: str, raises: bool, caplog) -> None:
    def call() -> None:
        CHANGES[what]()
        if raises:
            raise SystemExit

    # A suite that a shell started in the background has inherited that SIGINT is ignored.
    handlers = {each: signal.signal(each, lambda *_: None) for each in foreign.SIGNALS}
    try:
        before = foreign._state()
        with caplog.at_level(logging.WARNING, "fastslow"):
            for _ in range(2):
                try:
                    foreign.call(call, who=f"a scorer that is {raises}")
                except foreign.Failed:
                    assert raises
        assert foreign._state() == before
    finally:
        for each, handler in handlers.items():
            signal.signal(each, handler)
        signal.setitimer(signal.ITIMER_REAL, 0)
    assert [what in record.getMessage() for record in caplog.records] == [True]


def test_a_call_that_changes_nothing_logs_nothing(caplog) -> None:
    foreign.call(lambda: None, who="a quiet one")
    assert not caplog.records


def test_standard_output_that_is_replaced_is_put_back() -> None:
    out = sys.stdout
    foreign.call(lambda: setattr(sys, "stdout", None), who="x")
    assert sys.stdout is out


def test_a_call_in_another_thread_works_too() -> None:
    results: list[int] = []
    thread = threading.Thread(target=lambda: results.append(foreign.call(lambda: 3, who="x")))
    thread.start()
    thread.join()
    assert results == [3]


@pytest.mark.parametrize(("ends", "code"), [("os.fork() or sys.exit(7)", 7), ("os.fork()", 1), ("os.fork() or 1/0", 1)])
def test_a_fork_that_comes_back_does_not_go_on_as_a_second_run(ends: str, code: int) -> None:
    done = python(
        f"""
        import os, sys, warnings
        warnings.simplefilter("ignore")
        from fastslow.core import foreign
        foreign.call(lambda: {ends}, who="x")
        print("went on", flush=True)
        print(os.waitstatus_to_exitcode(os.wait()[1]))
        """
    )
    assert done.stdout.split("\n")[:2] == ["went on", str(code)], done


NESTED = {"a": [1, {"b": (2, [3])}], "s": {4}, "t": "text", "n": None}


def test_a_fresh_copy_shares_no_plain_container() -> None:
    copy: Any = foreign.fresh(NESTED)
    assert copy == NESTED
    copy["a"][1]["b"][1].append(5)
    copy["a"].clear()
    copy["s"].add(6)
    assert {"a": [1, {"b": (2, [3])}], "s": {4}, "t": "text", "n": None} == NESTED


def test_what_is_no_plain_container_is_shared() -> None:
    thing = object()
    assert foreign.fresh([thing])[0] is thing


def test_output_aside_keeps_even_that_of_child_processes_off_standard_output() -> None:
    done = python(
        """
        import subprocess, sys
        from fastslow.core import foreign
        with foreign.output_aside():
            print("said")
            subprocess.run(["echo", "echoed"])
        print("result")
        """
    )
    assert (done.stdout, sorted(done.stderr.split())) == ("result\n", ["echoed", "said"])


LEFT_BEHIND = {
    "thread": "threading.Thread(target=threading.Event().wait, name='stubborn').start()",
    "process": "multiprocessing.get_context('fork').Process(target=threading.Event().wait, name='stubborn').start()",
}


@pytest.mark.parametrize("kind", LEFT_BEHIND)
def test_what_foreign_code_left_running_is_named_and_does_not_hold_the_process(kind: str) -> None:
    done = python(
        f"""
        import multiprocessing, threading
        from fastslow.core import foreign
        {LEFT_BEHIND[kind]}
        print("done", flush=True)
        foreign.end_despite_leftovers(3, grace=0.2)
        """
    )
    assert (done.returncode, done.stdout) == (3, "done\n")
    assert "stubborn still ran" in done.stderr


def test_threads_that_end_by_themselves_are_waited_for_without_a_word() -> None:
    done = python(
        """
        import atexit, concurrent.futures, threading
        from fastslow.core import foreign
        pool = concurrent.futures.ThreadPoolExecutor(2)
        pool.submit(int).result()
        atexit.register(lambda: print("flushed"))
        foreign.end_despite_leftovers(0, grace=30)
        """
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "flushed\n", "")


def python(code: str) -> subprocess.CompletedProcess[str]:
    lines = [line.removeprefix("        ") for line in code.splitlines()]
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    return subprocess.run([sys.executable, "-c", "\n".join(lines)], env=env, capture_output=True, text=True, timeout=60)
