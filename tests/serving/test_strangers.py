"""A stranger at the door: oversized, slow, split, forged. Nothing leaks, nothing hangs, and others are served."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from fastslow.serving import app as app_module
from fastslow.serving import protocol
from fastslow.serving.app import Limits, header, is_local
from fastslow.serving.upstream import is_loopback
from tests.support.proxy import ask, proxied
from tests.support.shipped import CONTEXTS, make_bundle, topics_of
from tests.support.stub_upstream import Stub


@pytest.fixture
def url(bundle: Path, behind: tuple[Stub, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A proxy with short patience, which a busy machine does not try: it may take half a second over anything."""
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 1.5)
    monkeypatch.setattr(protocol, "READ_SECONDS", 1.5)
    monkeypatch.setattr(app_module, "BODY_SECONDS", 1.5)
    with proxied(bundle, behind[1], limits=Limits(body=10_000, open=3)) as base:
        yield base


def connected(url: str) -> socket.socket:
    host, port = url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=10)


def raw(url: str, request: bytes) -> bytes:
    """What the server answers to these bytes, until it closes the connection."""
    with connected(url) as line:
        line.sendall(request)
        answer = b""
        with contextlib.suppress(OSError):
            while chunk := line.recv(65536):
                answer += chunk
        return answer


def head(path: str = "/v1/chat/completions", *headers: str, method: str = "POST", length: int = 0) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "host: localhost", f"content-length: {length}", "connection: close", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def is_well(url: str) -> bool:
    return CLIENT.post(f"{url}/v1/chat/completions", json=ask(), timeout=5).status_code == 200


JSON = "content-type: application/json"
CLIENT = httpx.Client(timeout=10)  # making one takes longer than asking


@pytest.mark.parametrize("declared", [10_001, 10**15, 10**400])
def test_a_body_that_is_declared_too_large_is_refused_before_it_is_sent(url: str, declared: int) -> None:
    answer = raw(url, head("/v1/chat/completions", JSON, length=declared))
    assert b" 413 " in answer or b" 400 " in answer
    assert is_well(url)


def test_a_body_in_chunks_without_an_end_is_refused_at_the_limit(url: str, behind: tuple[Stub, str]) -> None:
    asked = len(behind[0].asked)
    start = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    chunk = b"1000\r\n" + b" " * 4096 + b"\r\n"
    answer = raw(url, start + b"transfer-encoding: chunked\r\n\r\n" + chunk * 50)
    assert b" 413 " in answer
    assert b'"request_too_large"' in answer
    assert len(behind[0].asked) == asked


def test_a_head_without_an_end_is_cut_off(url: str) -> None:
    assert b" 400 " in raw(url, b"GET /health HTTP/1.1\r\nhost: localhost\r\nx: " + b"a" * 100_000)
    began = time.monotonic()
    assert raw(url, b"GET /health HTTP/1.1\r\nhost: loc") == b""
    assert raw(url, b"") == b""
    assert time.monotonic() - began < 5


def test_a_head_that_drips_is_cut_off(url: str) -> None:
    with connected(url) as line:
        began = time.monotonic()
        with pytest.raises(OSError):  # noqa: PT011, PT012 - reset or broken pipe
            while time.monotonic() - began < 8:
                line.sendall(b"x")
                time.sleep(0.05)
        assert time.monotonic() - began < 5


def test_a_second_head_that_drips_is_cut_off_and_an_idle_connection_is_kept(url: str) -> None:
    with connected(url) as line:
        whole = b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n"
        for pause in (0, 2.0):  # more than the patience with a head
            time.sleep(pause)
            line.sendall(whole)
            assert b" 200 " in line.recv(65536)
        line.sendall(whole[:20])
        assert line.recv(65536) == b""


def test_a_body_that_drips_is_a_timeout(url: str, behind: tuple[Stub, str]) -> None:
    asked = len(behind[0].asked)
    with connected(url) as line:
        line.sendall(head("/v1/chat/completions", JSON, length=5000) + b"{")
        assert b" 408 " in line.recv(65536)
    assert len(behind[0].asked) == asked


