"""Over real HTTP: the context is put in, the rest passes, failures have OpenAI's form, nothing is mixed or lost."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from fastslow.contexts.rendering import render
from fastslow.core.errors import BadInput
from fastslow.export.release import open_release
from fastslow.serving.server import ServeSettings, make_proxy
from tests.support.proxy import ask, proxied
from tests.support.runs import WORDINGS
from tests.support.shipped import CONTEXTS, asked, make_bundle, topics_of
from tests.support.stub_upstream import Stub, stub_upstream

CLIENT = httpx.Client(timeout=20)  # making one takes longer than asking


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("made"), topics=topics_of(CONTEXTS))


@pytest.fixture(scope="module")
def url(bundle: Path, behind: tuple[Stub, str]) -> Iterator[str]:
    with proxied(bundle, behind[1], choose="cluster") as base:
        yield base


@pytest.fixture
def stub(behind: tuple[Stub, str]) -> Stub:
    return behind[0]


def post(url: str, body: dict[str, Any], **more: Any) -> httpx.Response:
    return CLIENT.post(f"{url}/v1/chat/completions", json=body, timeout=20, **more)


def wish(**wishes: Any) -> str:
    return json.dumps({"id": "a", "events": 5, **wishes})


def soon(holds: Callable[[], bool]) -> bool:
    """Whether something holds within five seconds."""
    until = time.monotonic() + 5
    while not holds() and time.monotonic() < until:
        time.sleep(0.01)
    return holds()


def test_100_questions_get_the_context_and_the_messages_of_the_learner(url: str, stub: Stub, bundle: Path) -> None:
    release, equal = open_release(bundle, choosing=True), 0
    assert release.topics is not None
    with httpx.Client() as client:
        for number in range(100):
            example = asked(list(WORDINGS)[number % 3], number)
            answer = client.post(f"{url}/v1/chat/completions", json=ask(example.question))
            context = release.topics.choose("cluster", release.population, example)
            assert answer.headers["x-fastslow-context"] == context.id
            assert answer.headers["x-fastslow-version"] == release.version
            assert answer.headers["x-fastslow-topic"] == release.topics.entry_name(example)
            equal += stub.asked[-1]["messages"] == render(context, example, system_role=True)
    assert equal == 100


def test_the_client_of_openai_gets_answers_and_streams(url: str) -> None:
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="unused")
    answer = client.chat.completions.create(model="ours", messages=[{"role": "user", "content": wish()}])
    assert answer.choices[0].message.content == "a:0 a:1 a:2 a:3 a:4 "
    stream = client.chat.completions.create(model="ours", messages=[{"role": "user", "content": wish()}], stream=True)
    assert "".join(part.choices[0].delta.content or "" for part in stream) == "a:0 a:1 a:2 a:3 a:4 "
    assert [model.id for model in client.models.list()] == ["ours"]


def test_a_stream_passes_byte_by_byte(url: str, behind: tuple[Stub, str]) -> None:
    body = ask(wish(events=20), stream=True)
    direct = CLIENT.post(f"{behind[1]}/chat/completions", json=body).content
    through = post(url, body)
    assert through.content == direct
    assert through.content.endswith(b"data: [DONE]\n\n")
    assert through.headers["content-type"].startswith("text/event-stream")


def test_other_fields_pass_and_the_template_is_told_that_the_context_is_in(url: str, stub: Stub) -> None:
    post(url, ask("q", temperature=0.25, seed=7, stop=["x"], logit_bias={"5": -100}, unknown=[1, {"a": None}]))
    sent = stub.asked[-1]
    assert sent.pop("chat_template_kwargs") == {"fastslow_context": "none"}
    assert sent.pop("messages")[-1]["content"] == "q"
    assert sent == {
        "temperature": 0.25,
        "seed": 7,
        "stop": ["x"],
        "logit_bias": {"5": -100},
        "unknown": [1, {"a": None}],
    }


def test_an_upstream_that_knows_no_template_arguments_gets_none(bundle: Path, behind: tuple[Stub, str]) -> None:
    with proxied(bundle, behind[1], upstream_takes_arguments=False, upstream_model="theirs") as url:
        post(url, ask("q"))
    assert set(behind[0].asked[-1]) == {"messages", "model"}
    assert behind[0].asked[-1]["model"] == "theirs"


@pytest.mark.parametrize(
    ("answer", "status", "said"),
    [
        ('{"detail": "no such field"}', 422, "no such field"),
        ('{"error": "plain words"}', 400, "plain words"),
        ("<html>nginx</html>", 503, "status 503"),
        ("[" * 5000, 500, "status 500"),
        ("", 404, "status 404"),
    ],
)
def test_errors_of_any_server_come_in_openais_form(url: str, answer: str, status: int, said: str) -> None:
    got = post(url, ask(wish(answer=answer, status=status)))
    assert got.status_code == status
    assert said in got.json()["error"]["message"]
    assert got.json()["error"]["type"] in ("invalid_request_error", "server_error")


def test_an_error_that_has_the_form_passes_as_it_is(url: str) -> None:
    error = json.dumps({"error": {"message": "context length", "type": "x", "param": "messages", "code": "c"}})
    assert post(url, ask(wish(answer=error, status=400))).text == error


def test_an_upstream_that_is_down_is_a_502(bundle: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with proxied(bundle, f"http://127.0.0.1:{taken.getsockname()[1]}/v1") as url:
            answer = post(url, ask())
            assert answer.status_code == 502
            assert answer.json()["error"]["code"] == "upstream_error"
            assert "127.0.0.1" not in answer.text, "where the server is is not the client's business"
            assert CLIENT.get(f"{url}/health").status_code == 503
            with pytest.raises(openai.InternalServerError):
                openai.OpenAI(base_url=f"{url}/v1", api_key="x", max_retries=0).chat.completions.create(**ask())


def test_an_upstream_that_hangs_is_a_504(bundle: Path, behind: tuple[Stub, str]) -> None:
    with proxied(bundle, behind[1], seconds=0.2) as url:
        assert post(url, ask(wish(events=1, delay=3))).status_code == 504
        streamed = post(url, ask(wish(hang_at=2), stream=True)).text
    assert "a:1" in streamed
    assert "upstream_timeout" in streamed
    assert "[DONE]" not in streamed


def test_a_stream_that_breaks_off_ends_with_an_error_that_the_client_sees(url: str) -> None:
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="x", max_retries=0)
    parts = []
    with pytest.raises(openai.APIError, match="broke off"):  # noqa: PT012 - the parts before it count
        for part in client.chat.completions.create(**ask(wish(break_at=3)), stream=True):  # type: ignore[call-overload]
            parts.append(part.choices[0].delta.content)
    assert parts == ["a:0 ", "a:1 ", "a:2 "]


def test_a_stream_without_an_end_is_a_broken_one(url: str) -> None:
    whole = 'data: {"choices": [{"index": 0, "delta": {"content": "half"}}]}\n\n'
    for rest in ("", 'data: {"choi'):
        got = post(url, ask(wish(answer=whole + rest, type="text/event-stream"), stream=True)).text
        assert got.startswith(whole + "data: "), "half an event is none that a client could read"
        assert json.loads(got.removeprefix(whole + "data: "))["error"]["code"] == "upstream_error"


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_closes_the_connection_behind(url: str, stub: Stub, stream: bool) -> None:
    body = ask(wish(events=1000, delay=0.02), stream=stream)
    before = stub.given_up
    if stream:
        with CLIENT.stream("POST", f"{url}/v1/chat/completions", json=body) as answer:
            next(answer.iter_raw())
        assert soon(lambda: stub.given_up == before + 1)
        assert soon(lambda: stub.open == 0)
    else:
        with pytest.raises(httpx.ReadTimeout):
            CLIENT.post(f"{url}/v1/chat/completions", json=body, timeout=0.3)
    assert soon(lambda: "fastslow_open_requests 0.0" in CLIENT.get(f"{url}/metrics").text)


def test_the_log_has_choices_and_lengths_and_no_text(bundle: Path, behind: tuple[Stub, str], tmp_path: Path) -> None:
    log, canary = tmp_path / "log.jsonl", "canary-7481"
    question = f"{asked('words', 3).question} {canary}"
    with proxied(bundle, behind[1], choose="cluster", log=log) as url:
        headers = {"authorization": f"Bearer {canary}", "x-other": canary}
        post(url, {**ask(question), "user": canary}, headers=headers)
        post(url, ask(wish(id=canary), stream=True))
        post(url, ask("x", model="no"))
    assert canary not in log.read_text()
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(row["status"], row["stream"], row["left"]) for row in rows] == [(200, False, False), (200, True, False)]
    assert rows[0]["question_characters"] == len(question)
    assert rows[0]["context"] == CONTEXTS[1].id
    assert (rows[0]["prompt_tokens"], rows[0]["completion_tokens"]) == (7, 3)


def test_counts_are_in_prometheus_form_and_hold_nothing_of_a_client(url: str) -> None:
    post(url, ask("canary-99", model="canary-99"))
    text = CLIENT.get(f"{url}/metrics").text
    assert re.search(r'fastslow_requests_total\{context="\w+",status="200"\} \d', text)
    assert 'fastslow_requests_total{context="",status="404"}' in text
    assert "fastslow_proxy_seconds_bucket" in text
    assert "canary" not in text


def test_the_clients_key_goes_on_unless_the_proxy_has_keys_of_its_own(bundle: Path, behind: tuple[Stub, str]) -> None:
    stub, key = behind[0], {"authorization": "Bearer theirs"}
    with proxied(bundle, behind[1]) as url:
        post(url, ask(), headers=key)
    assert stub.headers[-1]["authorization"] == "Bearer theirs"
    with proxied(bundle, behind[1], key="ours") as url:
        assert post(url, ask(), headers={"authorization": "Bearer ours"}).status_code == 200
    assert "authorization" not in stub.headers[-1]
    with proxied(bundle, behind[1], upstream_key="hidden") as url:
        post(url, ask(), headers=key)
    assert stub.headers[-1]["authorization"] == "Bearer hidden"


def test_what_the_server_behind_sets_for_one_client_reaches_no_other(url: str, behind: tuple[Stub, str]) -> None:
    post(url, ask(wish(answer="{}", headers={"set-cookie": "session=alice"})))
    post(url, ask())
    assert "cookie" not in behind[0].headers[-1]


def test_a_key_of_any_bytes_goes_on_as_it_came(url: str, behind: tuple[Stub, str]) -> None:
    answer = CLIENT.post(f"{url}/v1/chat/completions", json=ask(), headers=[(b"authorization", b"Bearer \xfc")])
    assert answer.status_code == 200
    assert behind[0].headers[-1]["authorization"] == "Bearer \xfc"


def test_the_shadows_server_gets_a_key_of_its_own(bundle: Path, behind: tuple[Stub, str]) -> None:
    with stub_upstream() as (second, address):
        shared = {"shadow": bundle, "shadow_upstream": address, "shadow_share": 1.0, "upstream_key": "hidden"}
        for own, sent in ((None, None), ("of the shadow", "Bearer of the shadow")):
            with proxied(bundle, behind[1], **shared, shadow_key=own) as url:
                before = len(second.asked)
                assert post(url, ask()).status_code == 200
                assert soon(lambda before=before: len(second.asked) > before)
            assert behind[0].headers[-1]["authorization"] == "Bearer hidden"
            assert second.headers[-1].get("authorization") == sent


def test_a_shadow_is_asked_for_its_share_and_its_agreement_is_recorded(
    bundle: Path, behind: tuple[Stub, str], tmp_path: Path
) -> None:
    other = make_bundle(tmp_path, [CONTEXTS[1], CONTEXTS[0]])
    log = tmp_path / "log.jsonl"

    def outcomes() -> list[str]:
        rows = [json.loads(line) for line in log.read_text().splitlines()]
        return [row["outcome"] for row in rows if row["kind"] == "shadow"]

    with stub_upstream() as (second, address):
        settings = {"shadow": other, "shadow_upstream": address, "shadow_share": 0.5, "log": log}
        with proxied(bundle, behind[1], **settings) as url:
            for number in range(4):
                assert post(url, ask(wish(id=f"s{number}"), stream=number % 2 == 1)).status_code == 200
            assert soon(lambda: len(outcomes()) == 2)
            post(url, ask())
            post(url, ask(wish(answer="{}", status=500)))  # the first version's failure is nothing to compare
            assert CLIENT.get(f"{url}/metrics").text.count('fastslow_shadow_total{outcome="equal"} 2.0') == 1
        assert len(second.asked) == 2
        assert not any(asked.get("stream") for asked in second.asked)
        assert second.asked[0]["messages"][0]["content"] == "Spell slowly.", "the shadow has contexts of its own"
    assert outcomes() == ["equal", "equal"]


def test_a_shadow_is_chosen_for_in_its_own_way_and_named_where_it_cannot(bundle: Path, tmp_path: Path) -> None:
    other = make_bundle(tmp_path, [CONTEXTS[1], CONTEXTS[0]])
    there = {"shadow": other, "shadow_upstream": "http://127.0.0.1:9/v1"}
    with ExitStack() as stack, pytest.raises(BadInput, match=r"the shadow: .*cluster"):
        make_proxy(bundle, ServeSettings(upstream="http://127.0.0.1:9/v1", shadow_choose="cluster", **there), stack)
    with ExitStack() as stack:
        make_proxy(bundle, ServeSettings(upstream="http://127.0.0.1:9/v1", shadow_choose="seed", **there), stack)


def test_a_shadow_that_fails_or_is_down_takes_nothing_from_the_client(
    bundle: Path, behind: tuple[Stub, str], tmp_path: Path
) -> None:
    settings = {"shadow": bundle, "shadow_upstream": "http://127.0.0.1:9/v1", "shadow_share": 1.0}
    with proxied(bundle, behind[1], **settings) as url:
        assert post(url, ask()).json()["choices"][0]["message"]["content"] == "hi"
        assert soon(lambda: 'fastslow_shadow_total{outcome="failed"} 1.0' in CLIENT.get(f"{url}/metrics").text)
