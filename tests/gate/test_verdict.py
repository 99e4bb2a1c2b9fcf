"""One verdict makes the text, the JSON, the JUnit report and the page."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from rich.console import Console

from fastslow.core.errors import BadInput
from fastslow.files.jsonl import dumps
from fastslow.gate import junit, page
from fastslow.gate.terminal import show
from fastslow.gate.verdict import Asked, Check, Lost, Model, Verdict, read_verdict
from tests.support.hostile import ATTACKS

CHECKS = (
    Check("gain", "new", "pass", "shown", 0.9, 0.5, 0.4, 0.3, 0.5, 0.0, 100, 45, 5, 2),
    Check("retain", "old", "fail", "it lost", 0.4, 0.6, -0.2, -0.3, -0.1, -0.05, 100, 5, 25, 1, None,
          (Lost("2 + 2?", "5", "4", 0.0, 1.0),)),
    Check("retain", "third", "undecided", "about 50 more", n=400, more=50),
    Check("limit", "KL", "invalid", "it could not be measured"),
)  # fmt: skip
VERDICT = Verdict(
    state="fail", candidate=Model("runs/a", "a" * 64), baseline=Model("r@champion", "b" * 64), policy_digest="c" * 64,
    policy="alpha: 0.05\n", margins={"old": 0.05}, alpha=0.05, looks=4, contexts="lead", seed=7, checks=CHECKS,
    questions=(Asked("old", 100, 5, "d" * 64),), notes=("a note",), made="2026-01-01T00:00:00+00:00", seconds=12.5,
    versions={"fastslow": "0"},
)  # fmt: skip


def text_of(verdict: Verdict) -> str:
    out = io.StringIO()
    show(verdict, Console(file=out, width=200))
    return out.getvalue()


def test_every_form_names_every_check_and_its_state() -> None:
    forms = [
        text_of(VERDICT),
        dumps(VERDICT.to_json()).decode(),
        junit.xml(VERDICT).decode(),
        page.html(VERDICT).decode(),
    ]
    for form in forms:
        for check in CHECKS:
            assert check.name in form
            assert check.state in form or (check.state == "pass" and b"<?xml" in form.encode())
        assert "a note" in form


def test_the_json_comes_back_as_the_verdict(tmp_path: Path) -> None:
    (tmp_path / "v.json").write_bytes(dumps(VERDICT.to_json(), indent=2))
    assert read_verdict(tmp_path / "v.json") == VERDICT


def test_any_changed_byte_of_the_json_is_refused(tmp_path: Path) -> None:
    whole = dumps(VERDICT.to_json(), indent=2)
    for at in range(0, len(whole), 7):
        changed = bytearray(whole)
        changed[at] ^= 1
        (tmp_path / "v.json").write_bytes(bytes(changed))
        try:
            same = json.loads(changed) == json.loads(whole)  # a space became another one
        except ValueError:
            same = False
        if not same:
            with pytest.raises(BadInput):
                read_verdict(tmp_path / "v.json")


def test_junit_counts_failures_and_errors() -> None:
    root = ElementTree.fromstring(junit.xml(VERDICT))
    suite = root[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("4", "1", "2")
    problems = {case.get("name"): [child.tag for child in case] for case in suite.iter("testcase")}
    assert problems == {"new": ["system-out"], "old": ["failure"], "third": ["error"], "KL": ["error"]}


def hostile(text: str) -> Verdict:
    """The text wherever a model, a task or a user can write to."""
    check = replace(CHECKS[1], name=text, reason=text, losses=(Lost(text, text, text, 0.0, 1.0),))
    return replace(VERDICT, checks=(check,), notes=(text,), policy=text, candidate=Model(text, "a"))


class Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found |= {tag, *(name for name, _ in attrs)}


def elements(verdict: Verdict) -> set[str]:
    parser = Elements()
    parser.feed(page.html(verdict).decode())
    return parser.found


@pytest.mark.row(name="hostile")
def test_hostile_texts_make_no_element_of_the_page_and_none_of_the_xml(record_property) -> None:
    texts = [*ATTACKS, "\x00\x01\x1b[31m\ud800\ufffe", "]]>", "\u202eabc"]
    harmless = elements(hostile("text"))
    assert "script" not in harmless
    tags = {element.tag for element in ElementTree.fromstring(junit.xml(hostile("text"))).iter()}
    for text in texts:
        assert elements(hostile(text)) <= harmless, text
        assert {element.tag for element in ElementTree.fromstring(junit.xml(hostile(text))).iter()} == tags, text
    record_property("cases", 2 * len(texts))


def test_lone_surrogates_of_a_model_can_be_written_and_read(tmp_path: Path) -> None:
    (tmp_path / "v.json").write_bytes(dumps(hostile("\ud800").to_json()))
    assert read_verdict(tmp_path / "v.json").notes == ("\\ud800",)
    assert text_of(hostile("\ud800"))
