"""Tasks found without labels: on constructed vectors, and on real questions of reasoning-gym."""

from __future__ import annotations

import functools
import importlib.util
import json
import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from fastslow.core.errors import BadInput, FastSlowError
from fastslow.core.types import Example
from fastslow.files.jsonl import dumps
from fastslow.files.nested_state import flatten, rebuild
from fastslow.tasks.resolve import resolve_task
from fastslow.topics.change_points import RECENT, recent_change
from fastslow.topics.clusters import MOST, WINDOW, Clusters, is_bimodal, uniform_share
from fastslow.topics.embedders import EMBEDDERS, MINILM_WHEEL, make_embedder

INSTALLED = ["ngrams", *(["minilm"] if importlib.util.find_spec(MINILM_WHEEL) else [])]
REAL = ["reasoning_gym:products?max_digits=1&max_terms=2&min_digits=1&min_terms=2", "reasoning_gym:gcd",
        "star_graph?degree=2&ids=10&path=2", "reasoning_gym:leg_counting", "reasoning_gym:word_sorting"]  # fmt: skip


class Heaps:
    """An embedder whose texts name their own vector: 'a 3' lies around corner a of a simplex, at random."""

    name = "heaps"

    def __init__(self, width: float = 0.02):
        self.width = width

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        rows = []
        for text in texts:
            corner = np.zeros(64)
            corner["abcdefgh".index(text[0])] = 1.0
            rows.append(corner + self.width * np.random.default_rng(int(text[1:])).standard_normal(64))
        return np.array(rows, dtype=np.float32).reshape(len(texts), 64)


def heap(task: str, start: int, count: int) -> list[Example]:
    return [
        Example(f"{task}{i}", task, "train", ({"role": "user", "content": f"{task}{i}"},))
        for i in range(start, start + count)
    ]


def batches(examples: Sequence[Example], size: int) -> list[list[Example]]:
    return [list(examples[i : i + size]) for i in range(0, len(examples), size)]


def purity(clusters: Clusters, examples: Sequence[Example]) -> float:
    """Share of examples whose cluster is mostly of their own task."""
    tasks: dict[str, Counter[str]] = {}
    for example in examples:
        tasks.setdefault(clusters.of(example), Counter())[example.task] += 1
    return sum(max(counts.values()) for counts in tasks.values()) / len(examples)


def test_one_heap_stays_one_cluster_and_raises_no_alarm() -> None:
    clusters = Clusters(Heaps())
    seen = [clusters.observe(batch) for batch in batches(heap("a", 0, 800), 8)]
    assert clusters.names == ["c0"]
    assert [one.change for one in seen] == [None] * 100
    assert all(one.counts == {"c0": 8} for one in seen)


