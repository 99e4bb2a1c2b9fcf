"""Tiny random models of several architectures, built from transformers' own configs: no download, no tokenizer."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma3TextConfig,
    LlamaConfig,
    MistralConfig,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen3Config,
)

VOCAB, WINDOW = 64, 5
PAD, EOS = 0, 2
SHAPE: dict[str, Any] = {
    "vocab_size": VOCAB,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 256,
    "pad_token_id": PAD,
    "bos_token_id": 1,
    "eos_token_id": EOS,
}
SLIDING = {"sliding_window": WINDOW, "layer_types": ["sliding_attention", "full_attention"]}
FAMILIES: dict[str, tuple[type[PreTrainedConfig], dict[str, Any]]] = {
    "llama": (LlamaConfig, {}),
    "qwen3": (Qwen3Config, {}),
    "gemma3": (Gemma3TextConfig, SLIDING),
    "gemma3-softcap": (Gemma3TextConfig, {**SLIDING, "final_logit_softcapping": 3.0}),
    "gemma2": (Gemma2Config, SLIDING),
    "mistral": (MistralConfig, {"sliding_window": WINDOW}),
}


@cache
def tiny(family: str, attention: str = "sdpa") -> PreTrainedModel:
    """One fp32 model in evaluation mode per family and attention; shared by tests, so not to be changed."""
    return build(family, attention)


def build(family: str, attention: str = "sdpa", **overrides: Any) -> PreTrainedModel:
    """A model of one's own. Weights are larger than at initialisation, or every answer would look alike."""
    make, settings = FAMILIES[family]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = make(**{**SHAPE, **settings, **overrides})
        model = AutoModelForCausalLM.from_config(config, attn_implementation=attention).eval()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                weight.mul_(4.0)
    return model
