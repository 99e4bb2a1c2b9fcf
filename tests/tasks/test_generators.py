"""Every generator of reasoning-gym: right answers pass, corrupted ones do not, and no text breaks a scorer."""

from __future__ import annotations

import functools
import random
import time

import pytest
from reasoning_gym.factory import DATASETS

from fastslow.tasks.families.reasoning_gym import ReasoningGymTask
from tests.tasks.families.test_reasoning_gym import NO_GOLD
from tests.tasks.scoring.test_hostile import PIECES

GENERATORS = sorted(set(DATASETS) - {"composite"})

# Their scorers accept more than the one text, so changing its last letter or digit may leave it right.
NUMBERS_WITH_TOLERANCE = {"codeio", "coin_flip", "decimal_arithmetic", "number_format", "number_sorting"}
NUMBERS_WITH_TOLERANCE |= {"pool_matrix", "power_function"}
SEVERAL_RIGHT_ANSWERS = {"cryptarithm", "graph_color", "propositional_logic", "quantum_lock"}
ANY_CONSTANT = {"intermediate_integration", "simple_integration"}
UNIT_UNREAD = {"time_intervals"}  # days: the number alone is compared
TOLERANT = NUMBERS_WITH_TOLERANCE | SEVERAL_RIGHT_ANSWERS | ANY_CONSTANT | UNIT_UNREAD


DEAR = {"futoshiki", "knight_swap", "zebra_puzzles", "sokoban"}
"""Those that take a second or so for each question: five of them are made, of the others twenty."""


@functools.cache
def made(generator: str) -> ReasoningGymTask:
    return ReasoningGymTask(generator, train_size=5 if generator in DEAR else 20, validation_size=0, test_size=0)


def corrupted(gold: str) -> str:
    """The last letter or digit is another one."""
    at = max((i for i, c in enumerate(gold) if c.isalnum()), default=None)
    if at is None:
        return gold + "x"
    c = gold[at]
    other = str((int(c) + 1) % 10) if c in "0123456789" else ("b" if c in "aA" else "a")
    return gold[:at] + other + gold[at + 1 :]


@pytest.mark.parametrize("generator", GENERATORS)
def test_right_answers_score_one_and_corrupted_ones_less(generator):
    task = made(generator)
    examples = task.split("train")
    assert len(examples) == (5 if generator in DEAR else 20)
    accepted = 0
    for example in examples:
        gold = task.answer(example)
        assert (gold is None) == (generator in NO_GOLD), f"{example.payload['answer']!r}"
        if gold is None:
            continue
        assert task.score(example, gold).reward == 1.0
        verdict = task.score(example, corrupted(gold))
        accepted += verdict.reward == 1.0
        if verdict.reward != 1.0:
            assert verdict.reward == 0.0, f"{corrupted(gold)[-80:]!r}: {verdict.info}"
            assert verdict.feedback.startswith(("Answered '", "Right answer but")), verdict.feedback
            assert "The right answer is '" in verdict.feedback
    assert (accepted > 0) == (generator in TOLERANT), f"{accepted} corrupted answers are accepted"


@pytest.mark.parametrize("generator", sorted(TOLERANT))
def test_where_scorers_are_tolerant_no_answer_and_half_an_answer_are_still_wrong(generator):
    task = made(generator)
    for example in task.split("train"):
        gold = task.answer(example) or ""
        assert task.score(example, "I do not know.").reward == 0.0
        # half of a matrix, of an expression, of a colouring; of a number, digits of another size
        reward = task.score(example, "7" + gold[: len(gold) // 2]).reward
        assert reward == 0.0, f"half of {gold!r} is accepted"


def texts(golds: list[str], count: int, seed: int):
    """Pieces of markup and numbers, right answers cut, doubled and reordered, and both mixed."""
    rng = random.Random(seed)
    for _ in range(count):
        gold = rng.choice(golds)[:300] or "x"
        cut = sorted((rng.randint(0, len(gold)), rng.randint(0, len(gold))))
        noise = "".join(rng.choices(PIECES, k=rng.randint(0, 8)))
        shapes = (noise, gold[: cut[0]] + noise + gold[cut[1] :], gold[cut[0] : cut[1]], gold + noise, gold[::-1])
        yield rng.choice(shapes)


@pytest.mark.parametrize("generator", GENERATORS)
def test_any_text_is_judged_in_bounds_and_time(generator, request):
    """100 texts each; `make fuzz` has 10,000."""
    task, count = made(generator), request.config.getoption("--texts")
    examples = task.split("train")
    golds = [task.answer(e) or "1, 2, 3" for e in examples]
    slow = []
    for number, text in enumerate(texts(golds, count, seed=len(generator))):
        started = time.thread_time()
        verdict = task.score(examples[number % len(examples)], text)
        if time.thread_time() - started > 1.0:
            slow.append(text)
        assert verdict.reward in (0.0, 1.0), f"{text!r}: {verdict}"
        assert verdict.feedback.encode(errors="strict"), "feedback that a tokenizer can read"
    assert not slow, f"took over a second: {slow[:3]}"
