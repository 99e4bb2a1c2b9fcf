"""What an endpoint may do wrong, at which call and how often: exact counts of requests, calls and failures."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

import openai
import pytest

from fastslow.core.errors import EndpointError
from fastslow.fast.proposers import ReflectionProposer
from fastslow.fast.reflection.endpoint import OpenAIReflectionLM
from fastslow.fast.reflection.journal import Journal
from tests.fast.proposers.helpers import parent, request, trace
from tests.support.openai_server import NO_WAIT, OpenAIServer, Reply, Request

CALLS = 3


@dataclass(frozen=True)
class Kind:
    """A fault, what mends it (`retry` the request, `redraw` the sample, or nothing), and how it is answered."""

    mended_by: str
    reply: Reply


def said(status: int, message: str, code: str = "") -> Reply:
    return Reply(status=status, body=json.dumps({"error": {"message": message, "code": code}}), headers=NO_WAIT)


KINDS = {
    "rate limit": Kind("retry", said(429, "slow down")),
    "server error": Kind("retry", said(500, "oops")),
    "bad gateway": Kind("retry", said(502, "oops")),
    "overloaded": Kind("retry", said(503, "busy")),
    "request timeout": Kind("retry", said(408, "too slow")),
    "silence": Kind("retry", Reply("late", delay=0.5)),
    "reset": Kind("retry", Reply(reset=True)),
    "bad request": Kind("nothing", said(400, "no such parameter")),
    "context overflow": Kind("nothing", said(400, "maximum context length exceeded", "context_length_exceeded")),
    "no key": Kind("nothing", said(401, "who are you")),
    "wrong key": Kind("nothing", said(403, "not you")),
    "no model": Kind("nothing", said(404, "no such model")),
    "no quota": Kind("nothing", said(429, "You exceeded your current quota", "insufficient_quota")),
    "no money": Kind("nothing", said(402, "pay first")),
    "broken JSON": Kind("nothing", Reply(body="{")),
    "empty": Kind("redraw", Reply("")),
    "blank": Kind("redraw", Reply(" \n")),
    "truncated": Kind("redraw", Reply("half a", finish_reason="length")),
    "filtered": Kind("redraw", Reply("", finish_reason="content_filter")),
    "oversized": Kind("redraw", Reply("x" * 70_000)),
    "no choices": Kind("redraw", Reply(body='{"choices": []}')),
    "another shape": Kind("redraw", Reply(body='{"answer": 42}')),
}


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client's own back-off, without its seconds."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-0123456789")
    monkeypatch.setattr(openai.OpenAI, "_calculate_retry_timeout", lambda *args, **kwargs: 0.001)


def well(received: Request) -> Reply:
    """An edit that a proposer can read, a little different each time."""
    marker = received.prompt.rpartition("<<<EDIT ")[2].partition(">>>")[0]
    return Reply(f"<<<EDIT {marker}>>>\nAnswer {received.json['seed']}.\n<<<DONE {marker}>>>", usage=(7, 3))


def faulty(kind: Kind, when: str) -> Callable[[Request], Reply]:
    """A server whose fault comes at the first call, at the middle one, or from the middle one on for ever."""
    served = [0]

    def answer(received: Request) -> Reply:
        served[0] += 1
        first = 1 if when == "first" else 2
        wrong = served[0] == first or (when == "for ever" and served[0] > first)
        return kind.reply if wrong else well(received)

    return answer


def expected(kind: Kind, when: str) -> tuple[int, int, int, list[bool]]:
    """Requests, calls, failures, and which of three calls succeed."""
    requests = calls = failures = 0
    outcome = []
    for number in (1, 2, 3):
        troubled = number == (1 if when == "first" else 2) or (when == "for ever" and number > 1)
        if not troubled:
            requests, calls = requests + 1, calls + 1
            outcome.append(True)
            continue
        lasting = when == "for ever"
        requests += {"retry": 4 if lasting else 2, "redraw": 2, "nothing": 1}[kind.mended_by]
        calls += 2 if kind.mended_by == "redraw" else 1
        failed = lasting or kind.mended_by == "nothing"
        failures += failed
        outcome.append(not failed)
    return requests, calls, failures, outcome


def by_completing(lm: OpenAIReflectionLM, number: int) -> bool:
    try:
        return bool(lm.complete("<<<EDIT 0>>>", seed=1000 * number))
    except EndpointError:
        return False


def by_proposing(lm: OpenAIReflectionLM, number: int) -> bool:
    asked = request(
        parent(), component="instruction", traces=[trace("What is 3 * 4?", "13", 0.0, "wrong")], seed=number
    )
    try:
        proposal = ReflectionProposer(lm).propose(asked)
    except EndpointError:
        return False
    assert set(proposal) == {"instruction"}
    return True


def by_replaying(lm: OpenAIReflectionLM, number: int) -> bool:
    """Each call twice: the second is answered from the journal where the first was answered at all."""
    made = by_completing(lm, number)
    if made:
        before = lm.usage
        lm.usage = type(before)()
        assert by_completing(lm, number)
        lm.usage = before
    return made


@pytest.mark.row(name="lm")
@pytest.mark.parametrize("when", ["first", "middle", "for ever"])
@pytest.mark.parametrize("site", [by_completing, by_proposing, by_replaying])
@pytest.mark.parametrize("name", KINDS)
def test_a_fault_costs_exactly_what_it_must(name: str, site: Callable[..., bool], when: str) -> None:
    kind = KINDS[name]
    with OpenAIServer(faulty(kind, when)) as server:
        lm = OpenAIReflectionLM(server.base_url, "m", timeout=0.15 if name == "silence" else 10, journal=Journal())
        outcome = [site(lm, number) for number in (1, 2, 3)]
        counts = len(server.requests), lm.usage.calls, lm.usage.failures, outcome
    assert counts == expected(kind, when)
    # Tokens are those of the replies that came, useful or not, and of no other.
    replied = counts[1] - (counts[2] if kind.mended_by != "redraw" else 0)
    metered = replied - lm.usage.unmetered
    assert (lm.usage.prompt_tokens, lm.usage.completion_tokens) == (7 * metered, 3 * metered)
    assert lm.usage.unmetered == 0 or "{" in str(kind.reply.body)


def test_there_are_as_many_cases_as_promised() -> None:
    assert len(KINDS) * 3 * 3 >= 150


def test_a_reply_without_a_readable_edit_is_drawn_once_more_and_then_left() -> None:
    with OpenAIServer(["no fence at all"]) as server:
        asked = request(parent(), component="instruction", traces=[trace("q", "a", 0.0, "wrong")])
        assert ReflectionProposer(OpenAIReflectionLM(server.base_url, "m")).propose(asked) == {}
        assert len(server.requests) == 2
        assert server.requests[0].json["seed"] != server.requests[1].json["seed"]
