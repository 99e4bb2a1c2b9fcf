"""The tiny model, and servers of it that speak vLLM's dialect, ready for an engine or a run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch

from fastslow.policy.engines.servable import prepare
from fastslow.policy.engines.vllm import VllmEngine
from tests.support.tiny import tiny_model, tiny_tokenizer
from tests.support.vllm_server import VllmServer

TOKENIZER: Any = tiny_tokenizer()


def prepared(folder: Path, model: Any = None) -> Path:
    """Prepare a folder for the tiny model, and return it."""
    prepare(model or tiny_model(TOKENIZER), TOKENIZER, folder, name="tiny", dtype=torch.float32)
    return folder


@contextmanager
def serving(folder: Path, count: int = 1, **settings: Any) -> Iterator[list[VllmServer]]:
    """Run servers on a prepared folder, which is made if it is not there."""
    if not folder.exists():
        prepared(folder)
    with ExitStack() as stack:
        yield [stack.enter_context(VllmServer(folder, **settings)) for _ in range(count)]


def engine_for(
    model: Any, servers: Sequence[VllmServer], *, adapters: bool = False, eos: Sequence[int] = ()
) -> VllmEngine:
    """Return an engine on these servers, in fp32."""
    return VllmEngine(
        model,
        TOKENIZER,
        urls=[server.url for server in servers],
        adapters=adapters,
        eos_ids=eos or [int(TOKENIZER.eos_token_id)],
        dtype=torch.float32,
    )