def test_a_client_that_does_not_read_is_given_up_and_the_server_behind_is_freed(
    url: str, behind: tuple[Stub, str]
) -> None:
    stub = behind[0]
    body = json.dumps(ask(json.dumps({"id": "a", "events": 100_000, "padding": 5000}), stream=True)).encode()
    with connected(url) as line:
        line.sendall(head("/v1/chat/completions", JSON, length=len(body)) + body)
        until = time.monotonic() + 8
        while stub.open == 0 and time.monotonic() < until:
            time.sleep(0.01)
        assert stub.open == 1
        while stub.open and time.monotonic() < until:
            time.sleep(0.05)
        assert stub.open == 0
    assert is_well(url)


def test_more_requests_than_fit_are_refused_and_the_others_go_on(url: str) -> None:
    body = ask(json.dumps({"id": "a", "events": 300, "delay": 0.01}), stream=True)
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(CLIENT.stream("POST", f"{url}/v1/chat/completions", json=body))
        answer = CLIENT.post(f"{url}/v1/chat/completions", json=ask())
        assert answer.status_code == 503
        assert answer.json()["error"]["code"] == "overloaded"
    until = time.monotonic() + 5
    while not is_well(url) and time.monotonic() < until:
        time.sleep(0.05)
    assert is_well(url)


@pytest.mark.parametrize(
    "path",
    [
        "/", "/v1", "/v1/", "/v1/models/", "/v1/../health", "/v1/models/../../etc/passwd", "/v1/models/%2e%2e%2fhealth",
        "//v1/models", "/v1/chat/completions/", "/v1/completions", "/v1/responses", "/v1/embeddings", "/load_model",
        "/reset", "/docs", "/openapi.json", "/v1/chat/completions%00", "/%2e%2e/%2e%2e/etc/passwd", "/v1/models/ours/x",
        "/v1/load_lora_adapter", "/collective_rpc", "http://evil/v1/models",
    ],
)  # fmt: skip
def test_a_path_that_is_no_route_reaches_nothing(url: str, behind: tuple[Stub, str], path: str) -> None:
    asked = len(behind[0].asked)
    for method in ("GET", "POST"):
        answer = raw(url, head(path, JSON, method=method))
        status = int(answer.split(b" ", 2)[1])
        assert status in (404, 405), answer
        assert b"location:" not in answer.lower()
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"]
    assert len(behind[0].asked) == asked


@pytest.mark.parametrize(
    "request_",
    [
        b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00", b"GET /health HTTP/1.1\r\n\r\n", b"\r\n" * 5000,
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 4\r\n"
        b"transfer-encoding: chunked\r\n\r\n"
        b"0\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n",
        b"GET /health HTTP/1.1\r\nhost: localhost\r\nx: a\x00b\r\n\r\n",
        b"GET /health HTTP/1.1\r\nhost : localhost\r\n\r\n",
        b"CONNECT evil:443 HTTP/1.1\r\nhost: evil\r\n\r\n",
        b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\nconnection: upgrade, close\r\n\r\n",
    ],
    ids=range(10),
)  # fmt: skip
def test_what_is_no_request_of_http_is_refused_and_the_next_one_is_served(url: str, request_: bytes) -> None:
    answer = raw(url, request_)
    assert b" 200 " not in answer.partition(b"\r\n")[0] or b"upgrade" in request_
    assert is_well(url)


def test_no_header_of_a_client_comes_back_or_goes_on_but_its_key(url: str, behind: tuple[Stub, str]) -> None:
    sent = {
        "x-fastslow-context": "forged", "x-forwarded-for": "1.2.3.4", "cookie": "a=b", "x-request-id": "canary",
        "forwarded": "for=1.2.3.4", "x-api-key": "canary", "authorization": "Bearer k",
    }  # fmt: skip
    answer = CLIENT.post(f"{url}/v1/chat/completions", json=ask(), headers=sent)
    assert answer.headers["x-fastslow-context"] == CONTEXTS[0].id
    got = behind[0].headers[-1]
    assert not {"x-forwarded-for", "cookie", "x-request-id", "forwarded", "x-api-key", "x-fastslow-context"} & set(got)
    assert "canary" not in str(answer.headers)
    assert "server" not in answer.headers


@pytest.mark.parametrize("name", ["a\r\nset-cookie: x=y", "a: b", "ü" * 3, "\x00", "x" * 500, ""])
def test_names_from_files_are_safe_in_headers(name: str) -> None:
    made = header(name)
    assert len(made) <= 64
    assert all(sign.isascii() and (sign.isalnum() or sign in "._-") for sign in made)


