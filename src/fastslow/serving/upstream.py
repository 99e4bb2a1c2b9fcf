"""The server behind: one request at a time, its answer or its stream, and its failures in OpenAI's form."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Mapping
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any
from urllib.parse import urlsplit

import anyio
import httpx

from fastslow.core.errors import BadInput
from fastslow.serving.errors import Refused, failed

CONNECT_SECONDS = 5.0
LONGEST_ANSWER = 64 * 2**20
"""Bytes of an answer in one piece. Streams have no limit: they pass through."""

PASSED_BACK = (b"retry-after", b"x-request-id")
"""Headers of the server's that a client gets to see. The content type is ours: only JSON and events are passed on."""


class Upstream:
    """A server in OpenAI's form.

    Args:
        url: up to and with `/v1`.
        model: the name by which the server knows the model; None: it is left out, for a server with one model.
        key: the server's key; None: the client's own is passed on, where the proxy needs none itself.
        takes_arguments: whether the server knows `chat_template_kwargs`.
        ours: whether it is a `transformers serve` that was started here: that one reads the older name of a field,
            gives one answer a request, calls the model by the path of its folder, and is told with every request by
            which temperature and top-p to sample.
        seconds: how long to wait for the head of an answer, then for the rest of it, or the next byte of a stream.

    Raises BadInput for what is no URL of HTTP.
    """

    def __init__(
        self,
        url: str,
        *,
        model: str | None = None,
        key: str | None = None,
        takes_arguments: bool = True,
        ours: bool = False,
        seconds: float = 600.0,
    ):
        host = _host_of(url)
        self.url, self.model, self.takes_arguments, self.ours = url.rstrip("/"), model, takes_arguments, ours
        self._key, self.seconds = key, seconds
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(seconds, connect=CONNECT_SECONDS, pool=None),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=64),
            follow_redirects=False,  # a redirect could take question and key to another host
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),  # what is set for one client is no other's
            trust_env=not is_loopback(host),
        )

    async def ask(self, content: Mapping[str, Any], key: str | None) -> httpx.Response:
        """Send a chat request and return the answer when its head is there; `key` is the client's.

        Raises Refused where the server cannot be reached or does not answer.
        """
        headers = {"content-type": "application/json", "accept-encoding": "identity"}
        if self._key or key:
            headers["authorization"] = f"Bearer {self._key}" if self._key else str(key)
        sent = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]  # as a client's came
        body = json.dumps(content, allow_nan=False).encode()
        request = self._client.build_request("POST", f"{self.url}/chat/completions", content=body, headers=sent)
        try:
            with anyio.fail_after(self.seconds):  # a head that drips resets the wait for its next byte
                response = await self._client.send(request, stream=True)
        except (httpx.TimeoutException, TimeoutError):
            raise failed("the server behind does not answer", status=504, code="upstream_timeout") from None
        except httpx.HTTPError as error:  # its words may hold the address, which is not the client's business
            raise failed(f"the server behind cannot be reached ({type(error).__name__})") from None
        if response.is_redirect:
            await response.aclose()
            raise failed("the server behind answers with a redirect, which is not followed")
        return response

    async def is_up(self) -> bool:
        """Return whether the server answers at all; what it answers differs from server to server."""
        try:
            with anyio.fail_after(CONNECT_SECONDS):
                async with self._client.stream("GET", f"{self.url}/models"):
                    return True  # what it says may have no end
        except (httpx.HTTPError, TimeoutError):
            return False

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()


def _host_of(url: str) -> str:
    try:
        parts = urlsplit(url)
        plain = not (parts.username or parts.query or parts.fragment) and parts.port != 0
        if plain and parts.scheme in ("http", "https") and parts.hostname:
            return parts.hostname
    except ValueError:
        pass
    raise BadInput("an upstream is given as a URL such as http://127.0.0.1:8000/v1, without a key in it.")


async def whole(response: httpx.Response, seconds: float) -> bytes:
    """Read an answer that is no stream. Raises Refused for one that breaks off, takes longer than `seconds` from its
    head to its end, or is out of all proportion."""
    content = bytearray()
    try:
        with anyio.fail_after(seconds):
            async for chunk in response.aiter_raw():
                content += chunk
                if len(content) > LONGEST_ANSWER:
                    raise failed("the answer of the server behind is too long")
    except (httpx.TimeoutException, TimeoutError):
        raise failed("the server behind stopped answering", status=504, code="upstream_timeout") from None
    except httpx.HTTPError:
        raise failed("the answer of the server behind broke off") from None
    return bytes(content)


def object_of(content: bytes) -> dict[str, Any]:
    """Return an answer, or the data of an event, as JSON. Raises Refused for what is no JSON object in UTF-8."""
    try:
        data = json.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        raise failed("the server behind answers with what is no JSON object")
    return data


def refusal(status: int, content: bytes) -> Refused | None:
    """Return an error of the server's in OpenAI's form, or None where it has that form already."""
    try:
        data = object_of(content)
    except Refused:
        data = {}
    return None if has_the_form(data.get("error")) else in_the_form(status, data)


def has_the_form(error: object) -> bool:
    """Return whether this is an error as OpenAI's API words it."""
    return isinstance(error, dict) and isinstance(error.get("message"), str)


def in_the_form(status: int, data: Mapping[str, Any]) -> Refused:
    """Return an error of the server's with what it says of it, in whichever form."""
    said = data.get("error") or data.get("detail") or data.get("message")
    if isinstance(said, dict) and has_the_form(said):
        said = said["message"]
    words = said if isinstance(said, str) else json.dumps(said) if said else f"status {status}"
    kind = "invalid_request_error" if status < 500 else "server_error"
    return Refused(f"the server behind says: {words[:500]}", status=status, kind=kind, code="upstream_error")


def headers_back(response: httpx.Response) -> list[tuple[bytes, bytes]]:
    """Return the headers of an answer that a client gets to see, as they came: they may be in any encoding."""
    came = dict(reversed([(name.lower(), value) for name, value in response.headers.raw]))
    return [(name, came[name]) for name in PASSED_BACK if name in came]


def is_loopback(host: str) -> bool:
    """Return whether only this machine can be reached under this name or address."""
    try:
        return host.lower() == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
