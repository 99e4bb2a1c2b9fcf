"""Before a `transformers serve` of its own, the proxy speaks as that server reads, and hides where its files lie."""

from __future__ import annotations

import contextlib
import json
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from fastslow.core.errors import BadInput, FastSlowError
from fastslow.serving import child as child_module
from fastslow.serving import server as server_module
from fastslow.serving.server import ServeSettings
from tests.support.proxy import ask, proxied
from tests.support.stub_upstream import Stub

CLIENT = httpx.Client(timeout=10)
FOLDER = "/tmp/fastslow-export-x/model"


@pytest.fixture(scope="module")
def url(bundle: Path, behind: tuple[Stub, str]) -> Iterator[str]:
    """A proxy that takes the stub for a server that it started."""

    class Started:
        url = behind[1]

        def __init__(self, folder: Path, **settings: Any) -> None: ...
        def __enter__(self) -> Started:
            return self

        def __exit__(self, *error: object) -> None: ...

    with pytest.MonkeyPatch.context() as patch, contextlib.ExitStack() as stack:
        patch.setattr(server_module, "Child", Started)
        patch.setattr(server_module, "export_bundle", lambda *inputs: None)
        yield stack.enter_context(proxied(bundle, None))


def test_the_proxy_ends_with_an_error_when_its_server_died(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line and exit code 1, so that a supervisor starts both again; a signal would be exit code 0."""

    class Dying:
        url, ended = "http://127.0.0.1:9/v1", False

        def __init__(self, folder: Path, **settings: Any) -> None: ...
        def __enter__(self) -> Dying:
            return self

        def __exit__(self, *error: object) -> None: ...

        def last_words(self) -> str:
            return "by signal 9: out of memory"

    monkeypatch.setattr(server_module, "Child", Dying)
    monkeypatch.setattr(server_module, "export_bundle", lambda *inputs: None)
    rescue = threading.Timer(20, signal.raise_signal, [signal.SIGTERM])
    rescue.start()
    with pytest.raises(FastSlowError, match=r"ended by signal 9: out of memory; fastslow serve stops too") as told:
        server_module.serve(bundle, ServeSettings(port=0), lambda url: setattr(Dying, "ended", True))
    rescue.cancel()
    assert not isinstance(told.value, BadInput)


def test_the_server_gets_no_secret_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = ("OUR_API_KEY", "hf_token", "AWS_SECRET_X", "PGPASSWORD", "GOOGLE_APPLICATION_CREDENTIALS")
    for name in (*secret, "TOKENIZERS_PARALLELISM", "OMP_NUM_THREADS"):
        monkeypatch.setenv(name, "1")
    given: dict[str, str] = {}

    def popen(*_: Any, env: dict[str, str], **__: Any) -> Any:
        given.update(env)
        raise OSError("no server in this test")

    monkeypatch.setattr(child_module.subprocess, "Popen", popen)
    with pytest.raises(OSError, match="no server"), child_module.Child(tmp_path):
        pass
    assert not set(secret) & set(given)
    assert {"TOKENIZERS_PARALLELISM", "OMP_NUM_THREADS", "PATH", "HF_HUB_OFFLINE"} <= set(given)


def answered(url: str, wish: Any = None, **fields: Any) -> httpx.Response:
    text = json.dumps({"id": "a", "events": 2, **wish}) if wish is not None else "q"
    return CLIENT.post(f"{url}/v1/chat/completions", json=ask(text, **fields))


@pytest.mark.parametrize(("sent", "got"), [({}, None), ({"max_tokens": 3}, 3), ({"max_completion_tokens": 5}, 5),
                                           ({"max_tokens": 3, "max_completion_tokens": 5}, 5),
                                           ({"max_tokens": 3, "max_completion_tokens": None}, 3)])  # fmt: skip
def test_the_length_of_an_answer_goes_by_the_name_that_the_server_reads(
    url: str, bundle: Path, behind: tuple[Stub, str], sent: dict[str, Any], got: int | None
) -> None:
    answered(url, **sent)
    asked = behind[0].asked[-1]
    assert asked.get("max_tokens") == got
    assert asked.get("max_completion_tokens") is None


def test_any_other_server_gets_the_length_as_the_client_names_it(bundle: Path, behind: tuple[Stub, str]) -> None:
    with proxied(bundle, behind[1]) as url:
        answered(url, max_completion_tokens=5)
    asked = behind[0].asked[-1]
    assert (asked.get("max_tokens"), asked["max_completion_tokens"]) == (None, 5)


def test_the_model_has_the_name_that_the_list_of_models_gives(url: str) -> None:
    listed = CLIENT.get(f"{url}/v1/models").json()["data"][0]["id"]
    whole = {"id": "a", "model": FOLDER, "choices": [{"index": 0, "message": {"content": "\ud83d \u65e5"}}]}
    assert answered(url, {"answer": json.dumps(whole)}).json() == {**whole, "model": listed}
    events = [{"model": FOLDER, "choices": [{"index": 0, "delta": {"content": part}}]} for part in ("a", "\u65e5\n")]
    end = {"model": FOLDER, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": {}}
    text = ": hi\n\n" + "".join(f"data: {json.dumps(event)}\n\n" for event in [*events, end])
    streamed = answered(url, {"answer": text, "type": "text/event-stream"}, stream=True, n=2).text
    assert FOLDER not in streamed
    comment, *said, last = streamed.rstrip("\n").split("\n\n")
    assert (comment, last) == (": hi", "data: [DONE]"), "one answer a request, whatever n says; the server names no end"
    assert [json.loads(data.removeprefix("data: ")) for data in said] == [
        {**event, "model": listed} for event in [*events, end]
    ]