def test_a_topic_with_a_line_end_in_its_name_makes_no_header_of_its_own(
    tmp_path: Path, behind: tuple[Stub, str]
) -> None:
    made = make_bundle(tmp_path, topics=topics_of(CONTEXTS))
    for name in ("archive.json", "clusters.json"):
        text = (made / name).read_text()
        (made / name).write_text(text.replace('"c1"', '"c1\\r\\nset-cookie: x=y"'))
    with proxied(made, behind[1], choose="cluster") as url:
        for task in ("Spell the word 'q1x2' backwards, letter by letter.", "What is 1 + 2? Give the number."):
            answer = CLIENT.post(f"{url}/v1/chat/completions", json=ask(task))
            assert answer.status_code == 200
            assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_a_page_in_a_browser_cannot_ask_without_asking_first(url: str, behind: tuple[Stub, str], kind: str) -> None:
    asked = len(behind[0].asked)
    answer = CLIENT.post(
        f"{url}/v1/chat/completions", content=json.dumps(ask()), headers={"content-type": kind, "origin": "http://evil"}
    )
    assert answer.status_code == 415
    preflight = CLIENT.options(f"{url}/v1/chat/completions", headers={"origin": "http://evil"})
    assert preflight.status_code == 405
    assert not [name for name in preflight.headers if name.startswith("access-control")]
    assert len(behind[0].asked) == asked


HOSTS = (
    "evil.example", "evil.example:80", "localhost.evil.example", "127.0.0.1.evil", "", "[::2]", "[::1].evil",
    "[::1]evil", "localhost.evil:80", "localhost:80.evil", "127.0.0.1:x", "127.0.0.1:80:90", "localhost:80@evil",
    "user@localhost", "localhost@evil", "localhost:@evil", "evil#localhost", "localhost/evil", "localhost,evil",
    "localhost evil", "evil localhost", "[::1", "::1", "[::1]:", "[127.0.0.1]", "[::1%25lo]", "localhost:",
    "localhost.", "0x7f.1", "127.1", "2130706433", "0177.0.0.1", "localhost\u00e9", "localhost:\u00b2", "10.0.0.1",
    "0.0.0.0", "localhost:1234567",
)  # fmt: skip


@pytest.mark.parametrize("host", HOSTS)
def test_a_name_of_somebody_else_in_the_host_header_is_refused(host: str) -> None:
    assert not is_local(host.encode("latin-1"))


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:8000", "127.0.0.2", "[::1]", "[0:0::1]:80"])
def test_a_name_or_address_of_this_machine_in_the_host_header_passes(host: str) -> None:
    assert is_local(host.encode("latin-1"))


def test_the_host_header_is_looked_at_on_every_path(url: str) -> None:
    for path in ("/v1/models", "/health", "/metrics", "/v1/chat/completions", "/x"):
        for host in ("evil.example", "[::1].evil", "localhost:80@evil"):
            answer = CLIENT.get(f"{url}{path}", headers={"host": host})
            assert answer.status_code == 421
            assert answer.json()["error"]["message"]
    assert CLIENT.get(f"{url}/v1/models", headers={"host": "localhost:123"}).status_code == 200


@pytest.mark.parametrize(
    ("host", "local"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("LocalHost", True), ("::1", True), ("0.0.0.0", False), ("::", False)],
)
def test_a_proxy_on_any_address_of_this_machine_asks_for_its_name(host: str, local: bool) -> None:
    assert is_loopback(host) is local


@pytest.mark.parametrize("path", ["/health", "/metrics", "/v1/models", "/v1/models/ours"])
def test_the_body_of_a_get_that_never_ends_holds_the_connection_for_a_moment_only(
    url: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "REST_SECONDS", 0.1)
    for how, drip in (("content-length: 1000", b"x"), ("transfer-encoding: chunked", b"1\r\nx\r\n")):
        with connected(url) as line:
            line.sendall(f"GET {path} HTTP/1.1\r\nhost: localhost\r\n{how}\r\n\r\n".encode())
            assert b" 200 " in line.recv(65536)
            began = time.monotonic()
            with pytest.raises(OSError):  # noqa: PT011, PT012 - reset or broken pipe
                while time.monotonic() - began < 5:
                    line.sendall(drip)
                    time.sleep(0.01)
            assert time.monotonic() - began < 3


