"""Answers that another program scored are paired by question, or refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fastslow.core.errors import BadInput
from fastslow.gate.gate import _samples_check
from fastslow.gate.policy import parse_policy
from fastslow.gate.samples import read_pair


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def harness(scores: dict[int, float], **more: Any) -> list[dict[str, Any]]:
    """Lines as lm-eval's --log_samples has them."""
    return [{"doc_id": i, "doc_hash": f"h{i}", "acc": score, "filter": "none", **more} for i, score in scores.items()]


def test_lines_are_paired_by_question_in_whatever_order(tmp_path: Path) -> None:
    one = write(tmp_path / "a", harness({0: 1.0, 1: 0.0}))
    two = write(tmp_path / "b", harness({1: 1.0, 0: 0.5}))
    assert read_pair(one, two, "acc") == ([[1.0], [0.0]], [[0.5], [1.0]])


def test_samples_of_a_question_are_one_question(tmp_path: Path) -> None:
    path = write(tmp_path / "a", [*harness({0: 1.0, 1: 1.0}), *harness({0: 0.0})])
    assert read_pair(path, path, "acc")[0] == [[1.0, 0.0], [1.0]]


def two_filters(first: dict[int, float], second: dict[int, float]) -> list[dict[str, Any]]:
    return [*harness(first, filter="strict-match"), *harness(second, filter="flexible-extract")]


@pytest.mark.parametrize("side", ["candidate", "baseline"])
def test_one_document_under_several_filters_is_not_counted_twice(side: str, tmp_path: Path) -> None:
    good = write(tmp_path / "good", harness({0: 1.0, 1: 1.0}))
    bad = write(tmp_path / "bad", two_filters({0: 1.0, 1: 1.0}, {0: 1.0}))
    with pytest.raises(BadInput, match="several filters: strict-match, flexible-extract; name one with 'filter'"):
        read_pair(*((bad, good) if side == "candidate" else (good, bad)), "acc")


def test_the_filter_that_the_policy_names_is_read_alone(tmp_path: Path) -> None:
    one = write(tmp_path / "a", two_filters({0: 1.0, 1: 0.0}, {0: 0.5, 1: 0.5}))
    two = write(tmp_path / "b", two_filters({0: 0.0, 1: 1.0}, {0: 0.5, 1: 0.5}))
    assert read_pair(one, two, "acc", "strict-match") == ([[1.0], [0.0]], [[0.0], [1.0]])
    with pytest.raises(BadInput, match="no answers of filter 'strict'; it has strict-match, flexible-extract"):
        read_pair(one, two, "acc", "strict")
    ours = write(tmp_path / "c", harness({0: 0.0, 1: 1.0}))
    with pytest.raises(BadInput, match="it has none"):
        read_pair(one, ours, "acc", "strict-match")


def test_a_check_reads_the_filter_of_its_policy(tmp_path: Path) -> None:
    path = write(tmp_path / "a", two_filters({0: 1.0, 1: 0.0}, {0: 1.0, 1: 1.0}))
    text = f"general:\n  samples:\n  - {{name: x, candidate: {path}, baseline: {path}, filter: strict-match}}\n"
    policy = parse_policy(text.encode(), "policy")
    check = _samples_check(policy.samples[0], policy)
    assert (check.n, check.candidate) == (2, 0.5)


def test_one_document_under_several_prompts_is_not_counted_twice(tmp_path: Path) -> None:
    """Two evaluations with different numbers of examples in the prompt, put into one file."""
    path = write(tmp_path / "a", [*harness({0: 1.0}, prompt_hash="p0"), *harness({0: 1.0}, prompt_hash="p5")])
    with pytest.raises(BadInput, match="several prompts; give a file with one"):
        read_pair(path, path, "acc")


def test_our_own_samples_files_are_read_for_the_released_model(tmp_path: Path) -> None:
    about = {"task": "t", "split": "test", "context_id": "c", "example_id": "e", "sample": 0, "tokens": 3}
    rows = [{**about, "weights": w, "context": c, "reward": r}
            for w, c, r in (("base", "lead", 0.0), ("trained", "seed", 0.0), ("trained", "lead", 1.0))]  # fmt: skip
    path = write(tmp_path / "a", rows)
    assert read_pair(path, path, "acc")[0] == [[1.0]]


BAD = {
    "empty": ([], "holds no answers"),
    "foreign": ([{"text": "hello"}], "names no question"),
    "metric": ([{"doc_id": 0, "exact_match": 1}], "has no 'acc'"),
    "range": (harness({0: 7}), "from 0 to 1"),
    "nan": ([{"doc_id": 0, "acc": float("nan")}], "from 0 to 1"),
    "huge": ([{"doc_id": 0, "acc": 10**400}], "from 0 to 1"),
    "huger": ([{"doc_id": 0, "acc": float("inf")}], "from 0 to 1"),
    "negative": ([{"doc_id": 0, "acc": -(10**400)}], "from 0 to 1"),
    "escapes": ([{"doc_id": "\x1b[2J\n", "acc": 1}], "lacks question"),
    "text": ([{"doc_id": 0, "acc": "1"}], "from 0 to 1"),
    "fewer": (harness({0: 1.0}), "do not answer the same questions"),
    "renamed": (harness({0: 1.0, 1: 1.0}, doc_hash="other"), "do not answer the same questions"),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("side", ["candidate", "baseline"])
def test_a_file_that_does_not_answer_the_questions_is_refused(name: str, side: str, tmp_path: Path) -> None:
    rows, words = BAD[name]
    good, bad = write(tmp_path / "good", harness({0: 1.0, 1: 1.0})), write(tmp_path / "bad", rows)
    pair = (bad, good) if side == "candidate" else (good, bad)
    with pytest.raises(BadInput, match=words) as refused:
        read_pair(*pair, "acc")
    assert str(refused.value).isprintable()


def test_a_number_of_thousands_of_digits_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_text('{"doc_id": 0, "acc": %s}\n' % ("9" * 5000))
    with pytest.raises(BadInput, match="line 1 is not JSON"):
        read_pair(str(tmp_path / "x"), str(tmp_path / "x"), "acc")


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"\xff\xfe\x00")
    for path, words in ((tmp_path / "x", "line 1"), (tmp_path / "none", "cannot be read")):
        with pytest.raises(BadInput, match=words):
            read_pair(str(path), str(path), "acc")
