"""What the proxy relies on in uvicorn and transformers serve, beyond what they document."""

from __future__ import annotations

import inspect
from typing import Any

import h11
import uvicorn
from transformers import GenerationConfig
from transformers.cli.serving.chat_completion import (
    UNUSED_CHAT_COMPLETION_FIELDS,
    ChatCompletionHandler,
    TransformersCompletionCreateParamsStreaming,
)
from transformers.cli.serving.utils import GenerationState
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle


def test_uvicorns_protocol_calls_what_the_proxy_overrides() -> None:
    source = inspect.getsource(H11Protocol)
    for name in ("connection_made", "data_received", "pause_writing", "resume_writing", "connection_lost"):
        assert callable(getattr(H11Protocol, name))
    assert "self._unset_keepalive_if_required()" in inspect.getsource(H11Protocol.data_received)
    for attribute in ("self.conn = h11.Connection", "self.transport = transport", "self.loop = "):
        assert attribute in source
    assert h11.Connection(h11.SERVER).their_state is h11.IDLE


def test_uvicorns_server_calls_what_the_proxy_overrides() -> None:
    assert "signal.signal(sig, self.handle_exit)" in inspect.getsource(uvicorn.Server.capture_signals)
    assert "self._captured_signals" in inspect.getsource(uvicorn.Server.handle_exit), "raised again where it is kept"
    assert "await self.shutdown(" in inspect.getsource(uvicorn.Server._serve)
    assert "connection.shutdown()" in inspect.getsource(uvicorn.Server.shutdown)


def test_uvicorns_protocol_takes_what_the_proxy_sets() -> None:
    source = inspect.getsource(H11Protocol.handle_events)
    assert "app = self.app" in source
    assert "on_response=self.on_response_complete" in source
    assert "self.send_400_response(" in source
    assert "if self.disconnected:" in inspect.getsource(RequestResponseCycle.send)


def test_transformers_serve_reads_the_older_name_of_a_length_alone() -> None:
    assert "max_completion_tokens" in UNUSED_CHAT_COMPLETION_FIELDS
    assert 'body.get("max_tokens")' in inspect.getsource(ChatCompletionHandler)


def test_transformers_serve_turns_sampling_off_at_temperature_0_and_never_on() -> None:
    handler: Any = object.__new__(ChatCompletionHandler)
    handler.generation_state = GenerationState()

    def samples(own: bool, **body: float) -> bool:
        return handler._build_generation_config(body, GenerationConfig(do_sample=own)).do_sample

    assert not samples(False, temperature=0.7), "if it does by now, the server needs no folder of its own"
    assert samples(True, temperature=0.7)
    assert not samples(True, temperature=0.0)


def test_uvicorn_has_no_timeout_for_heads_of_its_own() -> None:
    assert not [name for name in inspect.signature(uvicorn.Config).parameters if "header_timeout" in name]


def test_transformers_serve_takes_arguments_of_the_template_and_a_seed() -> None:
    assert {"chat_template_kwargs", "seed"} <= set(TransformersCompletionCreateParamsStreaming.__annotations__)
