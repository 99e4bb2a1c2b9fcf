"""What reaches reasoning-gym's scorers: no code, nothing unbounded, and no text that earns full marks for nothing."""

from __future__ import annotations

import functools
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from fastslow.tasks.families.reasoning_gym import ReasoningGymTask
from fastslow.tasks.families.screen import EVALUATES_LITERALS, EVALUATES_SYMPY, admits, deadline


@functools.cache
def task_of(generator: str) -> ReasoningGymTask:
    return ReasoningGymTask(generator, train_size=6, validation_size=1, test_size=1)


@pytest.mark.parametrize("generator", sorted(EVALUATES_LITERALS | EVALUATES_SYMPY))
def test_no_completion_is_run_as_code(generator, tmp_path):
    marker = tmp_path / "written"
    task = task_of(generator)
    for code in (
        f"open({str(marker)!r}, 'w')",
        f"[open({str(marker)!r}, 'w')]",
        f"__import__('pathlib').Path({str(marker)!r}).touch()",
        f"[c for c in [open({str(marker)!r}, 'w')]]",
        f"f'{{open({str(marker)!r}, chr(119))}}'",
        f"1 + (lambda: open({str(marker)!r}, 'w'))()",
    ):
        assert task.score(task.split("train")[0], code).reward == 0.0
        assert not marker.exists(), f"the scorer ran {code}"


@pytest.mark.parametrize("generator", sorted(EVALUATES_SYMPY - {"countdown", "puzzle24"}))
def test_equivalent_ways_to_write_the_answer_stay_right(generator):
    task = task_of(generator)
    for example in task.split("train"):
        answer = task.answer(example)
        if "Integral" in str(answer):
            continue
        for same in (f"({answer}) + 0", f"({answer})*1", f"0 + {answer}"):
            assert task.score(example, same).reward == 1.0, f"{same} equals {answer}"


@pytest.mark.parametrize("generator", ["simple_integration", "intermediate_integration"])
def test_a_wrong_integral_is_wrong_and_not_unscored(generator):
    task = task_of(generator)
    for example in task.split("train"):
        x = example.payload["metadata"]["variable"]
        for wrong in (f"{x}**2", f"2*sqrt({x}) + C", f"({task.answer(example)}) + {x}", f"C*{x}", "self", f"{x}+1)"):
            assert task.score(example, wrong).reward == 0.0, f"{wrong} for {example.payload['metadata']['integrand']}"


@pytest.mark.parametrize(
    ("generator", "completion", "gold", "metadata"),
    [
        ("coin_flip", "0", "0.234375", {}),
        ("coin_flip", "0.2", "0.234375", {}),
        ("complex_arithmetic", "nan", "3.0 + 1.0i", {}),
        ("complex_arithmetic", "nan+nani", "3.0 + 1.0i", {}),
        ("game_of_life_halting", "whatever", "True", {}),
        ("game_of_life_halting", "True", "False", {}),
        ("puzzle24", "6*4*1*1", "3*8*(2 - 1)", {"numbers": [3, 8, 2, 1]}),
        ("intermediate_integration", "Integral(x**2, x)", "x**3/3 + C", {"variable": "x", "integrand": "x**2"}),
    ],
)
def test_known_ways_to_full_marks_without_an_answer_are_closed(generator, completion, gold, metadata):
    assert not admits(generator, completion, {"answer": gold, "metadata": metadata}), f"{completion} is no answer"


@pytest.mark.parametrize(
    ("generator", "completion", "gold", "metadata"),
    [
        ("coin_flip", "15/64", "0.234375", {}),
        ("coin_flip", "0.2344", "0.234375", {}),
        ("complex_arithmetic", "3+i", "3.0 + 1.0i", {}),
        ("game_of_life_halting", "true", "True", {}),
        ("puzzle24", "(2 - 1)*8*3", "3*8*(2 - 1)", {"numbers": [3, 8, 2, 1]}),
        ("simple_integration", "x**3/3", "x**3/3 + C", {"variable": "x", "integrand": "x**2"}),
        ("countdown", "7*(3 + 2)", "(3 + 2)*7", {}),
        ("spiral_matrix", "1 2 3", "1 2 3 4", {}),
        ("n_queens", "_ Q _\nQ _ _", "Q _ _\n_ Q _", {}),
    ],
)
def test_honest_answers_reach_the_scorer(generator, completion, gold, metadata):
    assert admits(generator, completion, {"answer": gold, "metadata": metadata}), f"{completion} must be judged"


def test_scoring_works_outside_the_main_thread_where_no_alarm_can_ring():
    task = task_of("gcd")
    example = task.split("train")[0]
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(task.score, example, str(task.answer(example))).result().reward == 1.0


def test_time_that_others_take_does_not_count() -> None:
    with deadline(0.01) as limit:
        time.sleep(0.05)
    assert not limit.passed


def test_the_deadline_leaves_no_alarm_and_no_handler_behind():
    def wait() -> None:
        with deadline(0.01):
            while True:
                pass

    before = signal.getsignal(signal.SIGVTALRM)
    with pytest.raises(TimeoutError, match=r"longer than 0\.01 s"):
        wait()
    assert signal.getsignal(signal.SIGVTALRM) is before
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0.0, 0.0)
