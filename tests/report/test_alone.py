"""The report of a single run: what it learned, and nothing that takes others to say."""

from __future__ import annotations

import html
import json
from typing import Any

import pytest

from fastslow.report.pages.markdown import markdown
from fastslow.report.pages.page import page
from fastslow.report.questions.compare import compare
from fastslow.report.questions.verdict import headline
from fastslow.report.reading.sources import load_sources

from .runs import RL, make_run, make_whole_run, read_lines, write_lines


@pytest.mark.parametrize("mode", ["rl", "fst", "prompt"])
def test_one_run_alone_says_what_it_learned_and_claims_nothing_more(tmp_path, mode):
    path = make_run(tmp_path / "run", mode, 1, RL)
    told = json.loads((path / "summary.json").read_text())
    told["accuracy"] |= {"base_lead": 0.2, "seed": told["accuracy"].get("seed", 0.3)}
    (path / "summary.json").write_text(json.dumps({**told, "validation_examples": 18}))
    found = headline(compare(*load_sources([path]))[0])
    assert "Accuracy on 18 held-out questions went from 0.10" in found.sentence
    assert (found.question, found.answer) == ("What was learned?", "0.10 to 0.40")
    labels: dict[str, Any] = {"number": 4, "commonest": "desk", "commonest_share": 0.39}
    labels |= {"answered": "desk", "answered_share": 1.0}
    (path / "summary.json").write_text(json.dumps({**told, "labels": labels}))
    found = headline(compare(*load_sources([path]))[0])
    assert found.answer.startswith("0.10 to 0.40")
    assert (
        "Always answering 'desk' would be right on 0.39; what ships answers 'desk' to 100% of them." in found.sentence
    )
    labels["commonest_share"] = 0.40
    (path / "summary.json").write_text(json.dumps({**told, "labels": labels}))
    assert headline(compare(*load_sources([path]))[0]).answer == "0.10 to 0.40; always the same label: 0.40"
    assert "One seed, and nothing beside it" in found.sentence
    assert ("without training" in found.sentence) == (mode == "fst")
    labels["taken_for"] = {"desk": {"desk": 7, "bill|ing": 0, "": 0}, "bill|ing": {"desk": 5, "bill|ing": 2, "": 4}}
    (path / "summary.json").write_text(json.dumps({**told, "labels": labels}))
    shown = markdown(load_sources([path]))
    assert "### Which label was taken for which" in shown
    assert "| bill\\|ing | 5 | 2 | 4 |" in shown
    assert "### Ceiling" not in shown
    assert "against every control" not in shown, "which the first sentence tells"
    assert "18 answers under the " in shown
    drawn = page(load_sources([path]))
    assert drawn.rindex("Which label was taken for which") < drawn.index('id="c0-curves"')
    for damaged in ("x", {"desk": "x"}, {"desk": {"desk": "many"}}, {"desk": None}, [1]):
        (path / "summary.json").write_text(json.dumps({**told, "labels": {**labels, "taken_for": damaged}}))
        assert "many" not in markdown(load_sources([path]))


def test_where_little_was_learned_the_report_says_where_to_look_on(tmp_path):
    path = make_run(tmp_path / "run", "fst", 1, RL)
    told = json.loads((path / "summary.json").read_text())

    def said(**accuracy):
        (path / "summary.json").write_text(json.dumps({**told, "accuracy": told["accuracy"] | accuracy}))
        return headline(compare(*load_sources([path]))[0]).sentence

    clear = said(base_seed=0.0, base_lead=0.1, lead=0.9, mean=0.8)
    assert "what now" not in clear
    assert "--contexts all" not in clear
    other = said(base_seed=0.0, base_lead=0.1, lead=0.1, mean=0.4)
    assert "mean over the run's prompts is 0.40, so that another one answered better: fastslow eval RUN" in other
    assert "not clearly above the base's best; what to try: docs/tasks.md, 'It did not learn: what now?'" in other


def test_a_file_is_named_without_its_folder_unless_two_tasks_would_have_one_name(tmp_path):
    def headings(*tasks: str) -> list[str]:
        runs = [make_run(tmp_path / f"{len(list(tmp_path.iterdir()))}", "fst", 1, RL, task=task) for task in tasks]
        for run, task in zip(runs, tasks, strict=True):
            told = json.loads((run / "summary.json").read_text())
            (run / "summary.json").write_text(json.dumps({**told, "task": task}))
        lines = markdown(load_sources(runs)).splitlines()
        named = [line[3:] for line in lines if line.startswith("## ")]
        assert all(html.escape(name) in page(load_sources(runs)) for name in named)
        return named

    mails, others = (f"hf:/a/mails.csv?answer=team&question={name}" for name in ("text", "subject"))
    assert headings(mails) == ["mails.csv"]
    assert headings(mails, "star_graph?degree=3") == ["mails.csv", "star_graph?degree=3"]
    assert headings(mails, others) == [mails, others]


def test_routes_are_shown_where_a_router_chose_any(tmp_path):
    path = make_whole_run(tmp_path / "run", "fst", 1)
    assert "### Shares of the routes" in markdown(load_sources([path]))
    rows = [{**row, "route": "both"} for row in read_lines(path / "routes.jsonl")]
    write_lines(path / "routes.jsonl", rows)
    assert "### Shares of the routes" not in markdown(load_sources([path]))


def test_one_run_that_was_not_measured_is_asked_what_it_learned_too(tmp_path):
    path = make_run(tmp_path / "run", "fst", 1, RL)
    told = json.loads((path / "summary.json").read_text())
    (path / "summary.json").write_text(json.dumps({**told, "status": "stopped by SIGINT", "accuracy": {}}))
    (path / "evals.jsonl").unlink()
    found = headline(compare(*load_sources([path]))[0])
    assert (found.question, found.answer) == ("What was learned?", "Open")
    assert "was not measured" in found.sentence


def test_what_was_learned_before_a_bundle_is_not_credited_to_the_run_that_began_with_it(tmp_path):
    own = make_whole_run(tmp_path / "own", "rl", 1)
    later = make_whole_run(tmp_path / "later", "rl", 1, from_bundle="runs/a")
    (first,), (second,) = (compare(*load_sources([path]))[0].arms for path in (own, later))
    assert first.runs[0].curve().x[0] == 0
    assert list(second.runs[0].curve().x) == list(first.runs[0].curve().x)[1:], "there the base is no start"
    found = headline(compare(*load_sources([later]))[0])
    assert "The run began with the bundle 'runs/a'" in found.sentence
