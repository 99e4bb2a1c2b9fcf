"""The HTML report as text: complete, closed, small, and made of any file at all."""

from __future__ import annotations

import html
import json
import random
import re
from html.parser import HTMLParser

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastslow.report.pages.csv_rows import rows
from fastslow.report.pages.markdown import markdown
from fastslow.report.pages.page import page
from fastslow.report.questions.lineage import difference, lineage
from fastslow.report.reading.data import load_run
from fastslow.report.reading.sources import load_sources
from tests.support.hostile import ATTACKS, HOSTILE

from .runs import FST, RL, make_comparison, make_run, make_whole_run

LIMIT = 10 * 1000**2


@pytest.fixture
def runs(tmp_path):
    return [make_whole_run(tmp_path / f"{mode}-s{seed}", mode, seed) for mode in ("rl", "fst") for seed in (1, 2)]


@pytest.fixture
def small_plotly(monkeypatch):
    """For pages by the hundred: the four megabytes of plotly, the same in each, take most of the time to make one."""
    monkeypatch.setattr("fastslow.report.pages.page.get_plotlyjs", lambda: "var Plotly;")


def test_the_page_is_one_file_that_loads_nothing(runs):
    made = page(load_sources(runs))
    bare = re.sub(r"<script>.*?</script>", "", made, flags=re.S)
    assert not re.search(r'\s(src|href)=(?!"#)', bare), "only links within the page"
    assert "default-src 'none'" in html.unescape(made)
    assert "connect-src" not in made


def test_the_page_shows_every_part(runs):
    made = page(load_sources(runs))
    for part in (
        "Did it pay?", "Where it ends: weights and context", "Ceiling by sigmoid fit",
        "KL to the base at like mean reward",
        "Who proposed, and what came of it", "Lineage", "In use at the end", "Rollouts", "Routes", "Costs by phase",
        "config.yaml", "unknown",
    ):  # fmt: skip
        assert part in made, part


def test_a_long_comparison_stays_below_ten_megabytes(tmp_path):
    words = random.Random(0)

    def say(what):
        if what not in ("completion", "question", "feedback", "instruction", "worked question", "worked answer"):
            return what
        return " ".join(words.choice(["carry", "the", "<digit>", "'over'", "&", "7"]) for _ in range(800))

    for mode in ("rl", "fst", "prompt_rl", "rl_prompt"):
        for seed in (1, 2, 3):
            make_whole_run(tmp_path / "c" / f"{mode}-s{seed}", mode, seed, steps=600, say=say)
    cells = [
        {"path": f"{mode}-s{seed}", "arm": mode, "mode": mode, "seed": seed, "status": "done"}
        for mode in ("rl", "fst", "prompt_rl", "rl_prompt")
        for seed in (1, 2, 3)
    ]
    made = page(load_sources([make_comparison(tmp_path / "c", "compare", cells)])).encode()
    assert len(made) < LIMIT, f"{len(made):,} bytes"
    assert b"are left out here; contexts.jsonl has them" in made


@pytest.mark.parametrize("files", [[], ["config.yaml"], ["config.yaml", "metrics.jsonl"]])
def test_a_run_that_has_just_begun_gives_a_page_that_says_so(tmp_path, files):
    folder = make_run(tmp_path / "run", "fst", 1, FST)
    for path in folder.iterdir():
        if path.name not in ["config.yaml", *files]:
            path.unlink()
    made = page(load_sources([folder]))
    assert "not finished" in made
    assert "Open" in made


def test_a_comparison_without_a_single_run_gives_a_page(tmp_path):
    cells = [{"path": "a", "arm": "fst", "mode": "fst", "seed": 1, "status": "failed", "error": "no memory"}]
    source = load_sources([make_comparison(tmp_path / "c", "compare", cells)])
    assert "no memory" in page(source)
    assert "no memory" in markdown(source)


def test_several_comparisons_are_all_answered_on_the_first_screen(tmp_path):
    arms = [(task, mode, points) for task in "ab" for mode, points in (("rl", RL), ("fst", FST))]
    runs = [make_run(tmp_path / (t + m), m, 1, points, done=False, task=t) for t, m, points in arms]
    first = page(load_sources(runs)).partition("<article")[0]
    assert first.count("<b>Open.</b>") == 2


