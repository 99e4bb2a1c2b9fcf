"""HoVer: what a second search finds of what the first one missed, on the public schema and on the bundled sample."""

from __future__ import annotations

import functools
import json
import logging
import unicodedata
from pathlib import Path

import pytest

from fastslow.core.errors import BadInput
from fastslow.core.types import Example
from fastslow.tasks import Task
from fastslow.tasks.families.hover import HoverTask
from fastslow.tasks.families.retrieval import Page, Search, words
from fastslow.tasks.resolve import resolve_task
from fastslow.tasks.samples.hover import sample_claims, sample_pages
from tests.support.probes import check_survives

SPLITS = ("train", "validation", "test")
FAMILIES = ("hover", "hover_hard")


@functools.cache
def sample(family: str = "hover") -> HoverTask:
    return HoverTask(family, "sample")


def examples(task: Task) -> list[Example]:
    return [example for split in SPLITS for example in task.split(split)]


@pytest.mark.parametrize("family", FAMILIES)
def test_two_hundred_right_queries_score_one_and_poorer_ones_less(family):
    task = sample(family)
    assert len(examples(task)) >= 300
    for example in examples(task)[:200]:
        gold, missing = task.answer(example), example.payload["missing"]
        assert gold is not None, f"the titles {missing} do not find themselves"
        assert task.score(example, f"<think>{'who made it? ' * 99}</think>\n{gold}\n").reward == 1.0
        assert len(missing) >= (2 if family == "hover_hard" else 1)
        claim = example.question.partition("\n")[0].removeprefix("Claim: ")
        verdict = task.score(example, claim)
        assert verdict.reward == 0.0, "the claim again finds nothing that the first search did not find"
        assert example.split != "train" or f"Still missing: '{missing[0]}'" in verdict.feedback


def test_the_reward_is_the_share_of_the_missing_pages_found():
    task = sample("hover_hard")
    example = next(e for e in task.split("train") if len(e.payload["missing"]) == 3)
    one, two, three = example.payload["missing"]
    assert task.score(example, one).reward == pytest.approx(1 / 3)
    assert task.score(example, f"{one} {two}").reward == pytest.approx(2 / 3)
    assert task.score(example, f"{three} {two} {one}").reward == 1.0, "the order of words does not matter"


def test_a_page_that_the_first_search_found_is_shown_and_is_not_missing():
    for example in sample().split("train"):
        shown = example.question.partition("found these pages:\n\n")[2].partition("\n\nOther pages")[0]
        titles = [page.partition(": ")[0] for page in shown.split("\n\n")]
        assert len(titles) == 5
        assert not set(titles) & set(example.payload["missing"])


def test_feedback_on_training_examples_lists_found_and_missing_pages():
    task = sample("hover_hard")
    example = next(e for e in task.split("train") if len(e.payload["missing"]) == 2)
    one, two = example.payload["missing"]
    said = task.score(example, one).feedback
    assert said.startswith("The query found 1 of the 2 missing pages.")
    assert f" Found: '{one}'. Still missing: '{two}'. The query brought instead: '" in said
    assert task.score(example, f"{one} {two}").feedback.endswith(f" Found: '{one}', '{two}'.")
    assert task.score(example, " \n").feedback == f"The query is empty. Missing: '{one}', '{two}'."
    assert task.score(example, "w " * 400).feedback.startswith("The query has more than 500 characters")


def test_feedback_on_held_out_examples_counts_only():
    task = sample("hover_hard")
    for split in ("validation", "test"):
        for example in task.split(split):
            missing = example.payload["missing"]
            for completion in ("", missing[0], " ".join(missing), "nothing", "w " * 400):
                said = task.score(example, completion).feedback
                assert "'" not in said, "no title is quoted"
                assert not any(title in said for title in missing), said


def test_any_text_is_judged_in_time():
    task = sample()
    check_survives(task, examples(task), [task.answer(e) or "" for e in examples(task)])


def test_a_claim_keeps_its_split_whatever_the_family_and_the_number_of_pages():
    where: dict[str, set[str]] = {}
    for task in (sample(), sample("hover_hard"), HoverTask("hover", "sample", k=2), HoverTask("hover", "sample", k=20)):
        for example in examples(task):
            where.setdefault(example.payload["uid"], set()).add(example.split)
    assert all(len(splits) == 1 for splits in where.values())
    assert {
        e.payload["uid"] for e in examples(HoverTask("hover_hard", "sample", validation_size=200, test_size=200))
    } <= {e.payload["uid"] for e in examples(HoverTask("hover", "sample", validation_size=200, test_size=200))}, (
        "hard claims are claims of hover"
    )


