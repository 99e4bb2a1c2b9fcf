"""vLLM itself against what the engine relies on, on CPUs with SmolLM2-135M: `make test-vllm`, some minutes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model

from fastslow.core.errors import EngineError
from fastslow.policy.engines.base import Prompt, SamplingParams
from fastslow.policy.engines.servable import MARKER, prepare, shape_of
from fastslow.policy.engines.vllm import VllmEngine
from fastslow.policy.loading import EMBEDDED, load_model, load_tokenizer, resolve_model
from fastslow.policy.pairing import make_fit
from tests.support.conformance import Case, Conformance, off, shift
from tests.support.real_vllm import PYTHON, RealServer

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.skipif(not PYTHON.exists(), reason=f"no vLLM at {PYTHON}: make test-vllm installs it"),
]
PARAMS = SamplingParams(6)


@pytest.fixture(scope="module")
def model() -> Any:
    return load_model(resolve_model(EMBEDDED)).eval()


@pytest.fixture(scope="module")
def tokenizer(model) -> Any:
    tokenizer = load_tokenizer(resolve_model(EMBEDDED))
    make_fit(model, tokenizer)
    return tokenizer


@pytest.fixture(scope="module")
def server(model, tokenizer, tmp_path_factory) -> Iterator[RealServer]:
    folder = tmp_path_factory.mktemp("served") / "policy"
    prepare(model, tokenizer, folder, name=EMBEDDED, dtype=torch.float32)
    with RealServer(folder, "--enable-lora", "--max-lora-rank", "8") as server:
        yield server


def engine(model: Any, tokenizer: Any, server: RealServer, eos: Any = None, *, adapters: bool = False) -> VllmEngine:
    eos_ids = eos or [int(tokenizer.eos_token_id)]
    return VllmEngine(
        model, tokenizer, urls=[server.url], adapters=adapters, eos_ids=eos_ids, dtype=torch.float32
    )  # fmt: skip


class TestRealVllm(Conformance):
    @pytest.fixture(scope="class")
    def case(self, model, tokenizer, server) -> Case:
        return Case(
            model, lambda eos: engine(model, tokenizer, server, eos), range(500, 40_000), tokenizer.eos_token_id
        )


def case_of(model: Any) -> Case:
    return Case(model, lambda eos: None, range(500, 40_000), 0)  # type: ignore[arg-type, return-value]


def long_prompts(model: Any) -> list[Prompt]:
    """Prompts that share several blocks of 128 tokens, the size of a block on CPUs."""
    return [case_of(model).prompt(400 + n, seed, prefix=400) for seed, n in enumerate((3, 9, 5))]


def gap_after_an_update(model: Any, engine: VllmEngine) -> float:
    """Sample, move the weights, refresh, and sample the same prompts again: how far from the new weights?"""
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    try:
        engine.refresh(0)
        engine.sample(long_prompts(model), PARAMS)
        shift(model)
        engine.refresh(1)
        return off(case_of(model), long_prompts(model), engine.sample(long_prompts(model), PARAMS))
    finally:
        model.load_state_dict(before)
        engine.close()


def test_what_is_sent_is_what_samples(model, tokenizer, server) -> None:
    assert gap_after_an_update(model, engine(model, tokenizer, server)) < 1e-3


def test_a_prefix_cache_that_is_not_reset_shows_in_the_gap(model, tokenizer, server, monkeypatch) -> None:
    async def nothing(self) -> None: ...

    monkeypatch.setattr("fastslow.policy.engines.servers.VllmServer.reset_prefix_cache", nothing)
    assert gap_after_an_update(model, engine(model, tokenizer, server)) > 0.1


def test_weights_of_an_older_step_show_in_the_gap(model, tokenizer, server) -> None:
    stale = engine(model, tokenizer, server)
    written = stale._transport.write
    stale._transport.write = lambda label: written(label) if label.endswith("-1") else None  # type: ignore[method-assign]
    assert gap_after_an_update(model, stale) > 0.1


def test_a_restarted_server_is_pushed_to_again_and_would_show_in_the_gap_behind_its_label(
    model, tokenizer, server
) -> None:
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    shift(model)
    one = engine(model, tokenizer, server)
    try:
        one.refresh(0)
        server.kill()
        with pytest.raises(EngineError, match=f"{server.url} cannot be reached"):
            one.refresh(0)
        server.start()
        server.wait()
        assert one._calls.run(one._servers[0].weight_version()) == "default"
        one._calls.run(one._servers[0].set_weight_version(one._label))
        assert off(case_of(model), long_prompts(model), one.sample(long_prompts(model), PARAMS)) > 0.1
        one._calls.run(one._servers[0].set_weight_version("default"))
        one.refresh(0)
        assert off(case_of(model), long_prompts(model), one.sample(long_prompts(model), PARAMS)) < 1e-3
    finally:
        model.load_state_dict(before)
        one.close()


@torch.no_grad()
def test_adapters_are_swapped_in_place(tokenizer, server) -> None:
    torch.manual_seed(0)
    config = LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False)
    adapted: Any = get_peft_model(load_model(resolve_model(EMBEDDED)).eval(), config)
    one = engine(adapted, tokenizer, server, adapters=True)
    for version in range(2):
        for name, weight in adapted.named_parameters():
            if "lora_" in name:
                weight += 0.02 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(version))
        one.refresh(version)
        samples = one.sample(long_prompts(adapted), PARAMS)
        assert off(case_of(adapted), long_prompts(adapted), samples) < 1e-3
        with adapted.disable_adapter():
            assert off(case_of(adapted), long_prompts(adapted), samples) > 0.05, "the adapter has to matter"
    one.close()


def test_a_tied_folder_keeps_its_old_head_and_shows_in_the_gap(model, tokenizer, tmp_path) -> None:
    folder = tmp_path / "tied"
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    assert json.loads((folder / "config.json").read_text())["tie_word_embeddings"]
    (folder / MARKER).write_text(json.dumps(shape_of(model)))  # as if it had been prepared
    (folder / "pushed").mkdir()
    with RealServer(Path(folder)) as tied:
        assert gap_after_an_update(model, engine(model, tokenizer, tied)) > 0.1
