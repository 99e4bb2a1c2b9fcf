"""The book of evidence knows what rollouts say of a context, and how sure that is."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastslow.contexts.context import Context, WorkedExample, dump_examples
from fastslow.contexts.evidence import (
    DIFFICULTY,
    EDGE,
    EDGE_SLOPE,
    FORGOTTEN,
    LEVEL_SLOPE,
    NOISE,
    Book,
    Entry,
    Standings,
)
from fastslow.core.types import Example, Rollout, Verdict

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from evidence_sim import BEGIN, CURVES, END, one_run, table  # noqa: E402

EXAMPLES = {f"e{i}": Example(f"e{i}", "t", "train", ({"role": "user", "content": f"Question {i}"},)) for i in range(4)}
PLAIN = Context({"instruction": "a", "examples": ""})
SHOWS = Context({"instruction": "b", "examples": dump_examples([WorkedExample("question  1", "one")])})
KNOWN = {c.id: c for c in (PLAIN, SHOWS)}


def rollout(context: Context, example: str, reward: float | None = 1.0, version: int = 0) -> Rollout:
    verdict = Verdict(reward, "") if reward is not None else Verdict.unscored("no")
    return Rollout(example, context.id, (1,), (2,), (-0.1,), "text", verdict, version)


def by_whole_matrices(rows: list[Entry], now: int, half_life: float) -> tuple[Any, Any]:
    """Coefficients and their covariance with a column for every difficulty, as the model is stated."""
    contexts = sorted({e.context_id for e in rows})
    cells = list(dict.fromkeys((e.question, e.version) for e in rows))
    questions = list(dict.fromkeys(e.question for e in rows))
    k, size = len(contexts), 2 + 2 * len(contexts) + len(cells)
    x, age = np.zeros((len(rows), size)), np.array([e.version - now for e in rows])
    for i, e in enumerate(rows):
        c = contexts.index(e.context_id)
        x[i, [0, 2 + c, 2 + 2 * k + cells.index((e.question, e.version))]] = 1
        x[i, [1, 2 + k + c]] = age[i]
    prior = np.array([1.0, LEVEL_SLOPE, *[EDGE] * k, *[EDGE_SLOPE] * k, *[DIFFICULTY] * len(cells)]) ** -2.0
    weight = 0.5 ** (-age / half_life) / NOISE**2
    y = np.array([e.reward for e in rows]) - 0.5
    inverse = np.linalg.inv(x.T @ np.diag(weight) @ x + np.diag(prior))
    fit = inverse @ x.T @ (weight * y)
    score = np.zeros((len(questions), size))
    for i, e in enumerate(rows):
        score[questions.index(e.question)] += weight[i] * (y[i] - x[i] @ fit) * x[i]
    spread = len(questions) / (len(questions) - 1)
    return fit[: 2 + 2 * k], (inverse @ (spread * score.T @ score + np.diag(prior)) @ inverse)[: 2 + 2 * k, : 2 + 2 * k]


def test_eliminating_the_difficulties_changes_nothing() -> None:
    rng = np.random.default_rng(3)
    rows = [
        Entry(str(rng.integers(3)), f"q{rng.integers(12)}", int(rng.integers(6)), float(rng.random()))
        for _ in range(150)
    ]  # fmt: skip
    fit, covariance = by_whole_matrices(rows, 6, 4.0)
    found = Standings(rows, now=6, half_life=4.0)
    assert np.allclose(found._fit, fit, atol=1e-12)
    assert np.allclose(found._cov, covariance, atol=1e-12)


@pytest.mark.parametrize(("curve", "fastest"), CURVES)
def test_intervals_hold_the_truth_as_often_as_they_say(curve: str, fastest: float) -> None:
    """Of 40 runs here; the page has a thousand."""
    runs = [one_run(fastest, 15, seed) for seed in range(40)]
    assert np.mean([run["inside"] for run in runs]) >= 0.9
    assert np.mean([run["edge_inside"] for run in runs]) >= 0.85
    assert np.mean([run["regret"] for run in runs]) < np.mean([run["regret_by_anchor"] for run in runs])


def test_the_page_has_the_table_of_the_results() -> None:
    results = json.loads((ROOT / "results/evidence-sim.json").read_text(encoding="utf-8"))
    page = (ROOT / "docs/evidence.md").read_text(encoding="utf-8")
    assert page.partition(BEGIN)[2].partition(END)[0].strip() == table(results["rows"])
    assert min(row[name] for row in results["rows"] for name in ("inside", "lead_inside", "edge_inside")) >= 0.93


def test_many_rollouts_of_a_few_hard_questions_do_not_make_a_bad_context() -> None:
    """Both answer the same questions alike; one was asked four easy ones too, 16 times each, the other hard ones."""
    shared = [Entry(c, f"q{i}", 0, float(i % 2)) for i in range(40) for c in "ab"]
    easy = [Entry("a", f"easy{i}", 0, 1.0) for i in range(4) for _ in range(16)]
    hard = [Entry("b", f"hard{i}", 0, 0.0) for i in range(4) for _ in range(16)]
    standings = Standings([*shared, *easy, *hard], now=0, half_life=5)
    means = {c: np.mean([e.reward for e in [*shared, *easy, *hard] if e.context_id == c]) for c in "ab"}
    assert means["a"] - means["b"] > 0.6
    assert standings.edge("a", "b")[0] < 0.2


def test_a_few_lucky_answers_do_not_make_a_lead() -> None:
    rng = np.random.default_rng(1)
    known = [Entry("known", f"q{i}", 0, float(rng.random() < 0.9)) for i in range(200)]
    lucky = [Entry("lucky", f"r{i}", 0, 1.0) for i in range(2)]
    best, after = Standings([*known, *lucky], now=0, half_life=5).ranked(["known", "lucky"])
    assert {best.context_id, after.context_id} == {"known", "lucky"}
    assert Standings([*known, *lucky], now=0, half_life=5).edge("lucky", "known")[0] < 0.05
    by_id = {one.context_id: one for one in (best, after)}
    assert by_id["lucky"].high - by_id["lucky"].low > 3 * (by_id["known"].high - by_id["known"].low)


def test_what_has_faded_counts_less_than_what_is_new() -> None:
    old = [Entry("a", f"q{i}", 0, 0.0) for i in range(30)]
    new = [Entry("a", f"r{i}", 20, 1.0) for i in range(30)]
    known = Standings([*old, *new], now=20, half_life=5).of("a")
    assert known.level > 0.85
    assert known.rollouts == pytest.approx(30 + 30 / 2**4)


def test_a_context_that_learns_faster_has_the_higher_slope() -> None:
    rng = np.random.default_rng(2)
    rows = [
        Entry(c, f"q{t}.{i}", t, float(rng.random() < p)) for t in range(12) for i in range(16)
        for c, p in (("still", 0.5), ("learns", 0.1 + 0.07 * t))
    ]  # fmt: skip
    standings = Standings(rows, now=12, half_life=5)
    assert standings.of("learns").slope > standings.of("still").slope + 0.02


def test_nothing_is_known_without_rollouts() -> None:
    assert Standings([], now=3, half_life=5).ranked(["a"]) == []
    assert Standings([Entry("a", "q", 0, 1.0)], now=0, half_life=5).ranked(["a", "b"])[0].context_id == "a"


def test_neither_unscored_answers_nor_those_of_others_nor_to_shown_questions_are_entered() -> None:
    stranger = Context({"instruction": "c", "examples": ""})
    book = Book(5.0)
    made = [rollout(PLAIN, "e1"), rollout(SHOWS, "e1"), rollout(SHOWS, "e2"), rollout(PLAIN, "e2", None)]
    book.add([*made, rollout(stranger, "e1")], EXAMPLES, KNOWN, now=0)
    assert [(e.context_id, e.question) for e in book.entries] == [(PLAIN.id, "e1"), (SHOWS.id, "e2")]


def test_what_is_long_past_is_dropped_and_the_rest_survives_a_checkpoint() -> None:
    book = Book(2.0)
    book.add(
        [rollout(PLAIN, "e1", version=0), rollout(PLAIN, "e2", 0.5, version=8)], EXAMPLES, KNOWN, now=2 * FORGOTTEN
    )
    book.add([], EXAMPLES, KNOWN, now=2 * FORGOTTEN + 1)
    again = Book(2.0)
    again.load_state_dict(json.loads(json.dumps(book.state_dict())))
    assert again.entries == book.entries == [Entry(PLAIN.id, "e2", 8, 0.5)]


def test_a_fast_phase_that_repeats_a_rollout_adds_nothing_and_a_group_of_a_slow_step_does() -> None:
    book = Book(5.0)
    for _ in range(2):
        book.add([rollout(PLAIN, "e1")], EXAMPLES, KNOWN, now=0, alone=True)
    assert len(book.entries) == 1
    book.add([rollout(PLAIN, "e2"), rollout(PLAIN, "e2")], EXAMPLES, KNOWN, now=0)
    assert len(book.entries) == 3


def test_contexts_are_compared_on_the_topics_at_hand() -> None:
    """One is good at the task that was, another at the one that is."""
    past = [Entry(c, f"p{i}", 4, r, "past") for i in range(60) for c, r in (("a", 1.0), ("b", 0.0))]
    here = [Entry(c, f"h{i}", 5, r, "here") for i in range(16) for c, r in (("a", 0.0), ("b", 1.0))]
    book = Book(5.0, [*past, *here])
    assert book.standings(5, ["here"]).ranked("ab")[0].context_id == "b"
    assert book.standings(5).ranked("ab")[0].context_id == "a"


def test_rollouts_of_weights_that_are_gone_are_forgotten() -> None:
    book = Book(5.0, [Entry("a", "q", version, 1.0) for version in (1, 2, 3)])
    book.forget(after=2)
    assert [entry.version for entry in book.entries] == [1, 2]


def test_a_context_is_dead_after_sixty_rollouts_without_a_reward_however_old() -> None:
    nothing = [Entry("a", f"q{i}", 0, 0.0) for i in range(60)]
    assert Standings(nothing, now=20, half_life=5).dead("a")
    assert not Standings(nothing[1:], now=0, half_life=5).dead("a")
    assert not Standings([*nothing, Entry("a", "q", 0, 0.1)], now=0, half_life=5).dead("a")
