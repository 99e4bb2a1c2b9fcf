"""PrefixSampler under adapters: live in the type of the weights, else from a copy that has those that are on."""

from __future__ import annotations

from typing import Any, cast

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import PreTrainedModel

from tests.policy.engines.test_transformers import GREEDY, generated, one_thread, prompts, sampler, texts
from tests.support.architectures import build, tiny

__all__ = ["one_thread"]


def adapted(**kwargs) -> PreTrainedModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = LoraConfig(r=4, lora_alpha=32, target_modules="all-linear", init_lora_weights=False, **kwargs)
        return cast(Any, get_peft_model(build("llama"), config).eval())


def test_adapters_speak_as_generate_lets_them_and_differently_from_the_base() -> None:
    model = adapted()
    expected = [generated(model, prompt) for prompt in prompts(True)]
    assert texts(sampler(model).sample(prompts(True), GREEDY)) == expected
    assert expected != [generated(tiny("llama"), prompt) for prompt in prompts(True)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_moved_adapters_are_followed_after_a_refresh(dtype: torch.dtype) -> None:
    model = adapted()
    under_test = sampler(model, dtype=dtype)
    old = texts(under_test.sample(prompts(True), GREEDY))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.mul_(-2)
    under_test.refresh(1)
    new = texts(under_test.sample(prompts(True), GREEDY))
    assert new == texts(sampler(model, dtype=dtype).sample(prompts(True), GREEDY))
    assert new != old
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}


def test_adapters_answer_from_a_copy_in_bf16_which_has_those_that_are_on() -> None:
    """Autocast would convert every weight of the base again for every token."""
    model: Any = adapted()
    model.add_adapter("second", LoraConfig(r=4, lora_alpha=32, target_modules="all-linear", init_lora_weights=False))
    under_test = sampler(model, dtype=torch.bfloat16)
    seen: set[torch.dtype] = set()
    with torch.random.fork_rng(devices=[]):
        for step, on in enumerate((["default"], ["second"], ["default", "second"]), start=1):
            model.base_model.set_adapter(on)
            under_test.refresh(step)
            hooks = [
                module.register_forward_hook(lambda _, inputs, __: seen.add(inputs[0].dtype))
                for module in cast(Any, under_test)._shadow.modules() if isinstance(module, torch.nn.Linear)
            ]  # fmt: skip
            fresh = sampler(model, dtype=torch.bfloat16).sample(prompts(True), GREEDY)
            assert under_test.sample(prompts(True), GREEDY) == fresh
            for hook in hooks:
                hook.remove()
        with model.disable_adapter():
            under_test.refresh(step + 1)
            off = texts(under_test.sample(prompts(True), GREEDY))
    assert seen == {torch.bfloat16}
    assert off == texts(sampler(build("llama"), dtype=torch.bfloat16).sample(prompts(True), GREEDY))


def test_a_quantised_model_is_not_copied_into_another_type() -> None:
    model = build("llama")
    model.model.layers[0].mlp.up_proj.weight = torch.nn.Parameter(
        torch.zeros(1, dtype=torch.uint8), requires_grad=False
    )
    under_test = sampler(model, dtype=torch.bfloat16)
    assert cast(Any, under_test)._shadow is None, "its numbers would be taken for weights"
