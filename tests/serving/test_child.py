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
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig
from transformers.cli.serving.chat_completion import ChatCompletionHandler
from transformers.cli.serving.utils import GenerationState

from fastslow.core.errors import BadInput, FastSlowError
from fastslow.export.folder import ExportSettings, export_bundle
from fastslow.serving import child as child_module
from fastslow.serving import server as server_module
from fastslow.serving.server import ServeSettings
from tests.support.proxy import ask, proxied
from tests.support.shipped import make_bundle
from tests.support.stub_upstream import Stub

CLIENT = httpx.Client(timeout=10)
FOLDER = "/tmp/fastslow-export-x/model"


@contextlib.contextmanager
def before_a_child(bundle: Path, url: str) -> Iterator[str]:
    """A proxy that takes the server at `url` for one that it started."""

    class Started:
        def __init__(self, folder: Path, **settings: Any) -> None:
            self.url = url

        def __enter__(self) -> Started:
            return self

        def __exit__(self, *error: object) -> None: ...

    with pytest.MonkeyPatch.context() as patch, contextlib.ExitStack() as stack:
        patch.setattr(server_module, "Child", Started)
        patch.setattr(server_module, "export_bundle", lambda *inputs: None)
        yield stack.enter_context(proxied(bundle, None))


@pytest.fixture(scope="module")
def url(bundle: Path, behind: tuple[Stub, str]) -> Iterator[str]:
    with before_a_child(bundle, behind[1]) as base:
        yield base


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
    (tmp_path / "generation_config.json").write_text("{}")
    given: dict[str, str] = {}

    def popen(*_: Any, env: dict[str, str], **__: Any) -> Any:
        given.update(env)
        raise OSError("no server in this test")

    monkeypatch.setattr(child_module.subprocess, "Popen", popen)
    with pytest.raises(OSError, match="no server"), child_module.Child(tmp_path):
        pass
    assert not set(secret) & set(given)
    assert {"TOKENIZERS_PARALLELISM", "OMP_NUM_THREADS", "PATH", "HF_HUB_OFFLINE"} <= set(given)


@pytest.mark.parametrize("temperature", [0.0, 0.6])
def test_the_server_samples_at_the_temperature_of_a_request_and_the_export_stays_as_it_is(
    temperature: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make_bundle(tmp_path, eval_temperature=temperature, eval_top_p=0.9)
    folder = tmp_path / "exported"
    export_bundle(made, folder, ExportSettings(contexts="lead"))
    exported = {path.name: path.read_bytes() for path in folder.iterdir()}
    handler: Any = object.__new__(ChatCompletionHandler)
    handler.generation_state = GenerationState()
    started: list[Path] = []

    def popen(command: list[str], **_: Any) -> Any:
        started.append(Path(command[command.index("serve") + 1]))
        AutoTokenizer.from_pretrained(started[0])
        own = AutoModelForCausalLM.from_pretrained(started[0]).generation_config
        greedy = handler._build_generation_config({"temperature": 0.0, "top_p": 0.9}, own)
        sampled = handler._build_generation_config({"temperature": 0.3, "top_p": 0.5}, own)
        assert greedy.do_sample is False
        assert (sampled.do_sample, sampled.temperature, sampled.top_p, sampled.top_k) == (True, 0.3, 0.5, 0)
        assert set(own.eos_token_id) == set(GenerationConfig.from_pretrained(str(folder)).eos_token_id)  # type: ignore[arg-type]
        raise OSError("no server in this test")

    monkeypatch.setattr(child_module.subprocess, "Popen", popen)
    with pytest.raises(OSError, match="no server"), child_module.Child(folder):
        pass
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == exported
    assert GenerationConfig.from_pretrained(str(folder)).do_sample is bool(temperature)
    assert not started[0].exists()


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


def test_any_other_server_gets_length_and_temperature_as_the_client_names_them(
    bundle: Path, behind: tuple[Stub, str]
) -> None:
    with proxied(bundle, behind[1]) as url:
        answered(url, max_completion_tokens=5, temperature="hot")
        asked = behind[0].asked[-1]
        assert (asked.get("max_tokens"), asked["max_completion_tokens"], asked["temperature"]) == (None, 5, "hot")
        answered(url)
    assert not {"temperature", "top_p", "max_tokens"} & set(behind[0].asked[-1])


SENT: list[tuple[dict[str, Any], tuple[float, float], tuple[float, float]]] = [
    # what a client sends -> what the server is sent of a greedy release, and of one that samples
    ({}, (0, 1), (0.6, 0.9)),
    ({"temperature": None, "top_p": None}, (0, 1), (0.6, 0.9)),
    ({"temperature": 0.7}, (0.7, 1), (0.7, 0.9)),
    ({"temperature": 0}, (0, 1), (0, 0.9)),
    ({"top_p": 0.5}, (0, 0.5), (0.6, 0.5)),
    ({"temperature": 1e-6, "top_p": 0}, (0.01, 0), (0.01, 0)),
]


def test_the_server_is_told_the_temperature_of_the_request_or_else_of_the_release(
    url: str, behind: tuple[Stub, str], tmp_path: Path
) -> None:
    sampled = make_bundle(tmp_path, eval_temperature=0.6, eval_top_p=0.9)
    with before_a_child(sampled, behind[1]) as other:
        for fields, *expected in SENT:
            for base, told in zip((url, other), expected, strict=True):
                answered(base, **fields)
                asked = behind[0].asked[-1]
                assert (asked["temperature"], asked["top_p"]) == told, fields


@pytest.mark.parametrize(
    ("field", "value"),
    [("temperature", v) for v in (-1, 101, "0.7", True, [0.5], 10**400)]
    + [("top_p", v) for v in (-0.1, 1.5, "1", False)],
)
def test_what_the_server_cannot_sample_by_is_refused(
    url: str, behind: tuple[Stub, str], field: str, value: Any
) -> None:
    before = len(behind[0].asked)
    answer = answered(url, **{field: value})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, field)
    assert len(behind[0].asked) == before


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