def test_a_smaller_training_set_is_the_beginning_of_the_larger_one():
    assert list(HoverTask("hover", "sample", train_size=20).split("train")) == list(sample().split("train")[:20])


def test_the_sample_is_well_formed_and_half_of_it_is_not_supported():
    titles = [page.title for page in sample_pages()]
    assert len(titles) == len(set(titles)) == 650
    claims = sample_claims()
    assert len({row["claim"] for row in claims}) == len({row["uid"] for row in claims}) == len(claims)
    labels = [row["label"] for row in claims]
    assert abs(labels.count("SUPPORTED") - labels.count("NOT_SUPPORTED")) <= 1
    assert {row["num_hops"] for row in claims} == {2, 3, 4}
    assert all({title for title, _ in row["supporting_facts"]} <= set(titles) for row in claims)


# Files in the public schema.

PAGES = [
    {"title": "The Glass Door", "text": ["The Glass Door is a novel", " by R. Ekholm."]},
    {"title": "Rut Ekholm", "text": "Rut Ekholm is a writer from Bodalen."},
    {"title": "Jos\u00e9 Arba", "text": "Jos\u00e9 Arba painted harbours."},
    *({"title": f"Page {n}", "text": f"Novel number {n} is a door of its own."} for n in range(8)),
]


def claim(number: int, titles: list[str], **other) -> dict:
    facts = [[title, 0] for title in titles]
    row = {"uid": f"u{number}", "claim": f"The Glass Door, claim {number}, is a novel.", "supporting_facts": facts}
    return {**row, "label": "SUPPORTED", "num_hops": 2, "hpqa_id": "x", **other}


def written(folder: Path, claims, pages=PAGES, array: bool = False) -> str:
    lines = [json.dumps(row) for row in claims]
    (folder / "claims.json").write_text(f"[{','.join(lines)}]" if array else "\n".join(lines) + "\n")
    (folder / "corpus.jsonl").write_text("\n".join(json.dumps(page) for page in pages))
    return f"path={folder}/claims.json&corpus={folder}/corpus.jsonl"


@pytest.mark.parametrize("array", [True, False])
@pytest.mark.parametrize("form", ["pairs", "keys"])
def test_files_in_the_public_schema_are_read(tmp_path, array, form):
    claims = [claim(n, ["The Glass Door", "Rut Ekholm", "Rut Ekholm"]) for n in range(30)]
    if form == "keys":
        for row in claims:
            row["supporting_facts"] = [{"key": title, "value": place} for title, place in row["supporting_facts"]]
            row["label"] = 1
    task = resolve_task(f"hover?{written(tmp_path, claims, array=array)}&k=2")
    assert len(examples(task)) == 30
    assert all(task.split(split) for split in SPLITS)
    example = task.split("train")[0]
    assert example.payload["missing"] == ["Rut Ekholm"]
    assert "The Glass Door is a novel by R. Ekholm." in example.question, "sentences are joined"
    assert task.score(example, "rut ekholm, writer").reward == 1.0
    assert task.score(example, "claim").reward == 0.0


def test_titles_meet_in_any_unicode_form(tmp_path):
    title = unicodedata.normalize("NFD", "Jos\u00e9 Arba")
    task = resolve_task(f"hover?{written(tmp_path, [claim(n, [title]) for n in range(9)])}&k=2")
    example = task.split("train")[0]
    assert example.payload["missing"] == ["Jos\u00e9 Arba"], "HoVer's titles are decomposed, a corpus's may not be"
    for query in ("Jos\u00e9", "JOSE\u0301 arba"):
        assert task.score(example, query).reward == 1.0


