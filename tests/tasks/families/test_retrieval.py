"""BM25 search finds pages by the words of a query."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fastslow.core.errors import BadInput
from fastslow.tasks.families.retrieval import Page, Search, read_pages, words

PAGES = [
    Page("Ada Lovelace", "wrote the first program for a machine"),
    Page("Charles Babbage", "designed a machine of brass"),
    Page("Lyon", "is a city on a river"),
    Page("Cafe\u0301", "serves coffee"),
]


@pytest.fixture(scope="module")
def search() -> Search:
    return Search(PAGES)


def test_the_page_with_the_words_comes_first(search: Search) -> None:
    assert search.top("a program by Lovelace", 2)[0] == 0


def test_a_page_without_a_word_of_the_query_is_never_returned(search: Search) -> None:
    assert search.top("river", 4) == [2]
    assert search.top("submarine", 4) == []


def test_equal_scores_keep_the_order_of_the_corpus() -> None:
    assert Search([Page("a", "same text"), Page("b", "same text")]).top("same text", 2) == [0, 1]


def test_titles_are_found_in_any_case_and_normal_form(search: Search) -> None:
    assert search.place("CAF\u00c9") == 3
    assert search.place("nobody") is None


def test_stopwords_are_left_out() -> None:
    assert words("The city IS on a River") == ["city", "river"]


def test_the_first_of_two_pages_with_one_title_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "corpus.jsonl"
    rows = [{"title": "a", "text": "first"}, {"title": "a", "text": "second"}, {"title": "b", "text": ["x.", "y."]}]
    path.write_text("\n".join(map(json.dumps, rows)))
    assert read_pages(path, "t") == [Page("a", "first"), Page("b", "x. y.")]


@pytest.mark.parametrize(
    ("content", "problem"),
    [(b"", "is empty"), (b"{", "line 1 .* is not JSON"), (b'{"title": ""}', "no title and text"), (b"\xff", "UTF-8")],
)
def test_a_damaged_corpus_is_refused(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "corpus.jsonl"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=problem):
        read_pages(path, "t")
