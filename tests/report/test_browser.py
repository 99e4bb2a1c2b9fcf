"""The HTML report in a real headless browser: quiet, offline, inert, and usable without a mouse or a wide screen."""

from __future__ import annotations

import json
import re
from functools import partial

import pytest

from fastslow.cli.main import main
from fastslow.report.pages.page import page
from fastslow.report.reading.sources import load_sources
from tests.support.hostile import HOSTILE

from .runs import make_run, make_whole_run

pytestmark = pytest.mark.browser

PWNED = "window.pwned = []; window.pwn = (n) => window.pwned.push(n);"


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A report of two arms with two seeds each."""
    folder = tmp_path_factory.mktemp("report")
    runs = [make_whole_run(folder / f"{m}-s{s}", m, s) for m in ("rl", "fst") for s in (1, 2)]
    (folder / "report.html").write_text(page(load_sources(runs)))
    return folder / "report.html"


def _as_name(attack: str, at: int) -> str:
    """As much of it as a folder's name can hold."""
    return attack.replace("/", "∕").replace("\x00", "").encode("utf-8", "replace").decode()[:60] + str(at)


class Visit:
    """A page, and everything that went wrong or left it."""

    def __init__(self, browser, path, **how):
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **how})
        self.context.add_init_script(PWNED)
        self.page = self.context.new_page()
        self.said, self.asked, self.dialogs = [], [], []
        self.page.on("console", lambda message: self.said.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("dialog", self._dismiss)
        self.page.goto(path.as_uri())
        self.page.wait_for_selector("html[data-ready]")

    def _dismiss(self, dialog):
        self.dialogs.append(dialog.message)
        dialog.dismiss()

    def value(self, script):
        return self.page.evaluate(script)


@pytest.fixture
def visit(chromium):
    visits = []

    def go(path, **how):
        visits.append(Visit(chromium, path, **how))
        return visits[-1]

    yield go
    for one in visits:
        one.context.close()


def test_charts_are_drawn_without_an_error_or_a_request(visit, report):
    seen = visit(report)
    drawn = seen.value(
        "[...document.querySelectorAll('.plot')].map(p => p.querySelectorAll('.scatterlayer .trace').length)"
    )
    assert len(drawn) >= 8
    assert all(drawn), drawn
    assert seen.said == []
    assert [url for url in seen.asked if not url.startswith(("file:", "data:"))] == []
    assert len([url for url in seen.asked if url.startswith("file:")]) == 1, "the page alone"


def test_ticks_of_a_short_run_are_plain_numbers(visit, tmp_path):
    """Not 500m for a half, nor half a step."""
    run = make_run(tmp_path / "run", "fst", 1, [(1, 0.25, 0.001), (2, 0.5, 0.002)], cost=1)
    (tmp_path / "report.html").write_text(page(load_sources([run])))
    seen = visit(tmp_path / "report.html")
    texts = "[...document.querySelectorAll('.xtick text, .ytick text')].map(t => t.textContent)"
    assert [text for text in seen.value(texts) if re.search("[a-zµ]", text)] == []
    steps = "[...document.querySelectorAll('[data-chart=accuracy] .xtick text')].map(t => t.textContent)"
    assert seen.value(steps) == ["0", "1", "2"]


@pytest.mark.row(name="hostile")
@pytest.mark.parametrize("start", range(0, len(HOSTILE), 12))
def test_nothing_that_files_hold_can_act(visit, tmp_path, start, record_property):
    """Every attack in every place that a model, a task or a user can write to."""
    mine, turn = HOSTILE[start : start + 12], [0]
    record_property("cases", len(mine))

    def say(at, what):
        turn[0] += 1
        # Of two tasks: each has a chapter of its own, whose charts take most of a page's time.
        return f"{mine[at % 2 if what == 'task' else turn[0] % len(mine)]} {what}"

    folders = []
    for at, (mode, attack) in enumerate(zip(["fst", "rl", "prompt"] * len(mine), mine, strict=False)):
        extra = {"note": attack, attack: attack}
        folder = tmp_path / _as_name(attack, at)
        folders.append(make_whole_run(folder, mode, at, steps=10, every=5, say=partial(say, at), **extra))
    (tmp_path / "report.html").write_text(page(load_sources(folders)))
    seen = visit(tmp_path / "report.html")
    for one in seen.page.query_selector_all(".plot")[:6]:
        one.hover()
    seen.value("document.querySelectorAll('details').forEach(d => d.open = true)")
    seen.page.keyboard.press("Tab")
    seen.page.wait_for_timeout(200)
    assert seen.value("window.pwned") == []
    assert seen.dialogs == []
    assert [url for url in seen.asked if "attacker" in url] == []
    made = seen.value(
        "[...document.querySelectorAll('iframe,object,embed,img,video,link,base,form:not(.controls),x-pwned,template,math,"
        "a[href^=javascript i],svg a,svg script,[onload],[onerror],[onfocus],[onmouseover],[ontoggle]')]"
        ".map(e => e.outerHTML)"
    )
    assert made == []
    assert seen.value("document.querySelectorAll('script').length") == 3, "the data, plotly and ours"
    assert [one for one in seen.said if "Content Security Policy" in one] == [], "nothing even tried"


def test_arm_names_are_shown_as_they_are(visit, tmp_path):
    """plotly reads markup and %{templates} in its texts."""
    attack = "<b>x</b><a href='javascript:pwn(1)'>y</a>%{y}"
    run = make_whole_run(tmp_path / "run", "fst", 1)
    (tmp_path / "comparison.json").write_text(
        json.dumps({"kind": "compare", "cells": [{"path": "run", "arm": attack, "seed": 1, "status": "done"}]})
    )
    (tmp_path / "report.html").write_text(page(load_sources([run.parent])))
    seen = visit(tmp_path / "report.html")
    seen.page.locator("[data-chart=accuracy] .scatterlayer .point").last.hover(force=True)
    seen.page.wait_for_selector("[data-chart=accuracy] .hoverlayer .hovertext")
    shown = seen.value("document.querySelector('[data-chart=accuracy] .hoverlayer').textContent")
    assert attack in shown.replace("\u200b", "")
    assert seen.page.locator("[data-chart=accuracy] .hoverlayer a").count() == 0


def test_every_control_can_be_reached_and_used_with_the_keyboard(visit, report):
    seen = visit(report)
    keyboard = seen.page.keyboard
    keyboard.press("Tab")
    assert seen.value("document.activeElement.className") == "skip"
    reached = []
    for _ in range(60):
        keyboard.press("Tab")
        reached.append(
            seen.value("document.activeElement.name || document.activeElement.id || document.activeElement.tagName")
        )
        if reached[-1] == "axis":
            break
    assert "theme" in reached
    assert reached[-1] == "axis", reached
    title = "document.querySelector('[data-chart=accuracy] .xtitle').textContent"
    assert seen.value(title) == "optimiser steps"
    keyboard.press("ArrowRight")
    assert seen.value(title) == "rollouts generated"
    assert seen.value("getComputedStyle(document.activeElement.nextElementSibling).outlineStyle") == "solid", (
        "focus is seen"
    )
    while seen.value("document.activeElement.dataset.arm") is None:
        keyboard.press("Tab")
    lines = "document.querySelectorAll('[data-chart=accuracy] .scatterlayer .trace').length"
    before = seen.value(lines)
    keyboard.press("Enter")
    assert seen.value(lines) < before
    assert seen.value("document.activeElement.getAttribute('aria-pressed')") == "false"
    while seen.value("document.activeElement.tagName") != "SUMMARY":
        keyboard.press("Tab")
    keyboard.press("Enter")
    assert seen.value("document.activeElement.parentElement.open")


def test_a_phone_never_scrolls_sideways(visit, report):
    seen = visit(report, viewport={"width": 360, "height": 740}, has_touch=True)
    seen.value("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert seen.value("document.documentElement.scrollWidth") == 360
    assert seen.value("[...document.querySelectorAll('.plot')].every(p => p.getBoundingClientRect().right <= 360)")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_follows_the_readers_scheme_and_a_switch(visit, report, scheme):
    seen = visit(report, color_scheme=scheme)
    ground = "getComputedStyle(document.body).backgroundColor"
    tick = "getComputedStyle(document.querySelector('.xtick text')).fill"
    first = seen.value(ground), seen.value(tick)
    assert (first[0] == "rgb(255, 255, 255)") == (scheme == "light")
    seen.page.click("#theme")
    second = seen.value(ground), seen.value(tick)
    assert first[0] != second[0]
    assert first[1] != second[1], "the charts too"
    seen.page.click("#theme")
    assert (seen.value(ground), seen.value(tick)) == first


def test_landmarks_and_names_are_there_for_a_screen_reader(visit, report):
    seen = visit(report)
    assert seen.value("document.querySelectorAll('main, nav, header, footer').length") == 4
    assert seen.value("document.querySelectorAll('h1').length") == 1
    controls = "[...document.querySelectorAll('button, input, select')]"
    nameless = f"{controls}.filter(e => !(e.labels?.length || e.textContent.trim()))"
    assert seen.value(f"{nameless}.length") == 0
    ids = seen.value("[...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(ids) == len(set(ids))


def test_a_picture_holds_the_curves(chromium, report, tmp_path):
    runs = sorted(str(path) for path in report.parent.iterdir() if path.is_dir())
    assert main(["report", *runs, "--output", str(tmp_path / "r.png")]) == 0
    data = (tmp_path / "r.png").read_bytes()
    assert data.startswith(b"\x89PNG")
    width, height = (int.from_bytes(data[at : at + 4], "big") for at in (16, 20))
    assert width == 1280
    assert height > 1000