def test_what_cannot_be_asked_is_left_out_and_counted(tmp_path, caplog):
    claims = [claim(n, ["The Glass Door", "Rut Ekholm"]) for n in range(12)]
    claims += [claim(20, ["The Glass Door"]), claim(21, ["Nowhere"]), claims[0]]
    with caplog.at_level(logging.WARNING):
        task = HoverTask("hover", *written(tmp_path, claims).removeprefix("path=").split("&corpus="), k=2)
    assert task.left_out == {"found by the first search": 1, "gold page not in the corpus": 1, "not hard": 0}
    assert task.duplicates == 1
    assert len(examples(task)) == 12
    assert "left out 1 claims with a gold page that is not in the corpus" in caplog.text
    with pytest.raises(BadInput, match=r"none of the 15 claims can be an example .*not hard: 12"):
        resolve_task(f"hover_hard?{written(tmp_path, claims)}&k=2")


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"uid": "u"}, "row 2 of '{}/claims.json' lacks claim, supporting_facts, label, num_hops"),
        (claim(1, ["x"], claim=" "), "has no text as its claim"),
        (claim(1, ["x"], claim=7), "has no text as its claim"),
        (claim(1, ["x"], claim="half \ud800"), "has no text as its claim"),
        (claim(1, ["x"], label="TRUE"), "has 'TRUE' as its label; write SUPPORTED or NOT_SUPPORTED"),
        (claim(1, ["x"], label=[]), "has [] as its label"),
        (claim(1, ["x"], num_hops="2"), "has '2' as num_hops"),
        (claim(1, ["x"], uid=None), "has no text or number as its uid"),
        (claim(1, []), "has no supporting_facts"),
        (claim(1, ["x"], supporting_facts={"key": ["x"]}), "has no supporting_facts"),
        ([], "lacks uid"),
    ],
)
def test_a_claim_that_cannot_be_used_is_named(tmp_path, row, said):
    query = written(tmp_path, [claim(0, ["The Glass Door"]), row])
    with pytest.raises(BadInput) as caught:
        resolve_task(f"hover?{query}")
    assert said.format(tmp_path) in str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b'{"title": "a", "text": "b"}\n{', "line 2 of"),
        (b'{"title": "a"}', "has no title and text"),
        (b'{"title": "", "text": "b"}', "has no title and text"),
        (b'{"title": "a", "text": [1]}', "has no title and text"),
        (b"[1]", "has no title and text"),
        (b'{"title": "a", "text": "half \\ud800"}', "has no title and text"),
        (b"\xff", "is not UTF-8"),
        (b"[" * 100_000, "is not JSON"),
    ],
)
def test_a_corpus_that_cannot_be_used_is_named(tmp_path, content, said):
    query = written(tmp_path, [claim(0, ["The Glass Door"])])
    (tmp_path / "corpus.jsonl").write_bytes(content)
    with pytest.raises(BadInput, match=r"corpus\.jsonl") as caught:
        resolve_task(f"hover?{query}")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("hover", "which claims? Write hover?path=FILE&corpus=FILE, or hover?path=sample"),
        ("hover_hard:x", "which claims?"),
        ("hover?path=none.json", "'none.json' does not exist; give a file, or path=sample"),
        ("hover?path=none.json&corpus=none.jsonl", "cannot read 'none.json'"),
        ("hover?path=sample&corpus=x", "leave 'corpus' out"),
        ("hover?path=sample&k=0", "'k' must lie between 1 and 100, got 0"),
        ("hover?path=sample&k=x", "'k' must be a whole number"),
        ("hover?path=sample&pages=3", "no parameter 'pages'"),
    ],
)
def test_bad_names_are_refused_in_one_line(spec, said):
    with pytest.raises(BadInput) as caught:
        resolve_task(spec)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_claims_without_a_corpus_are_refused(tmp_path):
    (tmp_path / "claims.json").write_text("[]")
    with pytest.raises(BadInput, match="Add &corpus=FILE"):
        resolve_task(f"hover?path={tmp_path / 'claims.json'}")


# Retrieval.


def test_equal_scores_keep_the_order_of_the_corpus():
    search = Search([Page(f"P{n}", "the same words") for n in range(30)])
    assert search.top("same", 7) == list(range(7))
    assert search.top("same P9", 3) == [9, 0, 1]


def test_a_query_without_a_known_word_finds_nothing():
    search = Search([Page("One", "page"), Page("Two", "page")])
    assert search.top("", 5) == search.top("the of", 5) == search.top("unheard \ud800 \x00", 5) == []
    assert search.top("two", 5) == [1], "pages that share no word are not filled in"


def test_ranking_is_that_of_bm25_computed_by_hand():
    from math import log

    texts = ["red boat", "red red house by a boat", "green house", "green hill hill hill"]
    search = Search([Page(f"T{n}", text) for n, text in enumerate(texts)])
    docs = [words(f"T{n} {text}") for n, text in enumerate(texts)]
    mean = sum(map(len, docs)) / len(docs)

    def score(doc: list[str], query: list[str]) -> float:
        total = 0.0
        for word in query:
            df, tf = sum(word in d for d in docs), doc.count(word)
            total += log(1 + (len(docs) - df + 0.5) / (df + 0.5)) * tf / (tf + 1.5 * (0.25 + 0.75 * len(doc) / mean))
        return total

    for query in (["red"], ["house", "boat"], ["green", "hill"], ["red", "hill", "boat"]):
        by_hand = [n for n in sorted(range(4), key=lambda n: -score(docs[n], query)) if score(docs[n], query) > 0]
        assert search.top(" ".join(query), 4) == by_hand, query
