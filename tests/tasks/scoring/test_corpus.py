"""Scorers agree with what generators know: see `corpus`. docs/scorers.md shows the counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tasks.scoring.corpus.all import CORPORA
from tests.tasks.scoring.corpus.base import PAIRS, Tally, judged

PAGE = Path(__file__).parents[3] / "docs/scorers.md"


@pytest.fixture(scope="module", params=CORPORA)
def judgement(request: pytest.FixtureRequest) -> tuple[str, Tally]:
    return request.param, judged(request.param, CORPORA[request.param]())


def test_no_wrong_answer_of_two_thousand_pairs_is_rewarded(judgement: tuple[str, Tally]) -> None:
    name, tally = judgement
    assert tally.right + tally.wrong == PAIRS == 2_000
    assert not tally.rewarded, f"{name} rewards {len(tally.rewarded)}, first {tally.rewarded[:3]}"


def test_one_right_answer_in_a_hundred_is_refused_at_most(judgement: tuple[str, Tally]) -> None:
    name, tally = judgement
    assert len(tally.refused) <= tally.right / 100, f"{name} refuses {len(tally.refused)}, first {tally.refused[:3]}"


def test_every_gold_of_the_corpus_can_be_scored_against(judgement: tuple[str, Tally]) -> None:
    assert not judgement[1].objected


def test_the_page_on_scorers_shows_these_counts(judgement: tuple[str, Tally]) -> None:
    line = judgement[1].line(judgement[0])
    assert line in PAGE.read_text(), f"docs/scorers.md should have the line\n{line}"
