"""Short names tell tasks apart, and cost no import of a task family."""

from __future__ import annotations

import subprocess
import sys

import pytest

from fastslow.tasks.names import short_names, split_names, titles


@pytest.mark.parametrize(
    ("tasks", "short"),
    [
        (["reasoning_gym:products"], ["products"]),
        (["jsonl:data/sums.jsonl", "hf:owner/name"], ["sums", "name"]),
        (["star_graph?degree=2"], ["star_graph"]),
        (["reasoning_gym:gcd?a=1&b=2", "reasoning_gym:gcd?a=1&b=3"], ["gcd?b=2", "gcd?b=3"]),
        (["jsonl:a/x.jsonl", "jsonl:b/x.jsonl"], ["jsonl:a/x.jsonl", "jsonl:b/x.jsonl"]),
        (["my.module:factory?broken"], ["factory?broken"]),
        (["jsonl:data/sums.jsonl?scorer=a:b", "jsonl:/x/dates.jsonl"], ["sums", "dates"]),
        (
            ["star_graph?ids=10&path=2", "star_graph?ids=10&path=3", "star_graph?degree=2&ids=10&path=2"],
            ["star_graph?path=2", "star_graph?path=3", "star_graph?degree=2&path=2"],
        ),
        (["?", "a?b", ""], ["?", "a?b", ""]),
    ],
)
def test_short_names_are_short_and_tell_tasks_apart(tasks: list[str], short: list[str]) -> None:
    assert list(short_names(tasks).values()) == short


def test_a_heading_has_files_without_folders_and_other_tasks_whole() -> None:
    tasks = ["hf:/a/b.csv?question=q", "jsonl:c/d.jsonl", "star_graph?degree=2", "?"]
    assert list(titles(tasks).values()) == ["b.csv", "d", "star_graph?degree=2", "?"]


def test_no_task_family_is_imported_for_a_name() -> None:
    code = (
        "import sys, fastslow.tasks.names; "
        "print([m for m in sys.modules if m.startswith('fastslow.tasks.families') or m in ('torch', 'reasoning_gym')])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("x.csv,data/y.jsonl?scorer=a:b,./z.parquet", ["x.csv", "data/y.jsonl?scorer=a:b", "./z.parquet"]),
        ("reasoning_gym:gcd?a=1,2,star_graph", ["reasoning_gym:gcd?a=1,2", "star_graph"]),
        ("a.b:c?x=1,2.5,/data/z.csv", ["a.b:c?x=1,2.5", "/data/z.csv"]),
    ],
)
def test_names_are_told_apart_files_among_them(text: str, names: list[str]) -> None:
    assert split_names(text) == names