def test_damaged_lines_are_counted_and_left_out(runs):
    with (runs[0] / "rollouts.jsonl").open("a") as file:
        file.write('{"step": \n\xff\n')
    assert "rollouts.jsonl: 2 damaged lines left out" in page(load_sources(runs))


class Elements(HTMLParser):
    """What a page is made of, as far as it can be told without a browser."""

    def __init__(self):
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        assert not any((value or "").lower().startswith("javascript:") for _, value in attrs)


@pytest.mark.usefixtures("small_plotly")
@pytest.mark.row(name="hostile")
def test_hostile_texts_make_no_element(tmp_path, record_property):
    """Every one in every place that a model, a task or a user can write to; test_browser.py sees what acts."""

    def elements(text):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        run = make_whole_run(folder, "fst", 1, steps=10, every=5, say=lambda what: f"{text} {what}", note=text)
        found = Elements()
        found.feed(page(load_sources([run])))
        return found

    harmless = elements("text")
    for text in HOSTILE:
        found = elements(text)
        assert found.tags.count("script") == harmless.tags.count("script"), text
        assert set(found.tags) <= set(harmless.tags), text
        assert found.attributes <= harmless.attributes, text
    record_property("cases", len(HOSTILE))


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from([10**400, "x", "", *ATTACKS[:4]]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["slow", "id", "step", "a"]), inner),
    max_leaves=4,
)  # fmt: skip
FILES = [
    "metrics.jsonl",
    "evals.jsonl",
    "routes.jsonl",
    "rollouts.jsonl",
    "contexts.jsonl",
    "summary.json",
    "bundle/population.json",
]


@pytest.mark.usefixtures("small_plotly")
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_type_in_any_field_stops_a_report(tmp_path_factory, data):
    folder = make_whole_run(tmp_path_factory.mktemp("fuzz") / "run", "fst", 1, steps=10)
    name = data.draw(st.sampled_from(FILES))
    lines = (folder / name).read_text().splitlines()
    at = data.draw(st.integers(0, len(lines) - 1))
    row = json.loads(lines[at])
    for key in data.draw(st.lists(st.sampled_from(sorted(row)), min_size=1, max_size=3)):
        row[key] = data.draw(ANYTHING)
    lines[at] = json.dumps(row)
    (folder / name).write_text("\n".join(lines))
    other = make_run(folder.parent / "rl", "rl", 1, RL)
    for make in (page, markdown, rows):
        make(load_sources([folder, other])).encode()


@pytest.mark.usefixtures("small_plotly")
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(plan=st.dictionaries(st.sampled_from(["kind", "recipe", "reference", "cells"]), ANYTHING), cell=st.data())
def test_no_type_in_a_plan_or_config_stops_a_report(tmp_path_factory, plan, cell):
    folder = tmp_path_factory.mktemp("plan")
    run = make_run(folder / "run", "fst", 1, FST)
    keys = st.sampled_from(["path", "arm", "mode", "seed", "status", "error", "seconds"])
    plan.setdefault("cells", [{"path": "run", **cell.draw(st.dictionaries(keys, ANYTHING))}])
    (folder / "comparison.json").write_text(json.dumps(plan))
    config = cell.draw(
        st.dictionaries(st.sampled_from(["mode", "seed", "task", "tasks", "stage_steps", "model"]), ANYTHING)
    )
    (run / "config.yaml").write_text(json.dumps(config))
    for make in (page, markdown, rows):
        make(load_sources([folder])).encode()


def test_an_edit_is_shown_word_by_word():
    (line,) = difference(["Give the number."], ["Give only the number."])
    assert [kind for kind, _ in line] == ["same", "ins", "same"]
    assert "".join(part for kind, part in line if kind != "del") == "Give only the number."
    gap = difference([*map(str, range(20))], [*map(str, range(20)), "new"])
    assert gap[0] == [("gap", "18 unchanged lines")]
    assert gap[-1] == [("ins", "new")]


def test_a_circle_of_parents_is_shown_once(tmp_path):
    folder = make_whole_run(tmp_path / "run", "fst", 1, steps=10)
    contexts = [
        {"id": name, "parents": [parent], "accepted": True, "components": {"instruction": name}, "step": 0}
        for name, parent in (("a", "b"), ("b", "a"))
    ]
    (folder / "contexts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in contexts))
    (folder / "bundle" / "population.json").unlink()
    assert sorted(node.id for node in lineage(load_run(folder), 10).nodes) == ["a", "b"]
