"""Every engine against the promises of the protocol: tests/support/conformance.py."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from fastslow.policy.engines.make import make_engine
from fastslow.policy.engines.servable import prepare
from tests.support.conformance import Case, Conformance
from tests.support.tiny import tiny_model, tiny_tokenizer
from tests.support.vllm_server import VllmServer

TOKENIZER: Any = tiny_tokenizer()
IDS = range(250)


class TestTransformers(Conformance):
    @pytest.fixture(scope="class")
    def case(self) -> Case:
        model = tiny_model(TOKENIZER)
        return Case(
            model,
            lambda eos: make_engine(model, TOKENIZER, eos_ids=eos, dtype=torch.float32),
            IDS,
            TOKENIZER.eos_token_id,
        )


class TestVllm(Conformance):
    """Against the server of tests/support, over real HTTP. tests/vllm has the same against vLLM itself."""

    @pytest.fixture(scope="class", params=[1, 2], ids=["one server", "two servers"])
    def case(self, request, tmp_path_factory) -> Iterator[Case]:
        model, folder = tiny_model(TOKENIZER), tmp_path_factory.mktemp("served") / "model"
        prepare(model, TOKENIZER, folder, name="tiny", dtype=torch.float32)
        servers = [VllmServer(folder, window=1024) for _ in range(request.param)]
        for server in servers:
            server.__enter__()
        urls = [server.url for server in servers]
        yield Case(
            model,
            lambda eos: make_engine(model, TOKENIZER, eos_ids=eos, dtype=torch.float32, urls=urls),
            IDS,
            TOKENIZER.eos_token_id,
        )
        for server in servers:
            server.die()
