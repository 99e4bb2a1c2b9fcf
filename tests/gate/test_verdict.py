"""One verdict makes the text, the JSON, the JUnit report and the page."""

from __future__ import annotations

import copy
import functools
import io
import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from rich.console import Console

from fastslow.core.errors import BadInput
from fastslow.files.jsonl import dumps
from fastslow.files.manifest import signed
from fastslow.gate import junit, page
from fastslow.gate.audit import contradiction, policy_of
from fastslow.gate.terminal import sentences, show
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


def test_a_mean_reward_of_partial_credit_stands_beside_the_share_fully_right() -> None:
    graded = replace(VERDICT, checks=(replace(CHECKS[0], candidate_right=0.25, baseline_right=0.125),))
    for form in (text_of(graded), junit.xml(graded).decode(), page.html(graded).decode()):
        assert "0.900 / 25.0%" in form
        assert "0.500 / 12.5%" in form
        assert "partial credit: of gain new, what stands is the mean reward / the share fully right" in form
        assert "90.0%" not in form


def test_a_verdict_made_before_partial_credit_was_told_apart_is_read(tmp_path: Path) -> None:
    data = {key: value for key, value in VERDICT.to_json().items() if key != "sha256"}
    for check in data["checks"]:
        del check["candidate_right"], check["baseline_right"]
    (tmp_path / "v.json").write_bytes(dumps(signed(data)))
    assert read_verdict(tmp_path / "v.json") == VERDICT


def test_a_pass_that_is_shown_worse_says_so_in_its_first_line() -> None:
    lost = replace(CHECKS[1], state="pass", low=-0.192, high=-0.022, against=-0.2)
    prose = Check("prose", "bits per byte", "pass", "", 1.01, 1.0, 0.006, 0.003, 0.008, 0.01, 8)
    passed = replace(VERDICT, state="pass", checks=(CHECKS[0], lost, prose))
    said = (
        "every check passed, though shown worse on old: -19.2 to -2.2 points, within the margin of 20; "
        "prose: +0.3% to +0.8% bits per byte, within the limit of 1%; a false release has a chance of at most 5%"
    )
    for form in (text_of(passed), junit.xml(passed).decode(), page.html(passed).decode()):
        assert said in form
    for check in (replace(lost, high=0.01), CHECKS[0]):
        assert "worse" not in text_of(replace(passed, checks=(check,)))


def test_every_form_says_the_confidence_of_its_intervals() -> None:
    assert "90% intervals" in text_of(VERDICT)
    assert "90% interval<" in page.html(VERDICT).decode()
    assert 'name="interval level" value="90%"' in junit.xml(VERDICT).decode()
    assert VERDICT.to_json()["interval_level"] == 0.9


def test_the_reason_of_a_check_is_said_once_in_every_form() -> None:
    forms = [text_of(VERDICT), page.html(VERDICT).decode()]
    for form in forms:
        for check in CHECKS:
            assert form.count(check.reason) == (form is forms[1] or check.state != "pass"), check.reason


def test_a_question_that_was_lost_in_several_checks_stands_on_the_page_once() -> None:
    lost = tuple(Lost(f"What is {n}?", "5", "4", 0.0, 1.0) for n in (1, 2, 2, 3))
    checks = (
        replace(CHECKS[0], lost=4, losses=lost[:3]),
        replace(CHECKS[1], lost=4, losses=lost),
        replace(CHECKS[1], name="more", lost=2, losses=lost[:2]),
    )
    form = page.html(replace(VERDICT, checks=checks)).decode()
    assert [form.count(f"<pre>What is {n}?</pre>") for n in (1, 2, 3)] == [1, 1, 1]
    assert "2 of 4 lost questions, the greatest losses first." in form
    assert "3 of 4 lost questions, the greatest losses first; 2 of them stand above." in form
    assert "2 of 2 lost questions, the greatest losses first; 2 of them stand above." in form


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


WRONG: tuple[Any, ...] = (None, True, 1.5, 10**400, "\ud800", [1], {"a": 1})