class Prose:
    """Every text is its own corner: what falls apart without an end."""

    name = "prose"

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        rows = np.zeros((len(texts), 256), dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            row[int(text[1:]) // 8] = 1.0
            row[-1] = 0.01 * (int(text[1:]) % 8)
        return rows


def test_what_falls_apart_without_an_end_stops_at_the_most_clusters() -> None:
    clusters = Clusters(Prose())
    for batch in batches(heap("a", 0, 8 * 90), 8):
        clusters.observe(batch)
    assert len(clusters.names) == MOST
    assert len(clusters.state_dict()["windows"]) == MOST


def test_a_new_task_opens_a_cluster_in_its_first_batch_and_a_return_opens_none() -> None:
    clusters = Clusters(Heaps())
    stream = [*heap("a", 0, 48), *heap("b", 100, 48), *heap("a", 50, 48)]
    seen = [clusters.observe(batch) for batch in batches(stream, 8)]
    assert {one.batch: one.opened for one in seen if one.opened} == {0: ["c0"], 6: ["c1"]}
    assert [one.change for one in seen if one.change is not None] == [6, 12]
    assert {clusters.of(e) for e in stream if e.task == "a"} == {"c0"}, "the first to come keeps its name"
    assert {clusters.of(e) for e in stream if e.task == "b"} == {"c1"}


def test_a_mixture_from_the_start_falls_into_its_tasks() -> None:
    rng = random.Random(0)
    stream = [e for task in "abc" for e in heap(task, ord(task) * 100, 40)]
    rng.shuffle(stream)
    clusters = Clusters(Heaps())
    for batch in batches(stream, 8):
        clusters.observe(batch)
    assert len(clusters.names) == 3
    assert purity(clusters, stream) == 1.0


def test_a_centre_follows_what_drifts() -> None:
    class Drifting(Heaps):
        def embed(self, texts):
            turned = np.array([[np.cos(int(t[1:]) / 400), np.sin(int(t[1:]) / 400), *[0.0] * 62] for t in texts])
            return super().embed(texts) * 0.5 + turned.astype(np.float32)

    clusters = Clusters(Drifting(0.2))
    stream = heap("a", 0, 600)  # by the end the turned part stands at a right angle to where it began
    opened = [name for batch in batches(stream, 8) for name in clusters.observe(batch).opened]
    assert opened == ["c0"]
    last = {clusters.of(e) for e in heap("a", 600, 20)}
    assert last == {"c0"}


def test_the_same_examples_again_change_nothing() -> None:
    """Epochs over a small task: a question twice in a window would be a heap of its own."""
    clusters = Clusters(Heaps())
    for _ in range(10):
        for batch in batches(heap("a", 0, 24), 8):
            assert clusters.observe(batch).change is None
    assert clusters.names == ["c0"]


def test_two_modes_are_told_from_one_whatever_the_order() -> None:
    rng = np.random.default_rng(0)
    one = rng.standard_normal((64, 384)).astype(np.float32)
    assert not is_bimodal(one)
    two = one / 20 + np.repeat([[0.0], [1.0]], 32, axis=0) * np.ones(384) / 384**0.5
    assert is_bimodal(two)
    assert is_bimodal(two[np.r_[0:64:2, 1:64:2]]), "strictly taking turns"
    assert is_bimodal(two[26:]), "six against thirty-two"
    assert not is_bimodal(two[28:34][:7]), "too few to tell"
    assert not is_bimodal(np.zeros((20, 8))), "all the same"


def test_uniform_points_are_rarely_split() -> None:
    rng = np.random.default_rng(1)
    for n in (8, 16, 64):
        split = [is_bimodal(np.column_stack([rng.random(n), np.zeros(n)])) for _ in range(400)]
        assert sum(split) <= 4, f"{sum(split)} of 400 uniform samples of {n} were split"
    assert uniform_share(8) < uniform_share(16) < uniform_share(64) < 0.25, "few points need more to be convincing"


def test_a_resumed_state_goes_on_exactly() -> None:
    stream = batches([*heap("a", 0, 80), *heap("b", 100, 80), *heap("c", 300, 80)], 8)
    whole, first = Clusters(Heaps()), Clusters(Heaps())
    expected = [whole.observe(batch) for batch in stream]
    for batch in stream[:13]:
        first.observe(batch)
    tensors: dict = {}
    saved = dumps(flatten(first.state_dict(), tensors, "clusters"))
    second = Clusters(Heaps())
    second.load_state_dict(rebuild(json.loads(saved), tensors))
    assert [second.observe(batch) for batch in stream[13:]] == expected[13:]
    assert dumps(flatten(second.state_dict(), {}, "c")) == dumps(flatten(whole.state_dict(), {}, "c"))


def test_a_window_forgets_and_an_unknown_question_goes_to_the_nearest() -> None:
    clusters = Clusters(Heaps())
    assert clusters.of(heap("a", 0, 1)[0]) == "", "before anything was seen"
    for batch in batches([*heap("a", 0, 200), *heap("b", 300, 40)], 8):
        clusters.observe(batch)
    sizes = [len(window["ids"]) for window in clusters.state_dict()["windows"].values()]
    assert sizes == [WINDOW - 8, 40], "the newcomers pushed out as many before they had a window of their own"
    assert clusters.of(heap("b", 900, 1)[0]) == clusters.of(heap("b", 300, 1)[0])
    assert clusters.observed == 30, "to be asked is not to observe"


def test_the_odds_of_a_change() -> None:
    steady = np.tile([5, 3], (40, 1))
    assert recent_change(steady)[0] < 0.05
    changed = np.concatenate([steady, [[0, 8]] * 2])
    probability, ago = recent_change(changed)
    assert probability > 0.99
    assert ago == 2
    long_ago = np.concatenate([steady, [[0, 8]] * (RECENT + 5)])
    assert recent_change(long_ago)[0] < 0.05, "found too late to be announced"
    assert recent_change(np.array([[4, 4]])) == (0.0, 0), "one batch has nothing before it"


class Kept:
    """An embedder that embeds a text once, however many streams have it: a vector doesn't depend on its company."""

    def __init__(self, name: str):
        self.name = name
        self._embedder = make_embedder(name)
        self._known: dict[str, np.ndarray] = {}

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        new = [text for text in texts if text not in self._known]
        self._known.update(zip(new, self._embedder.embed(new), strict=True))
        return np.stack([self._known[text] for text in texts])


kept = functools.cache(Kept)


@pytest.mark.parametrize("name", INSTALLED)
@pytest.mark.parametrize("kind", ["mixture", "sequence"])
def test_distinct_tasks_of_reasoning_gym_fall_into_pure_clusters(name: str, kind: str) -> None:
    tasks = [resolve_task(t, train_size=48, validation_size=4, test_size=4) for t in REAL]
    stream = [e for task in tasks for e in task.split("train")]
    if kind == "mixture":
        random.Random(0).shuffle(stream)
    clusters = Clusters(kept(name))
    for batch in batches(stream, 8):
        clusters.observe(batch)
    assert purity(clusters, stream) >= 0.95
    assert len(clusters.names) <= 2 * len(REAL)
    held_out = [e for task in tasks for e in task.split("validation")]
    assert purity(clusters, [*stream, *held_out]) >= 0.95, "questions never seen before"


def test_vectors_do_not_depend_on_their_company() -> None:
    for name in INSTALLED:
        embedder = make_embedder(name)
        texts = ["What is 3 * 4?", "Sort these words: a, c, b", "Wie spät ist es?"]
        together = embedder.embed(texts)
        assert np.allclose(np.linalg.norm(together, axis=1), 1.0, atol=1e-5)
        assert np.array_equal(together[1:2], embedder.embed(texts[1:2]))
        assert embedder.embed([]).shape[0] == 0


def own(width: str = "0") -> Heaps:
    return Heaps(float(width))


class Returns(Heaps):
    """A user's own embedder, whose vectors are what `answer` makes of the texts."""

    answer: Any = None

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        return self.answer(texts)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda texts: np.eye(3)[:1], r"returned the shape \(1, 3\) for 2 texts"),
        (lambda texts: np.ones(2), r"returned the shape \(2,\) for 2 texts"),
        (lambda texts: np.array([[1.0, 0.0], [0.0, np.nan]]), "gave 'b2' a vector of length nan"),
        (lambda texts: np.array([[1.0, 0.0], [0.0, 0.0]]), "gave 'b2' a vector of length 0"),
        (lambda texts: np.array([[1.01, 0.0], [0.0, 1.0]]), "gave 'a1' a vector of length 1.01"),
        (lambda texts: [["x", "y"]] * 2, "raised ValueError"),
        (lambda texts: texts.nothing, "raised AttributeError"),
    ],
)
def test_vectors_that_are_none_end_the_run_with_the_embedders_name(monkeypatch, answer, says: str) -> None:
    clusters = Clusters(make_embedder("tests.topics.test_clusters:Returns"))
    monkeypatch.setattr(Returns, "answer", staticmethod(lambda texts: np.eye(4)[: len(texts), :2]))
    clusters.vectors(heap("c", 0, 2))
    monkeypatch.setattr(Returns, "answer", staticmethod(answer))
    with pytest.raises(FastSlowError, match=f"embedder 'heaps' {says}"):
        clusters.vectors([*heap("a", 1, 1), *heap("b", 2, 1)])


def no_embedder() -> object:
    return object()


def test_embedders_by_name() -> None:
    assert EMBEDDERS.names() == ["minilm", "ngrams", "sentence-transformers"]
    some = heap("a", 0, 1)
    assert Clusters(make_embedder("tests.topics.test_clusters:own")).vectors(some)[0, 0] == 1.0
    assert Clusters(make_embedder("tests.topics.test_clusters.own:1e-5")).vectors(some)[0, 0] != 1.0, "its argument"
    refused = {
        "ngram": "Did you mean 'ngrams'",
        "ngrams:3": "'ngrams' takes no arguments",
        "minilm:large": "'minilm' takes no arguments",
        "tests.topics.test_clusters:no_embedder": "needs a name and a method embed",
        "tests.topics.test_clusters:heap": "cannot be made: TypeError",
    }
    for spec, says in refused.items():
        with pytest.raises(BadInput, match=says):
            make_embedder(spec)
    if importlib.util.find_spec("sentence_transformers") is None:
        with pytest.raises(BadInput, match="pip install sentence-transformers"):
            make_embedder("sentence-transformers:x")
