"""Replies that were paid for are never paid for twice, and never passed off as others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fastslow.config.settings import FastSlowConfig
from fastslow.core.errors import BadInput, EndpointError, FastSlowError
from fastslow.fast.reflection.costs import Ceiling
from fastslow.fast.reflection.endpoint import OpenAIReflectionLM
from fastslow.fast.reflection.journal import JOURNAL, Journal, LMReply, request_key
from fastslow.record.display import SilentDisplay
from fastslow.run.train import resume, train
from tests.support.openai_server import OpenAIServer, Reply, Request
from tests.support.points import arm
from tests.support.runs import tiny_settings

REPLY = LMReply("text ✓ \ud800", "stop", 7, 3)


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-0123456789")


def test_a_reply_is_on_disk_when_add_returns_and_comes_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / JOURNAL
    Journal(path).add("k", REPLY)
    assert Journal(path).get("k") == REPLY
    assert Journal(path).get("other") is None


def test_the_key_covers_all_that_decides_a_reply_and_not_its_order() -> None:
    request = {"model": "m", "messages": [{"role": "user", "content": "x"}], "temperature": 1.0, "seed": 1}
    keys = {request_key(request)}
    assert request_key(dict(reversed(request.items()))) in keys
    for name, value in {"model": "n", "messages": [], "temperature": 0.9, "seed": 2}.items():
        keys.add(request_key({**request, name: value}))
    assert len(keys) == 5


@pytest.mark.parametrize("cut", range(1, 40, 4))
def test_a_last_line_cut_by_a_kill_is_passed_over_and_the_next_line_stands_alone(tmp_path: Path, cut: int) -> None:
    path = tmp_path / JOURNAL
    journal = Journal(path)
    journal.add("a", REPLY)
    journal.add("b", REPLY)
    path.write_bytes(path.read_bytes()[:-cut])
    again = Journal(path)
    assert again.get("a") == REPLY
    assert again.get("b") is None
    again.add("c", REPLY)
    assert [json.loads(line)["key"] for line in path.read_text().splitlines()] == ["a", "c"]


@pytest.mark.parametrize("line", ["{", "[]", "{}", '{"key": "x"}', '{"key": "x", "text": 1, "other": 2}', "null"])
def test_a_line_that_is_no_entry_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / JOURNAL
    Journal(path).add("a", REPLY)
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(BadInput, match=r"line 2 of .* is not a journal entry"):
        Journal(path)


def test_a_request_that_was_answered_before_is_not_sent_again_and_counts_the_same(tmp_path: Path) -> None:
    with OpenAIServer(["one", Reply("", usage=(5, 0)), "two", Reply("three", usage=None)]) as server:
        lm = OpenAIReflectionLM(server.base_url, "m", journal=Journal(tmp_path / JOURNAL))
        first = [lm.complete("a", seed=1), lm.complete("b", seed=1), lm.complete("a", seed=3)]
        assert len(server.requests) == 4
        again = OpenAIReflectionLM(server.base_url, "m", journal=Journal(tmp_path / JOURNAL))
        assert [again.complete("a", seed=1), again.complete("b", seed=1), again.complete("a", seed=3)] == first
        assert len(server.requests) == 4
    assert first == ["one", "two", "three"]
    assert again.usage == lm.usage
    assert lm.usage.calls == 4
    assert "sk-secret" not in (tmp_path / JOURNAL).read_text()


def editor(request: Request) -> str:
    """A reflection LM that appends to the instruction, differently for every seed."""
    marker = request.prompt.rpartition("<<<EDIT ")[2].partition(">>>")[0]
    return f"why not\n<<<EDIT {marker}>>>\nAnswer with one word {request.json['seed'] % 997}.\n<<<DONE {marker}>>>"


def settings(folder: Path, server: OpenAIServer, **overrides) -> FastSlowConfig:
    return FastSlowConfig(
        **tiny_settings(
            folder, proposer="reflection", reflection_model="m", reflection_base_url=server.base_url, max_steps=4,
            save_time_share=1.0, keep_every=1, save_bundle=False, **overrides,
        )
    )  # fmt: skip


class Killed(BaseException):
    """A kill that a test can catch."""


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """A run that nothing cut, and the requests that it paid for."""
    whole = tmp_path_factory.mktemp("whole")
    with OpenAIServer(editor) as server, pytest.MonkeyPatch.context() as patches:
        patches.setenv("OPENAI_API_KEY", "sk-secret-0123456789")
        train(settings(whole, server), display=SilentDisplay())
        paid = [request.json for request in server.requests]
    assert paid
    assert len({json.dumps(request) for request in paid}) == len(paid)
    return whole, paid


@pytest.mark.parametrize(("point", "count"), [("proposal", 2), ("fast", 6), ("slow", 3), ("update", 3), ("state", 3)])
def test_a_run_cut_anywhere_pays_for_no_call_twice_and_ends_as_the_unbroken_one(
    tmp_path: Path, monkeypatch, unbroken: tuple[Path, list[dict[str, Any]]], point: str, count: int
) -> None:
    def strike() -> None:
        raise Killed

    whole, paid = unbroken
    with OpenAIServer(editor) as server:
        broken = tmp_path / "broken"
        broken.mkdir()
        for name in ("model", "task.jsonl"):
            (broken / name).symlink_to(whole / name)
        with monkeypatch.context() as patches:
            arm(point, count, strike, after=True, patch=patches.setattr)
            with pytest.raises(Killed):
                train(settings(broken, server), display=SilentDisplay())
        resume(broken / "run", display=SilentDisplay())
        assert sorted(json.dumps(r.json) for r in server.requests) == sorted(map(json.dumps, paid))
    ends = [(folder / "run/checkpoint-4/model.safetensors").read_bytes() for folder in (whole, broken)]
    assert ends[0] == ends[1]
    tallies = [json.loads((folder / "run/summary.json").read_text())["reflection"] for folder in (whole, broken)]
    assert tallies[0] == tallies[1]


def test_a_run_that_breaks_before_its_first_step_keeps_the_calls_it_paid_for(tmp_path: Path, monkeypatch) -> None:
    def strike() -> None:
        raise FastSlowError("no")

    with OpenAIServer(editor) as server:
        with monkeypatch.context() as patches:
            arm("slow", 1, strike, patch=patches.setattr)
            with pytest.raises(FastSlowError, match="no"):
                train(settings(tmp_path, server), display=SilentDisplay())
        paid = len(server.requests)
        assert paid
        assert len(Journal(tmp_path / "run" / JOURNAL)) == paid
        resume(tmp_path / "run", display=SilentDisplay())
        assert len({json.dumps(r.json) for r in server.requests}) == len(server.requests)


# Ceilings


def test_no_call_is_made_that_might_pass_the_ceiling(tmp_path: Path) -> None:
    with OpenAIServer([Reply("x", usage=(10, 20))]) as server:
        lm = OpenAIReflectionLM(
            server.base_url, "m", max_tokens=30, ceiling=Ceiling(tokens=100), journal=Journal(tmp_path / JOURNAL)
        )
        lm.complete("p" * 10, seed=1)  # at worst 40, really 30
        lm.complete("p" * 10, seed=2)  # at worst 70, really 60
        lm.complete("p" * 10, seed=3)  # at worst 100, really 90
        with pytest.raises(EndpointError, match="might pass the ceiling of 100 tokens; none is made"):
            lm.complete("p", seed=4)
        assert lm.complete("p" * 10, seed=3) == "x", "what was paid for is free"
        assert len(server.requests) == 3
        again = OpenAIReflectionLM(
            server.base_url, "m", max_tokens=30, ceiling=Ceiling(tokens=100), journal=Journal(tmp_path / JOURNAL)
        )
        with pytest.raises(EndpointError, match="ceiling"):  # also after a resume
            again.complete("p", seed=5)
        assert len(server.requests) == 3


def test_a_ceiling_in_dollars_counts_both_prices_and_unmetered_replies_at_their_dearest() -> None:
    prices: Any = {"price_prompt": 1e6, "price_completion": 2e6}  # a dollar and two dollars a token
    with OpenAIServer([Reply("x", usage=None)]) as server:
        lm = OpenAIReflectionLM(server.base_url, "m", max_tokens=5, ceiling=Ceiling(usd=45.0, **prices))
        lm.complete("p" * 10, seed=1)  # 10 + 2 * 5
        lm.complete("p" * 10, seed=2)
        with pytest.raises(EndpointError, match="ceiling of 45 US dollars"):
            lm.complete("p" * 10, seed=3)
        assert len(server.requests) == 2
    with pytest.raises(BadInput, match="needs prices"):
        Ceiling(usd=1.0)


def test_unmetered_replies_cost_their_dearest_after_a_resume_too(tmp_path: Path) -> None:
    with OpenAIServer([Reply("x", usage=None)]) as server:
        for _ in range(2):  # the second as a resumed run
            lm = OpenAIReflectionLM(
                server.base_url, "m", max_tokens=5, ceiling=Ceiling(tokens=45), journal=Journal(tmp_path / JOURNAL)
            )
            lm.complete("p" * 10, seed=1)
        lm.complete("p" * 10, seed=2)
        resumed = OpenAIReflectionLM(
            server.base_url, "m", max_tokens=5, ceiling=Ceiling(tokens=40), journal=Journal(tmp_path / JOURNAL)
        )
        with pytest.raises(EndpointError, match="ceiling"):
            resumed.complete("p" * 10, seed=3)
        assert len(server.requests) == 2


def test_a_run_at_its_ceiling_goes_on_without_new_contexts_and_says_so(tmp_path: Path) -> None:
    notes: list[str] = []
    display = SilentDisplay()
    display.note = notes.append  # type: ignore[method-assign]
    with OpenAIServer(editor) as server:
        summary = train(settings(tmp_path, server, reflection_budget_tokens=1, slow_steps_per_cycle=1), display=display)
        assert server.requests == []
    assert summary["status"] == "done"
    assert summary["steps"] == 4
    assert "ceiling of 1 tokens" in summary["reflection"]["last_error"]
    assert any("THE CONTEXTS DO NOT EVOLVE" in note for note in notes)