def places(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place within JSON."""
    if path:
        yield path
    for key in data if isinstance(data, dict) else range(len(data)) if isinstance(data, list) else ():
        yield from places(data[key], (*path, key))


def edited(path: tuple[Any, ...], value: Any) -> bytes:
    """The verdict with another value in one place, and its SHA-256 renewed; `...` leaves the place out."""
    body = copy.deepcopy(replace(VERDICT, checks=CHECKS[1:2]).to_json())
    *outer, last = path
    place = functools.reduce(lambda inner, key: inner[key], outer, body)
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return dumps(signed({key: one for key, one in body.items() if key != "sha256"}))


def test_any_value_in_any_place_is_read_and_shown_or_refused_in_one_line(tmp_path: Path) -> None:
    read = 0
    for path in places(replace(VERDICT, checks=CHECKS[1:2]).to_json()):
        for value in (*WRONG, ...):
            (tmp_path / "v.json").write_bytes(edited(path, value))
            problem = None
            try:
                verdict = read_verdict(tmp_path / "v.json")
            except BadInput as refused:
                problem = str(refused)
            else:
                read += 1
                assert all(sentences(verdict))
                assert junit.xml(verdict)
                with suppress(BadInput):
                    assert contradiction(verdict, policy_of(verdict, None))
            assert problem is None or (problem.isprintable() and len(problem) < 500)
    assert read > 20


@pytest.mark.parametrize(
    "text", ["NaN", "1e999", "-Infinity", "9" * 5000, "[" * 100_000, "1", "[]", "null", '{"a": 1, "a": 1}', "\xff", ""]
)
@pytest.mark.parametrize("place", ["all", "alpha"])
def test_json_that_has_no_meaning_is_refused_in_one_line(text: str, place: str, tmp_path: Path) -> None:
    whole = dumps(VERDICT.to_json())
    content = (
        text.encode("latin-1") if place == "all" else whole.replace(b'"alpha": 0.05', b'"alpha": ' + text.encode())
    )
    (tmp_path / "v.json").write_bytes(content)
    with pytest.raises(BadInput) as refused:
        read_verdict(tmp_path / "v.json")
    assert str(refused.value).isprintable()


def test_junit_counts_failures_and_errors() -> None:
    root = ElementTree.fromstring(junit.xml(VERDICT))
    suite = root[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("4", "1", "2")
    problems = {case.get("name"): [child.tag for child in case] for case in suite.iter("testcase")}
    assert problems == {
        "gain new": ["system-out"],
        "retain old": ["failure"],
        "retain third": ["error"],
        "limit KL": ["error"],
    }


def names(*checks: Check) -> list[str]:
    root = ElementTree.fromstring(junit.xml(replace(VERDICT, checks=checks)))
    assert not [case for case in root.iter("testcase") if "time" in case.attrib], "no check knows its seconds"
    return [case.get("name", "") for case in root.iter("testcase")]


def test_junit_names_a_check_by_kind_and_task_always_alike_and_in_bounds() -> None:
    one, other = (Check("retain", f"jsonl:{'x' * 5000}{end}", "pass", "") for end in "ab")
    assert names(CHECKS[0], one) == names(replace(CHECKS[0], state="fail", difference=0.1), one)
    assert names(one) != names(other)
    for hostile_name in ("a\nb", "a\tb", "a  b", "\x1b[31m", "\u202eabc"):
        (name,) = names(Check("retain", hostile_name, "pass", ""))
        assert name.isprintable()
        assert name != names(Check("retain", "a b", "pass", ""))[0]
    assert max(map(len, names(one, other, CHECKS[0]))) <= 180


def test_words_of_a_verdict_stay_in_their_line_on_a_terminal() -> None:
    lines = len(text_of(hostile("text")).splitlines())
    for text in ("\x1b[2J\x1b]0;owned\x07", "a\nPASS: every check passed", "a\r\nb", "\u202eabc\u2028"):
        said = text_of(replace(hostile(text), contexts=text))
        assert len(said.splitlines()) == lines, text
        assert all(c.isprintable() or c == "\n" for c in said), text


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
