"""The numbers of a model, counted on the meta device."""

from __future__ import annotations

import pytest

from fastslow.costs.shape import count, shape_of, shipped_config
from tests.costs.given import LLAMA, on_meta, qwen
from tests.support.tiny import tiny_model, tiny_tokenizer
from tests.support.zoo import HYBRIDS, OTHERS, STATES, config_of


@pytest.mark.parametrize(
    ("name", "parameters", "layers"),
    [
        ("Qwen/Qwen3-8B", 8_190_735_360, 36),
        ("Qwen/Qwen3-8B-Base", 8_190_735_360, 36),
        ("Qwen/Qwen3-1.7B", 1_720_574_976, 28),
    ],
)
def test_the_models_of_the_recipes_have_exactly_their_parameters(name: str, parameters: int, layers: int) -> None:
    shape = qwen(name)
    assert (shape.every, shape.layers) == (parameters, layers)
    assert shape.every == shape.layers * shape.layer + shape.outside


def test_keys_and_values_of_qwen3_8b_take_147456_bytes_a_token() -> None:
    assert qwen().kv_bytes == 147_456


def test_a_table_that_is_only_looked_up_is_not_multiplied_and_a_tied_one_is() -> None:
    untied, tied = qwen(), qwen("Qwen/Qwen3-1.7B")
    assert untied.multiplied == untied.every - 151_936 * 4096
    assert tied.multiplied == tied.every


def test_a_token_passes_only_the_experts_that_the_router_chooses() -> None:
    from transformers import MixtralConfig

    config = MixtralConfig(
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=128,
        num_local_experts=8,
        num_experts_per_tok=2,
    )
    shape = shape_of(on_meta(config))
    assert shape.idle == 2 * 6 * 3 * 64 * 96  # layers x idle experts x three matrices


def test_adapters_are_trained_instead_of_the_weights() -> None:
    shape = qwen(lora_r=16)
    # rank x (inputs + outputs) of q, k, v, o, gate, up and down in 36 layers
    width, kv, inner = 4096, 1024, 12288
    sides = 2 * (width + width) + 2 * (width + kv) + 3 * (width + inner)
    assert (shape.trained, shape.adapted) == (16 * 36 * sides, True)


def test_a_shape_is_that_of_the_loaded_model() -> None:
    model = tiny_model(tiny_tokenizer())
    assert shape_of(model).every == count(model) == sum(p.numel() for p in model.parameters())
    assert shape_of(model) == shape_of(on_meta(model.config))


@pytest.mark.parametrize("name", [*STATES, *HYBRIDS, *OTHERS])
def test_models_without_attention_and_with_other_names_have_a_shape_too(name: str) -> None:
    shape = shape_of(on_meta(config_of(name)))
    assert shape.every >= shape.outside > 0
    assert min(shape.layers, shape.width, shape.vocabulary, shape.inner) > 0


def test_a_model_without_attention_keeps_no_keys_and_values() -> None:
    from transformers import MambaConfig

    shape = shape_of(on_meta(MambaConfig(hidden_size=32, num_hidden_layers=2, vocab_size=128)))
    assert (shape.kv_bytes, shape.attention, shape.layers, shape.width) == (0, 0, 2, 32)


def test_what_is_not_shipped_is_not_made_up() -> None:
    assert shipped_config("Qwen/Qwen3-9B") is None
    assert shape_of(on_meta(LLAMA)).every == 8_030_261_248
