"""A model with adapters and the plain model that it computes like: names, weights, and who is left alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
import torch
from peft import LoraConfig, OSFConfig, PeftConfig, ShiraConfig, get_peft_model
from torch import nn
from torch.nn.utils.parametrize import register_parametrization

from fastslow.policy.engines.base import Prompt, SamplingParams
from fastslow.policy.engines.servable import served_weights, shape_of, write_weights
from fastslow.policy.engines.transformers import PrefixSampler
from fastslow.policy.loading import ModelSource, load_model
from fastslow.policy.plain import fill_plain, is_better_plain, own_weights, plain_copy, plain_weights
from tests.support.tiny import tiny_model, tiny_tokenizer

IDS = torch.arange(20, 32)[None]
EVERY: Any = "all-linear"
CONFIGS: dict[str, PeftConfig] = {
    "lora": LoraConfig(r=2, target_modules=EVERY, init_lora_weights=False),
    "shira": ShiraConfig(r=2, target_modules=EVERY, init_weights=False, random_seed=1),
    "osf": OSFConfig(target_modules=EVERY, effective_rank=20),
}


class Doubled(nn.Module):
    """A parametrization that torch knows nothing of."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(2.0))

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return weight * self.factor


def adapted(kind: str) -> Any:
    """A tiny model with adapters that change what it computes."""
    model: Any = tiny_model(tiny_tokenizer())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        if kind == "parametrized":
            register_parametrization(model.model.layers[1].mlp.up_proj, "weight", Doubled())
            return model
        wrapped = get_peft_model(model, CONFIGS[kind])
        for name, weight in wrapped.named_parameters():
            if weight.requires_grad:
                weight.data += 0.01 * torch.randn(weight.shape) if "osf" in name else 0.0
        return wrapped.eval()


@torch.no_grad()
def logits(model: Any) -> torch.Tensor:
    return model(input_ids=IDS).logits


KIND = pytest.mark.parametrize("kind", [*CONFIGS, "parametrized"])


@KIND
def test_the_plain_copy_computes_the_same_and_leaves_the_model_alone(kind: str) -> None:
    model = adapted(kind)
    before, plain = logits(model), cast(Any, plain_copy(model))
    torch.testing.assert_close(logits(plain), before, atol=1e-5, rtol=0)
    assert torch.equal(logits(model), before)
    assert (before - logits(tiny_model(tiny_tokenizer()))).abs().max() > 1e-3
    assert {type(m) for m in plain.modules()} == {type(m) for m in tiny_model(tiny_tokenizer()).modules()}
    assert plain.get_output_embeddings().weight is plain.get_input_embeddings().weight, "tied weights stay tied"


@KIND
def test_own_weights_are_those_below_the_adapters_by_their_plain_names(kind: str) -> None:
    own, base = own_weights(adapted(kind)), tiny_model(tiny_tokenizer()).state_dict()
    assert own.keys() == base.keys()
    assert all(torch.equal(own[name], base[name]) for name in base)


@pytest.mark.parametrize("kind", CONFIGS)
def test_with_the_adapters_off_the_weights_are_the_models_own(kind: str) -> None:
    model = adapted(kind)
    with model.disable_adapter():
        weights = dict(plain_weights(model))
    assert all(torch.equal(weights[name], held) for name, held in tiny_model(tiny_tokenizer()).state_dict().items())


@KIND
def test_a_server_is_sent_what_the_model_computes_with_under_the_names_of_its_base(kind: str, tmp_path: Path) -> None:
    model = adapted(kind)
    assert shape_of(model) == shape_of(tiny_model(tiny_tokenizer())), "or the server's folder would not fit"
    write_weights(model, served_weights(model, torch.float32, kept=True), tmp_path / "sent", torch.float32)
    received = load_model(ModelSource("sent", str(tmp_path / "sent")))
    torch.testing.assert_close(logits(received), logits(model), atol=1e-5, rtol=0)


def test_a_copy_is_brought_up_to_date_in_its_own_type() -> None:
    model = adapted("parametrized")
    plain: Any = plain_copy(model)
    plain.to(torch.bfloat16)
    model.model.layers[1].mlp.up_proj.parametrizations.weight[0].factor.data.fill_(3.0)
    fill_plain(plain, model)
    wanted = tiny_model(tiny_tokenizer()).get_parameter("model.layers.1.mlp.up_proj.weight") * 3
    assert torch.equal(plain.get_parameter("model.layers.1.mlp.up_proj.weight"), wanted.to(torch.bfloat16))


@KIND
def test_the_engine_samples_by_the_weights_of_the_version(kind: str) -> None:
    model = adapted(kind)
    sampler = PrefixSampler(model, eos_ids=[0], pad_id=0, dtype=torch.float32)
    greedy = SamplingParams(max_new_tokens=4, temperature=0.0)
    prompt = Prompt(ids=tuple(IDS[0].tolist()), prefix=0, seed=1)
    for version in range(2):
        sampler.refresh(version)
        (sample,) = sampler.sample([prompt], greedy)
        wanted = logits(model)[0, -1].log_softmax(-1)
        assert sample.ids[0] == int(wanted.argmax())
        assert sample.logprobs[0] == pytest.approx(float(wanted.max()), abs=1e-5)
        for weight in model.parameters():
            if (weight.requires_grad and weight.ndim < 2) or kind == "lora":
                weight.data.mul_(1.5)


def test_only_adapters_as_large_as_the_weights_are_better_plain() -> None:
    assert [kind for kind in [*CONFIGS, "parametrized"] if is_better_plain(adapted(kind))] == [
        "shira", "osf", "parametrized",
    ]  # fmt: skip
    assert not is_better_plain(tiny_model(tiny_tokenizer()))
