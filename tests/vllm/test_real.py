"""vLLM itself against what the engine relies on, on CPUs with SmolLM2-135M: `make test-vllm`, some minutes.

With ENGINE_RESULTS=FILE what was measured goes into that JSON file, beside what scripts/engine_check.py measures.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model

from fastslow.core.errors import EngineError
from fastslow.core.types import Rollout, Verdict
from fastslow.files.run_directory import machine, versions
from fastslow.policy.engines import servers as dialect
from fastslow.policy.engines import transport
from fastslow.policy.engines.base import Engine, Prompt, SamplingParams
from fastslow.policy.engines.servable import MARKER, PUSHED, prepare, shape_of
from fastslow.policy.engines.vllm import VllmEngine
from fastslow.policy.loading import EMBEDDED, load_model, load_tokenizer, resolve_model
from fastslow.policy.pairing import make_fit
from fastslow.policy.tripwire import BOUNDS, Tripwire
from tests.support.conformance import Case, Conformance, off, shift
from tests.support.real_vllm import PYTHON, RealServer

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.skipif(not PYTHON.exists(), reason=f"no vLLM at {PYTHON}: make test-vllm installs it"),
]
PARAMS = SamplingParams(6)
BOUND = BOUNDS[torch.float32]
Note = Callable[[str, Any], None]


@pytest.fixture(scope="module")
def note() -> Iterator[Note]:
    """Take numbers that a test has measured, by name."""
    measured: dict[str, Any] = {}
    yield lambda name, value: measured.update({name: value})
    if path := os.environ.get("ENGINE_RESULTS"):
        file = Path(path)
        before = json.loads(file.read_text()) if file.exists() else {}
        made = {"tests": before.get("tests", {}) | measured, "machine": machine(), "versions": versions()}
        file.write_text(json.dumps(before | made, indent=2) + "\n")


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


def engine_on(model: Any, tokenizer: Any, server: RealServer, eos: Any = (), *, adapters: bool = False) -> VllmEngine:
    eos_ids = list(eos) or [int(tokenizer.eos_token_id)]
    return VllmEngine(model, tokenizer, urls=[server.url], adapters=adapters, eos_ids=eos_ids, dtype=torch.float32)


class TestRealVllm(Conformance):
    @pytest.fixture(scope="class")
    def case(self, model, tokenizer, server) -> Case:
        def make(eos: Any) -> Engine:
            return engine_on(model, tokenizer, server, eos)

        return Case(model, make, range(500, 40_000), tokenizer.eos_token_id)


def case_of(model: Any) -> Case:
    return Case(model, lambda eos: None, range(500, 40_000), 0)  # type: ignore[arg-type, return-value]


def long_prompts(model: Any, count: int = 3) -> list[Prompt]:
    """Prompts that share two blocks of 128 tokens and more: the size of a block of the prefix cache on CPUs."""
    return [case_of(model).prompt(300 + n, seed, prefix=300) for seed, n in enumerate((3, 9, 5)[:count])]


def watch(model: Any, engine: VllmEngine) -> tuple[bool, float]:
    """Sample long prompts; return whether the tripwire ends the run, and the gap in nats."""
    prompts = long_prompts(model)
    samples = engine.sample(prompts, PARAMS)
    rollouts = [
        Rollout("e", "c", prompt.ids, sample.ids, sample.logprobs, "", Verdict(1.0, ""), 1)
        for prompt, sample in zip(prompts, samples, strict=True)
    ]
    tripwire = Tripwire(model, bound=BOUND, dtype=torch.float32, packing=True)
    try:
        tripwire.check(rollouts, version=1, temperature=1.0, step=True, place=lambda at: engine.place(prompts[at]))
    except EngineError:
        assert tripwire.last is not None
        return True, tripwire.last.largest
    assert tripwire.last is not None
    return False, tripwire.last.largest


def watch_an_update(model: Any, engine: VllmEngine, spoil: Callable[[], object] = lambda: None) -> tuple[bool, float]:
    """Sample, move the weights, refresh, and watch the same prompts again, which the server has in its cache. `spoil`
    is called before the second refresh."""
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    try:
        engine.refresh(0)
        engine.sample(long_prompts(model), PARAMS)
        shift(model)
        spoil()
        engine.refresh(1)
        return watch(model, engine)
    finally:
        model.load_state_dict(before)
        engine.close()


def test_what_is_sent_is_what_samples(model, tokenizer, server, note) -> None:
    tripped, gap = watch_an_update(model, engine_on(model, tokenizer, server))
    note("honest server after an update", {"tripped": tripped, "nats": gap})
    assert not tripped


def test_a_prefix_cache_that_is_not_reset_trips(model, tokenizer, server, monkeypatch, note) -> None:
    async def nothing(self) -> None: ...

    def spoil() -> None:  # not before: the cache may hold what an earlier test computed with the very same weights
        monkeypatch.setattr(dialect.VllmServer, "reset_prefix_cache", nothing)

    tripped, gap = watch_an_update(model, engine_on(model, tokenizer, server), spoil)
    note("no reset of the prefix cache", {"tripped": tripped, "nats": gap})
    assert tripped
    assert gap > 0.1


def test_weights_of_an_older_step_trip(model, tokenizer, server, monkeypatch, note) -> None:
    stale = engine_on(model, tokenizer, server)
    write = stale._transport.write
    monkeypatch.setattr(stale._transport, "write", lambda label: write(label) if label.endswith("-1") else None)
    tripped, gap = watch_an_update(model, stale)
    note("weights of an older step", {"tripped": tripped, "nats": gap})
    assert tripped
    assert gap > 0.1


def test_each_row_of_groups_over_several_contexts_is_made_under_its_own(
    model, tokenizer, server, monkeypatch, note
) -> None:
    checked, seen = dialect._checked, []

    def counting(told: Any, prompt: Prompt, *rest: Any) -> Any:
        seen.append((prompt.ids, tuple(told["choices"][0]["prompt_token_ids"])))
        return checked(told, prompt, *rest)

    monkeypatch.setattr(dialect, "_checked", counting)
    contexts = [case_of(model).prompt(40, 0, start=100 * k).ids for k in range(4)]
    prompts = [Prompt((*contexts[row % 4], 600 + row // 4), row, 40) for row in range(100)]
    engine = engine_on(model, tokenizer, server)
    engine.refresh(0)
    samples = engine.sample(prompts, SamplingParams(2))
    engine.close()
    own = sum(sent == echoed for sent, echoed in seen)
    note("groups over four contexts", {"rows": len(samples), "rows echoed as sent": own, "prompts": len(set(seen))})
    assert len(samples) == own == len(set(seen)) == 100


@torch.no_grad()
def test_adapters_are_swapped_in_place(tokenizer, server, note) -> None:
    torch.manual_seed(0)
    config = LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False)
    adapted: Any = get_peft_model(load_model(resolve_model(EMBEDDED)).eval(), config)
    engine = engine_on(adapted, tokenizer, server, adapters=True)
    gaps = []
    for version in range(2):
        for name, weight in adapted.named_parameters():
            if "lora_" in name:
                weight += 0.02 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(version))
        engine.refresh(version)
        gaps.append(watch(adapted, engine)[1])
    prompts = long_prompts(adapted, 1)
    samples = engine.sample(prompts, PARAMS)
    with adapted.disable_adapter():
        without = off(case_of(adapted), prompts, samples)
    engine.close()
    note("adapters", {"nats after each swap": gaps, "nats from the model without": without})
    assert max(gaps) < BOUND
    assert without > 0.05, "the adapter has to matter"


def test_a_tied_server_takes_a_head_that_is_written_apart(model, tokenizer, tmp_path, monkeypatch, note) -> None:
    """Without a head of its own a tied server was seen to keep the old one; whether it does is noted, not asserted."""
    whole = transport.served_weights

    def tied_weights(*args: Any, **kwargs: Any) -> dict[str, torch.Tensor]:
        return {name: weight for name, weight in whole(*args, **kwargs).items() if name != "lm_head.weight"}

    folder = tmp_path / "tied"
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    assert json.loads((folder / "config.json").read_text())["tie_word_embeddings"]
    (folder / MARKER).write_text(json.dumps(shape_of(model)))  # as if it had been prepared
    (folder / PUSHED).mkdir()
    with RealServer(folder) as tied:
        apart = watch_an_update(model, engine_on(model, tokenizer, tied))
        monkeypatch.setattr(transport, "served_weights", tied_weights)
        tripped, gap = watch_an_update(model, engine_on(model, tokenizer, tied))
    note("tied folder", {"tripped": tripped, "nats": gap, "nats where the head is written apart": apart[1]})
    assert not apart[0]


def test_a_restarted_server_is_pushed_to_again_and_trips_behind_its_label(model, tokenizer, server, note) -> None:
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    shift(model)
    engine = engine_on(model, tokenizer, server)
    behind = engine._servers[0]
    try:
        engine.refresh(0)
        server.kill()
        with pytest.raises(EngineError, match=f"{server.url} cannot be reached"):
            engine.refresh(0)
        server.start()
        server.wait()
        assert engine._calls.run(behind.weight_version()) == "default"
        engine._calls.run(behind.set_weight_version(engine._label))
        tripped, gap = watch(model, engine)
        engine._calls.run(behind.set_weight_version("default"))
        engine.refresh(0)
        after = watch(model, engine)
        note(
            "server restarted",
            {"tripped behind its label": tripped, "nats": gap, "nats after it was noticed and pushed to": after[1]},
        )
        assert tripped
        assert gap > 0.1
        assert not after[0]
    finally:
        model.load_state_dict(before)
        engine.close()
