"""Search a corpus file by BM25 (bm25s): titles and texts of pages, found by the words of a query.

The corpus is JSONL, one page a line: `title` (text, unique) and `text` (text, or a list of sentences).
"""

from __future__ import annotations

import itertools
import logging
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

import numpy as np

from fastslow.core.errors import BadInput
from fastslow.files.jsonl import loads

logger = logging.getLogger(__name__)

WORD = re.compile(r"\w+")
SURROGATE = re.compile("[\ud800-\udfff]")
K1, B = 1.5, 0.75  # the defaults of bm25s, written down so that a release cannot change what a first search finds
# Postings of all words of a query: about 20 ms, reached in millions of pages.
MOST_POSTINGS = 4_000_000
# Words on nearly every page: they cost most of the time and change no ranking. Names are never among them.
_STOPWORDS = (
    "a an and are as at be but by for from had has have he her his in is it its not of on or she that the their "
    "they this to was were which who whom whose with"
)
STOPWORDS = frozenset(_STOPWORDS.split())


@dataclass(frozen=True)
class Page:
    title: str
    text: str


class Search:
    """Rank pages by BM25 of title and text together. Equal scores keep the corpus's order; a page that shares no word
    with the query is never returned."""

    def __init__(self, pages: Sequence[Page]):
        import bm25s  # half a second, and only these tasks need it
        from bm25s.tokenization import Tokenized

        self.pages = pages
        self._vocabulary: dict[str, int] = {}
        self._frequency: Counter[str] = Counter()
        ids = [self._ids(page) for page in pages]
        self._index = bm25s.BM25(k1=K1, b=B, method="lucene", backend="numpy", csc_backend="numpy")
        self._index.index(Tokenized(ids, dict(self._vocabulary)), show_progress=False)
        self._places = {fold(page.title): place for place, page in reversed(list(enumerate(pages)))}

    def place(self, title: str) -> int | None:
        """Return the place in the corpus of the page with this title."""
        return self._places.get(fold(title))

    def top(self, query: str, k: int) -> list[int]:
        """Return the places of at most `k` pages, best first."""
        terms = self._terms(query)
        if not terms:
            return []
        scores = self._index.get_scores(terms)
        places = np.flatnonzero(scores > 0)
        if len(places) > k:
            least = np.partition(scores[places], len(places) - k)[len(places) - k]
            places = places[scores[places] >= least]
        order = np.lexsort((places, -scores[places]))[:k]
        return [int(place) for place in places[order]]

    def _ids(self, page: Page) -> list[int]:
        page_words = words(f"{page.title} {page.text}")
        self._frequency.update(set(page_words))
        return [self._vocabulary.setdefault(word, len(self._vocabulary)) for word in page_words]

    def _terms(self, query: str) -> list[str]:
        """Return the known words of a query, rarest first, within the budget MOST_POSTINGS."""
        known = sorted(set(words(query)) & self._vocabulary.keys(), key=lambda word: (self._frequency[word], word))
        sums = itertools.accumulate(self._frequency[word] for word in known)
        return [word for word, total in zip(known, sums, strict=True) if total <= MOST_POSTINGS or word == known[0]]


def words(text: str) -> list[str]:
    """Split a text into words as they are indexed and looked up, without stopwords."""
    return [word for word in WORD.findall(fold(text)) if word not in STOPWORDS]


def fold(text: str) -> str:
    """Normalise case and compatibility forms: HoVer writes titles in decomposed form, as its database did."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def read_pages(path: str | Path, task: str) -> list[Page]:
    """Read the pages of a corpus file; of pages with the same title the first. Raises BadInput, naming the line."""
    pages: dict[str, Page] = {}
    repeated = 0
    try:
        with open(Path(path).expanduser(), encoding="utf-8-sig", newline="\n") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    page = _page(line, f"task '{task}': line {number} of '{path}'")
                    repeated += pages.setdefault(page.title, page) is not page
    except OSError as error:
        raise BadInput(f"task '{task}': cannot read '{path}' ({error.strerror}); give the path of a corpus.") from None
    except UnicodeDecodeError:
        raise BadInput(f"task '{task}': '{path}' is not UTF-8; save it as UTF-8.") from None
    if not pages:
        raise BadInput(f"task '{task}': '{path}' is empty; write one page a line, with title and text.")
    if repeated:
        logger.warning("task '%s': dropped %d pages of '%s' whose title came before.", task, repeated, path)
    return list(pages.values())


def _page(line: str, where: str) -> Page:
    try:
        row = loads(line)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{where} is not JSON ({error}); write one page a line.") from None
    title, text = (row.get("title"), row.get("text")) if isinstance(row, dict) else (None, None)
    if isinstance(text, list) and all(isinstance(sentence, str) for sentence in text):
        text = " ".join(sentence.strip() for sentence in text)
    if not is_text(title) or not isinstance(text, str) or SURROGATE.search(text):
        raise BadInput(f"{where} has no title and text; write {{'title': ..., 'text': ...}}.")
    return Page(title, text)


def is_text(value: object) -> TypeGuard[str]:
    """Return whether a value is a text with content and without half surrogate pairs, which no tokenizer reads."""
    return isinstance(value, str) and bool(value.strip()) and not SURROGATE.search(value)