def test_the_body_of_a_get_that_ends_leaves_the_connection_open(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "REST_SECONDS", 2.0)  # enough for both halves of a request on a busy machine
    with connected(url) as line:
        for patience in (2.1, 0):
            line.sendall(b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\n{")
            assert b" 200 " in line.recv(65536)
            line.sendall(b"}")
            time.sleep(patience)


def error_of(answer: bytes) -> dict[str, str]:
    """The error of a raw answer, which has OpenAI's form."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"application/json" in head
    error = json.loads(body)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error


def test_what_the_libraries_refuse_themselves_has_openais_form(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert error_of(raw(url, b"\x16\x03\x01\x02\x00\r\n\r\n"))["code"] == "invalid_http"
    assert (
        error_of(raw(url, b"GET /health HTTP/1.1\r\nhost: localhost\r\nx: " + b"a" * 100_000))["code"] == "invalid_http"
    )
    assert error_of(raw(url, head("/x", method="GET")))["code"] == "not_found"
    answer = raw(url, head("/v1/chat/completions", method="DELETE"))
    assert error_of(answer)["code"] == "method_not_allowed"
    assert b"allow: post" in answer.lower()
    monkeypatch.setattr(protocol, "MOST_CONNECTIONS", 0)
    answer = raw(url, head("/health", method="GET"))
    assert b" 503 " in answer
    assert error_of(answer)["code"] == "overloaded"


def test_a_body_that_turns_out_to_be_no_http_ends_its_connection_alone(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    json_head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    with connected(url) as line:  # before its answer
        line.sendall(json_head + b"transfer-encoding: chunked\r\n\r\n1\r\n{\r\nno number\r\n")
        assert error_of(line.recv(65536))["code"] == "invalid_http"
        assert line.recv(65536) == b""
    with connected(url) as line:  # after its answer
        line.sendall(b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n")
        assert b" 200 " in line.recv(65536)
        line.sendall(b"no number\r\n")
        with contextlib.suppress(ConnectionResetError):
            assert line.recv(65536) == b""
    body = json.dumps(ask(json.dumps({"id": "a", "events": 1000, "delay": 0.02}), stream=True)).encode()
    with connected(url) as line:  # while it is answered
        line.sendall(json_head + b"content-length: %d\r\n\r\n" % len(body) + body)
        line.recv(65536)
        line.sendall(b"\x00no http\r\n\r\n")
    assert is_well(url)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


@pytest.mark.parametrize(
    "given",
    [None, "", "Bearer", "Bearer ", "Bearer wrong", "secret-key", "bearer secret-key", "Bearer secret-key ", "Basic x"],
)
def test_without_the_key_nothing_is_answered_and_nothing_is_said_about_it(
    bundle: Path, behind: tuple[Stub, str], given: str | None
) -> None:
    asked, headers = len(behind[0].asked), {} if given is None else {"authorization": given.strip() or "x"}
    if given == "Bearer secret-key ":
        headers = {"authorization": "Bearer secret-key\u00e9"}
    with proxied(bundle, behind[1], key="secret-key") as url:
        for method, path in (
            ("POST", "/v1/chat/completions"),
            ("GET", "/v1/models"),
            ("GET", "/metrics"),
            ("GET", "/x"),
        ):
            raw_headers = {name.encode(): value.encode() for name, value in headers.items()}
            answer = CLIENT.request(method, f"{url}{path}", headers=raw_headers)
            assert answer.status_code == 401
            assert "secret" not in answer.text
            assert answer.json()["error"]["code"] == "invalid_api_key"
        assert CLIENT.get(f"{url}/health").status_code == 200
        good = {"authorization": "Bearer secret-key"}
        assert CLIENT.get(f"{url}/v1/models", headers=good).status_code == 200
    assert len(behind[0].asked) == asked


def test_an_answer_without_end_is_cut(bundle: Path, behind: tuple[Stub, str], monkeypatch: pytest.MonkeyPatch) -> None:
    from fastslow.serving import upstream

    monkeypatch.setattr(upstream, "LONGEST_ANSWER", 1000)
    with proxied(bundle, behind[1]) as url:
        answer = CLIENT.post(f"{url}/v1/chat/completions", json=ask(json.dumps({"id": "a", "events": 500})))
    assert answer.status_code == 502
