"""Vectors have length 1, depend on their own text alone, and foreign embedders are checked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from fastslow.core.errors import BadInput, FastSlowError
from fastslow.topics.embedders import CheckedEmbedder, Ngrams, make_embedder

TEXTS = ["What is 3 + 4?", "what is  3 + 4?", "Name the capital of France.", "", "\ud800"]


class Fixed:
    name = "fixed"

    def __init__(self, vectors: object):
        self._vectors = vectors

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        if isinstance(self._vectors, Exception):
            raise self._vectors
        return np.asarray(self._vectors, np.float32)


def test_every_vector_of_a_text_has_length_one() -> None:
    lengths = np.linalg.norm(Ngrams().embed(TEXTS[:3]), axis=1)
    assert lengths == pytest.approx([1.0, 1.0, 1.0])


def test_case_and_spaces_do_not_count() -> None:
    first, second, other = Ngrams().embed(TEXTS[:3])
    assert np.array_equal(first, second)
    assert first @ other < 0.5


def test_a_vector_does_not_depend_on_the_other_texts() -> None:
    assert np.array_equal(Ngrams().embed(TEXTS)[2], Ngrams().embed(TEXTS[2:3])[0])


def test_no_texts_are_no_rows() -> None:
    assert Ngrams().embed([]).shape[0] == 0


@pytest.mark.parametrize(
    ("vectors", "problem"),
    [
        ([[2.0, 0.0]], "length 2"),
        ([[float("nan"), 0.0]], "length nan"),
        ([[1.0, 0.0], [1.0, 0.0]], r"shape \(2, 2\) for 1 texts"),
        ([1.0], "shape"),
        (KeyError("x"), "raised KeyError"),
    ],
)
def test_a_foreign_embedder_is_held_to_its_protocol(vectors: object, problem: str) -> None:
    with pytest.raises(FastSlowError, match=problem):
        CheckedEmbedder(Fixed(vectors)).embed(["x"])


def test_a_width_that_changes_is_refused() -> None:
    embedder = CheckedEmbedder(Fixed([[1.0, 0.0]]))
    embedder.embed(["x"])
    embedder._embedder = Fixed([[1.0, 0.0, 0.0]])
    with pytest.raises(FastSlowError, match="2 numbers as before"):
        embedder.embed(["x"])


@pytest.mark.parametrize("spec", ["ngram", "ngrams:3", "os.path:join"])
def test_what_is_not_an_embedder_is_refused(spec: str) -> None:
    with pytest.raises(BadInput, match="embedder"):
        make_embedder(spec)
