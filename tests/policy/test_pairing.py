"""Models and tokenizers are made to fit each other and the disk before a run, or refused in one line."""

from __future__ import annotations

from typing import Any

import pytest
from transformers import GenerationConfig

from fastslow.core.errors import BadInput
from fastslow.policy.pairing import make_fit, savable, tokens_past
from tests.support.tiny import END, tiny_model, tiny_tokenizer


def pair() -> tuple[Any, Any]:
    tokenizer: Any = tiny_tokenizer()
    return tiny_model(tokenizer), tokenizer


UNSAVABLE: list[dict[str, Any]] = [
    {"do_sample": False, "temperature": 0.6},
    {"do_sample": False, "temperature": 0.6, "top_p": 0.9, "top_k": 20, "min_p": 0.1, "typical_p": 0.5},
    {"num_beams": 1, "early_stopping": True, "length_penalty": 2.0},
    {"do_sample": False, "num_beams": 1, "num_return_sequences": 4},
    {"use_cache": False, "cache_implementation": "static"},
    {"return_dict_in_generate": False, "output_scores": True},
    {"pad_token_id": -1},
    {"early_stopping": "maybe"},
    {"max_new_tokens": 0},
    {"cache_implementation": "no such cache"},
]


def config(**settings: Any) -> GenerationConfig:
    """A config as from_pretrained makes it: without validation."""
    made = GenerationConfig(eos_token_id=[2, 7])
    for name, value in settings.items():
        setattr(made, name, value)
    return made


@pytest.mark.parametrize("settings", UNSAVABLE, ids=lambda settings: "-".join(settings))
def test_a_generation_config_that_cannot_be_saved_loses_only_what_forbids_it(
    settings: dict[str, Any], tmp_path
) -> None:
    made = config(**settings, repetition_penalty=1.3)
    with pytest.raises(ValueError, match="Fix these issues"):
        made.save_pretrained(tmp_path)
    kept = savable(made)
    kept.save_pretrained(tmp_path)
    assert (kept.eos_token_id, kept.repetition_penalty) == ([2, 7], 1.3)
    assert kept.do_sample is made.do_sample, "greedy must stay greedy"


def test_a_generation_config_that_can_be_saved_is_left_alone() -> None:
    made = config(do_sample=True, temperature=0.6, top_p=0.9)
    assert savable(made) is made


def test_a_tokenizer_without_an_end_takes_the_one_of_the_generation_config() -> None:
    model, tokenizer = pair()
    model.generation_config.eos_token_id = [tokenizer.eos_token_id]
    tokenizer.eos_token = None
    make_fit(model, tokenizer)
    assert tokenizer.eos_token == END


def test_a_tokenizer_without_an_end_takes_the_one_of_the_models_configuration() -> None:
    model, tokenizer = pair()
    model.generation_config.eos_token_id, model.config.eos_token_id = None, tokenizer.eos_token_id
    tokenizer.eos_token = None
    make_fit(model, tokenizer)
    assert tokenizer.eos_token == END


def test_a_model_and_tokenizer_without_any_end_are_refused() -> None:
    model, tokenizer = pair()
    model.generation_config.eos_token_id = model.config.eos_token_id = None
    tokenizer.eos_token = None
    with pytest.raises(BadInput, match="name an end token"):
        make_fit(model, tokenizer)


@pytest.mark.parametrize("pad", [None, "<new pad>"])
def test_padding_that_is_missing_or_past_the_embedding_becomes_the_end_token(pad: str | None) -> None:
    model, tokenizer = pair()
    tokenizer.pad_token = None
    if pad:
        tokenizer.add_special_tokens({"pad_token": pad})
    make_fit(model, tokenizer)
    assert tokenizer.pad_token == END


def test_an_end_token_past_the_embedding_is_refused() -> None:
    model, tokenizer = pair()
    tokenizer.add_special_tokens({"eos_token": "<new end>"})
    with pytest.raises(BadInput, match=r"'<new end>' .* has no row"):
        make_fit(model, tokenizer)


def test_a_tokenizer_without_a_beginning_is_taken() -> None:
    model, tokenizer = pair()
    tokenizer.bos_token = None
    make_fit(model, tokenizer)


@pytest.mark.parametrize("part", ["configuration", "tokenizer", "generation configuration"])
def test_what_loads_and_cannot_be_saved_is_refused(part: str) -> None:
    model, tokenizer = pair()
    if part == "tokenizer":
        tokenizer.save_pretrained = lambda *_, **__: (_ for _ in ()).throw(NotImplementedError("no saving\nat all"))
    elif part == "configuration":
        model.config.something = object()
    else:
        model.generation_config.save_pretrained = lambda *_: (_ for _ in ()).throw(RuntimeError("no saving\nat all"))
    with pytest.raises(BadInput, match=f"model's {part} loads but cannot be saved") as raised:
        make_fit(model, tokenizer)
    assert "\n" not in str(raised.value)


def test_tokens_past_the_embedding_are_listed() -> None:
    _, tokenizer = pair()
    rows = len(tokenizer)
    assert tokens_past(rows, tokenizer) == []
    tokenizer.add_tokens(["<a>", "<b>"])
    assert sorted(tokens_past(rows, tokenizer)) == ["<a>", "<b>"]
