"""Proxies of the environment: used, or refused in one line that names the variable and shows no value."""

from __future__ import annotations

import socket

import pytest

from fastslow.core.errors import BadInput, EndpointError
from fastslow.core.proxies import proxy_for
from fastslow.fast.reflection.endpoint import OpenAIReflectionLM
from fastslow.policy.loading import ModelSource, loading
from tests.support.openai_server import OpenAIServer

NAMES = [name for scheme in ("all", "http", "https", "no") for name in (f"{scheme}_proxy", f"{scheme}_proxy".upper())]


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


def lm(url: str = "http://localhost:9/v1") -> OpenAIReflectionLM:
    return OpenAIReflectionLM(url, "m", api_key_env="")


@pytest.mark.parametrize("name", [name for name in NAMES if not name.lower().startswith("no")])
@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("socks5://user:secret@localhost:1080", "needs the package socksio"),
        ("socks5h://user:secret@localhost:1080", "needs the package socksio"),
        ("foo://user:secret@localhost:1080", "holds no proxy's URL"),
        ("http://user:secret@[::1", "holds no proxy's URL"),
        ("http://user:secret@localhost:port", "holds no proxy's URL"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_named_by_its_variable(monkeypatch, name: str, value: str, says: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(BadInput) as refused:
        lm()
    assert name in str(refused.value)
    assert says in str(refused.value)
    assert "secret" not in str(refused.value)
    assert refused.value.__suppress_context__, "the cause may hold the proxy's password"
    assert "\n" not in str(refused.value)


def test_of_several_the_one_that_cannot_be_used_is_named(monkeypatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://localhost:1")
    monkeypatch.setenv("HTTPS_PROXY", "socks5://localhost:1")
    with pytest.raises(BadInput, match="HTTPS_PROXY"):
        lm()


def test_a_request_goes_through_the_proxy(monkeypatch) -> None:
    with OpenAIServer(["yes"]) as server:  # which knows no proxy's paths: that it answers at all is what counts
        monkeypatch.setenv("HTTP_PROXY", f"http://{server.host}")
        with pytest.raises(EndpointError, match=r"reflection\.invalid answered HTTP 404"):
            lm("http://reflection.invalid/v1").complete("hello?", seed=1)


def test_an_endpoint_that_is_not_reached_through_a_proxy_names_it(monkeypatch) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound and not listening: refused at once
        monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{closed.getsockname()[1]}")
        monkeypatch.setattr("fastslow.fast.reflection.endpoint.HTTP_RETRIES", 0)
        with pytest.raises(EndpointError, match="through the proxy of the environment variable ALL_PROXY"):
            lm("http://reflection.invalid/v1").complete("hello?", seed=1)


def test_hosts_without_a_proxy_are_told_from_others(monkeypatch) -> None:
    assert proxy_for("http", "example.org") is None
    monkeypatch.setenv("ALL_PROXY", "http://localhost:1")
    monkeypatch.setenv("no_proxy", "example.org")
    assert proxy_for("http", "example.org") is None
    assert proxy_for("http", "other.org") == "ALL_PROXY"


def test_a_model_that_is_not_reached_through_a_proxy_names_it(monkeypatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "socks5://localhost:1")
    with (
        pytest.raises(BadInput, match="that of the environment variable HTTPS_PROXY"),
        loading(ModelSource("a/b", "a")),
    ):
        raise ImportError("Using SOCKS proxy, but the 'socksio' package is not installed.")
