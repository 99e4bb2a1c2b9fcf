"""A server behind that lies: each client gets a right answer or an error in OpenAI's form, and nothing hangs."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from fastslow.serving.events import LONGEST_EVENT, Events, data_of
from fastslow.serving.relay import MOST_TOKENS, Transcript
from tests.support.liar import Liar, lying
from tests.support.proxy import ask, proxied

ANSWER = b'{"id": "a", "choices": [{"index": 0, "message": {"content": "hi"}, "finish_reason": "stop"}]}'
PART = b'{"choices": [{"index": 0, "delta": {"content": "hi"}}]}'
END = b'{"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}'
CLIENT = httpx.Client(timeout=10)  # making one takes longer than asking


@pytest.fixture(scope="module")
def liar() -> Iterator[Liar]:
    with lying() as server:
        yield server


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("log") / "log.jsonl"


@pytest.fixture(scope="module")
def url(liar: Liar, log: Path, bundle: Path) -> Iterator[str]:
    with proxied(bundle, liar.url, log=log, seconds=5.0) as base:
        yield base


def answered(url: str, **fields: Any) -> httpx.Response:
    return CLIENT.post(f"{url}/v1/chat/completions", json=ask(**fields))


def events_of(url: str, **fields: Any) -> list[bytes]:
    """The data of the events of a stream, as they reach the client."""
    content = answered(url, stream=True, **fields).content
    events = Events()
    found = [data_of(event) for event in events.feed(content)]
    assert not events.rest, "half an event"
    return found


def is_error(data: bytes) -> bool:
    error = json.loads(data)["error"]
    return set(error) == {"message", "type", "param", "code"} and bool(error["message"])


@pytest.mark.parametrize(
    "count", ["1e999", "NaN", "-Infinity", "-1", "1.5", '"7"', "true", "null", "{}", "1" + "0" * 400, "[]"]
)
def test_a_count_of_tokens_that_is_none_is_not_recorded_and_stops_nothing(
    url: str, liar: Liar, log: Path, count: str
) -> None:
    before = len(log.read_text().splitlines())
    usage = f'"usage": {{"prompt_tokens": {count}, "completion_tokens": 3}}'.encode()
    liar.says(ANSWER[:-1] + b", " + usage + b"}")
    assert answered(url).json()["choices"][0]["message"]["content"] == "hi"
    liar.streams(b"data: " + PART + b"\n\ndata: " + END[:-1] + b", " + usage + b"}\n\ndata: [DONE]\n\n")
    assert events_of(url)[-1] == b"[DONE]"
    lines, until = [""], time.monotonic() + 5
    while len(lines) < 2 and time.monotonic() < until:  # a line is written once its answer is out
        lines = log.read_text().splitlines()[before:]
    for line in lines:
        row = json.loads(line)
        assert (row["status"], row["completion_tokens"], "prompt_tokens" in row) == (200, 3, False)
    assert "inf" not in CLIENT.get(f"{url}/metrics").text.lower().replace('le="+inf"', "").replace("_info", "")


@pytest.mark.parametrize(
    "data",
    [
        {"usage": [1], "choices": {"a": 1}}, {"usage": "x", "choices": [None, 1, "x", []]}, {"choices": None},
        {"choices": [{"index": {}, "delta": [], "finish_reason": "stop"}]},
        {"choices": [{"index": [0], "delta": {"content": {"a": 1}}, "finish_reason": {}}]},
        {"choices": [{"index": -1, "delta": "x", "finish_reason": "stop"}]},
        {"choices": [{"index": MOST_TOKENS, "finish_reason": "stop"}]},
    ],
)  # fmt: skip
def test_nothing_is_taken_to_have_its_right_type(data: dict[str, Any]) -> None:
    transcript = Transcript(wants_text=True)
    transcript.take(data, "delta")
    assert (transcript.tokens, transcript.finished) == ({}, False)


@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b'"hi"', b"7", b"<html>", b"{", b"[" * 5000, b"\xff\xfe{\x00}\x00", b'{"a": "\xff"}']
)
def test_an_answer_that_is_no_json_object_is_a_502(url: str, liar: Liar, body: bytes) -> None:
    liar.says(body)
    answer = answered(url)
    assert answer.status_code == 502
    assert is_error(answer.content)


@pytest.mark.parametrize("error", ['"plain words"', '{"message": "plain words"}', '{"plain words": 1}'])
def test_an_error_that_comes_as_an_answer_is_an_error(url: str, liar: Liar, error: str) -> None:
    liar.says(f'{{"error": {error}}}'.encode())
    answer = answered(url)
    assert answer.status_code == 502
    assert is_error(answer.content)
    assert "plain words" in answer.json()["error"]["message"]
    liar.streams(b"data: " + PART + f'\n\ndata: {{"error": {error}}}\n\ndata: '.encode() + PART + b"\n\n")
    first, last = events_of(url)
    assert first == PART
    assert "plain words" in json.loads(last)["error"]["message"]


@pytest.mark.parametrize(
    "status", [b"600 X", b"099 X", b"99 X", b"999", b"101 Switching Protocols", b"204 No Content", b"205 X", b"304 X",
               b"300 X", b"302 X", b"206 Partial Content", b"1000 X", b"-20 X", b"x"],
)  # fmt: skip
def test_a_status_that_is_neither_an_answer_nor_an_error_is_a_502(url: str, liar: Liar, status: bytes) -> None:
    liar.says(ANSWER, b"location: http://[evil/", b"content-type: application/json", status=status)
    answer = answered(url)
    assert answer.status_code == 502
    assert is_error(answer.content)


@pytest.mark.parametrize("status", [b"200 OK", b"429 X"])
def test_headers_in_any_encoding_pass_as_they_came(url: str, liar: Liar, status: bytes) -> None:
    strange = "日本".encode() + b"\xff\x01\xe9"
    headers = [b"x-request-id: " + strange, b"retry-after: 7", b"content-type: application/json; charset=" + strange]
    liar.says(ANSWER, *headers, b"x-other: " + strange, status=status)
    answer = answered(url)
    assert answer.status_code == int(status[:3])
    came = dict(answer.headers.raw)
    assert (came[b"x-request-id"], came[b"retry-after"]) == (strange, b"7")
    assert came[b"content-type"] == b"application/json"


def test_a_compressed_answer_is_refused_for_nobody_asked_for_it(url: str, liar: Liar) -> None:
    compressed = [b"content-type: application/json", b"content-encoding: GZIP"]
    liar.says(gzip.compress(ANSWER), *compressed)
    assert answered(url).status_code == 502
    liar.says(gzip.compress(b'{"detail": "slow down"}'), *compressed, status=b"429 X")
    answer = answered(url)
    assert (answer.status_code, is_error(answer.content)) == (429, True)
    liar.says(gzip.compress(PART), b"content-type: text/event-stream", b"content-encoding: br")
    assert answered(url, stream=True).status_code == 502
    liar.says(ANSWER, b"content-type: application/json", b"content-encoding: identity")
    assert answered(url).content == ANSWER


def test_a_stream_for_an_answer_and_an_answer_for_a_stream_are_refused(url: str, liar: Liar) -> None:
    liar.says(ANSWER)
    assert answered(url, stream=True).status_code == 502
    liar.streams(b"data: " + END + b"\n\n")
    assert answered(url).status_code == 502


def test_an_answer_that_is_shorter_than_it_says_is_a_502(url: str, liar: Liar) -> None:
    liar.says(ANSWER, b"content-type: application/json", b"content-length: 5000")
    assert answered(url).status_code == 502


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("cut", [1, 2, 3, 7, 1000])
def test_events_are_cut_at_any_line_end_however_the_bytes_come(end: bytes, cut: int) -> None:
    raw = b"".join(b"data: %d" % i + end + b"id: x" + end + end for i in range(5))
    events = Events()
    found = [event for at in range(0, len(raw), cut) for event in events.feed(raw[at : at + cut])]
    assert b"".join(found) + bytes(events.rest) == raw
    assert [data_of(event) for event in found] == [b"%d" % i for i in range(5)]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_a_stream_with_any_line_end_passes_byte_by_byte(url: str, liar: Liar, end: bytes) -> None:
    whole = end.join([b": hi", b"", b"data:" + PART, b"", b"data: " + END, b"", b"data: [DONE]", b"", b""])
    liar.streams(whole)
    assert answered(url, stream=True).content == whole
    liar.streams(whole[: -2 * len(end)])  # the end of the connection ends the last event too
    assert events_of(url)[-1] == b"[DONE]"


@pytest.mark.parametrize(
    "broken", [b'data: {"choi', b'data: {"choices": [', b"data: [1]", b"data: x", b"data: [DON", b'data: "\xff"']
)
def test_half_an_event_and_what_is_none_become_an_error_that_the_client_reads(
    url: str, liar: Liar, broken: bytes
) -> None:
    for end in (b"", b"\n", b"\n\n"):
        liar.streams(b"data: " + PART + b"\n\n" + broken + end)
        first, last = events_of(url)
        assert first == PART
        assert is_error(last)


def test_a_client_of_openai_sees_an_error_where_a_stream_ends_in_half_an_event(url: str, liar: Liar) -> None:
    liar.streams(b"data: " + PART + b'\n\ndata: {"choi')
    client, parts = openai.OpenAI(base_url=f"{url}/v1", api_key="x", max_retries=0), []
    with pytest.raises(openai.APIError, match="behind"):  # noqa: PT012 - the parts before it count
        for part in client.chat.completions.create(**ask(), stream=True):  # type: ignore[call-overload]
            parts.append(part.choices[0].delta.content)
    assert parts == ["hi"]


def test_a_stream_of_two_answers_of_which_one_ended_is_a_broken_one(url: str, liar: Liar) -> None:
    liar.streams(b"data: " + PART + b"\n\ndata: " + END + b"\n\n")
    assert is_error(events_of(url, n=2)[-1])
    other = END.replace(b'"index": 0', b'"index": 1')
    liar.streams(b"data: " + END + b"\n\ndata: " + END + b"\n\n")
    assert is_error(events_of(url, n=2)[-1]), "one answer that ended twice"
    liar.streams(b"data: " + END + b"\n\ndata: " + other + b"\n\n")
    assert events_of(url, n=2) == [END, other, b"[DONE]"]
    liar.streams(b"data: " + END + b"\n\n")
    assert events_of(url, n="x") == [END, b"[DONE]"], "a number that is none is for the server to refuse"


def test_a_whole_stream_ends_with_done_once_and_one_that_failed_without(url: str, liar: Liar) -> None:
    done, half = b"data: [DONE]\n\n", b"data: " + PART + b"\n\n"
    whole = half + b"data: " + END + b"\n\n"
    for sent in (whole, whole + b"data: [DONE]", whole + done, whole + done + done):
        liar.streams(sent)
        assert answered(url, stream=True).content == whole + done
    liar.streams(whole[:-2])
    assert events_of(url)[-1] == b"[DONE]", "the last line end may be missing"
    error = b'data: {"error": {"message": "full", "type": "x", "param": null, "code": null}}\n\n'
    for broken in (half, whole + error, whole + b'data: {"choi', whole + b"data: [DON"):
        liar.streams(broken)
        assert is_error(events_of(url)[-1]), "the last word is the error"
        assert done not in answered(url, stream=True).content


def test_a_stream_without_a_single_event_is_a_broken_one(url: str, liar: Liar) -> None:
    liar.streams(b"")
    assert [is_error(data) for data in events_of(url)] == [True]


def test_an_event_without_end_is_cut(url: str, liar: Liar) -> None:
    liar.streams(b"data: " + b" " * (LONGEST_EVENT + 70_000))
    assert [is_error(data) for data in events_of(url)] == [True]


def test_what_comes_after_the_last_word_is_left_out_and_a_server_that_stays_silent_holds_nobody(
    url: str, liar: Liar, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fastslow.serving.relay.DRAIN_SECONDS", 0.05)
    liar.streams(b"data: " + END + b"\n\ndata: [DONE]\n\ndata: {evil", holds=True)
    assert events_of(url) == [END, b"[DONE]"]


@pytest.mark.parametrize(
    ("begun", "drip"), [(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), (b"HTTP/1.1 200 OK\r\nx: ", b"x")]
)
def test_a_head_that_drips_is_a_504_and_health_waits_for_no_end(
    bundle: Path, liar: Liar, begun: bytes, drip: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fastslow.serving.upstream.CONNECT_SECONDS", 0.2)
    monkeypatch.setattr("fastslow.serving.app.UP_SECONDS", 0.0)
    with proxied(bundle, liar.url, seconds=0.2) as url:
        liar.answer, liar.drip = begun, drip
        assert answered(url).status_code == 504
        assert CLIENT.get(f"{url}/health").status_code == 503
        liar.drip = b""


@pytest.mark.parametrize("status", [b"200 OK", b"500 X"])
def test_a_body_that_drips_is_a_504(bundle: Path, liar: Liar, status: bytes) -> None:
    with proxied(bundle, liar.url, seconds=0.2) as url:
        liar.says(b"{", b"content-type: application/json", status=status)
        liar.drip = b" "
        assert answered(url).status_code == 504
        liar.drip = b""


def test_health_waits_for_no_end_of_what_the_server_behind_says(
    url: str, liar: Liar, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fastslow.serving.app.UP_SECONDS", 0.0)
    liar.says(b"x")
    liar.drip = b"x"
    assert CLIENT.get(f"{url}/health").status_code == 200
    liar.drip = b""
