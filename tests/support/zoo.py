"""Tiny random models of many architectures of transformers, each with a byte-level chat tokenizer."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    CONFIG_MAPPING,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    PreTrainedConfig,
    PreTrainedModel,
    TrainerCallback,
)

from fastslow.cli.main import main
from fastslow.config.settings import FastSlowConfig
from fastslow.policy.engines.base import Prompt, SamplingParams
from fastslow.policy.engines.rows import plain_logits
from fastslow.policy.engines.transformers import PrefixSampler
from fastslow.policy.token_trees import Row
from fastslow.policy.trials import plain_logprobs, sampling_way
from fastslow.record.display import SilentDisplay
from fastslow.run.train import resume, train
from fastslow.run.trainer import FastSlowTrainer
from fastslow.slow.padding import as_trl_pads
from tests.support.runs import tiny_settings
from tests.support.tiny import tiny_tokenizer
from tests.support.watch import grpo

SHAPE: dict[str, Any] = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 2048,
}  # fmt: skip
OLD = {name: SHAPE[name] for name in ("hidden_size", "num_hidden_layers", "num_attention_heads")}
EXPERTS: dict[str, Any] = {
    "num_experts": 4, "num_local_experts": 4, "n_routed_experts": 4, "num_experts_per_tok": 2,
    "moe_intermediate_size": 16, "n_shared_experts": 1, "shared_expert_intermediate_size": 16,
}  # fmt: skip
LATENT: dict[str, Any] = {
    "q_lora_rank": 16, "kv_lora_rank": 16, "qk_nope_head_dim": 8, "qk_rope_head_dim": 8, "v_head_dim": 8,
    "n_group": 1, "topk_group": 1, "first_k_dense_replace": 1, "num_key_value_heads": 4, "head_dim": 8,
}  # fmt: skip
WINDOW = {"sliding_window": 8}
MIXED = {**WINDOW, "layer_types": ["sliding_attention", "full_attention"]}
LINEAR = {
    "layer_types": ["linear_attention", "full_attention"], "linear_num_key_heads": 2, "linear_num_value_heads": 4,
    "linear_key_head_dim": 8, "linear_value_head_dim": 8,
}  # fmt: skip
MAMBA = {"state_size": 8, "conv_kernel": 4, "time_step_rank": 4, "expand": 2}
MAMBA2 = {**MAMBA, "num_heads": 8, "head_dim": 8, "n_groups": 1, "chunk_size": 16}
SSM = {
    "mamba_n_heads": 8, "mamba_d_head": 8, "mamba_n_groups": 1, "mamba_d_state": 8, "mamba_d_conv": 4,
    "mamba_expand": 2, "mamba_chunk_size": 16,
}  # fmt: skip

DENSE = {
    "llama": SHAPE, "qwen2": SHAPE, "qwen3": SHAPE, "gemma": SHAPE, "phi": {**SHAPE, "num_key_value_heads": 4},
    "olmo": SHAPE, "olmo2": SHAPE, "smollm3": SHAPE, "granite": {**SHAPE, "logits_scaling": 4.0}, "glm": SHAPE,
    "glm4": SHAPE, "cohere": SHAPE, "helium": SHAPE, "nemotron": SHAPE, "stablelm": SHAPE, "seed_oss": SHAPE,
    "starcoder2": {**SHAPE, "sliding_window": None}, "apertus": SHAPE, "arcee": SHAPE, "ernie4_5": SHAPE,
    "hunyuan_v1_dense": SHAPE, "persimmon": SHAPE, "diffllama": SHAPE, "gpt2": OLD, "gpt_neo": {
        **OLD, "num_layers": 2, "num_heads": 4, "attention_types": [[["global", "local"], 1]], "window_size": 8},
    "gpt_neox": {**OLD, "intermediate_size": 48}, "gptj": {**OLD, "rotary_dim": 4}, "gpt_bigcode": OLD,
    "codegen": {**OLD, "rotary_dim": 4}, "opt": {**OLD, "ffn_dim": 48, "word_embed_proj_dim": 32,
    "max_position_embeddings": 2048}, "bloom": OLD, "mpt": {"d_model": 32, "n_heads": 4, "n_layers": 2},
    "falcon": OLD, "xglm": {"d_model": 32, "ffn_dim": 48, "num_layers": 2, "attention_heads": 4},
    "biogpt": {**OLD, "intermediate_size": 48}, "nanochat": SHAPE,
}  # fmt: skip
SLIDES = {
    "mistral": {**SHAPE, **WINDOW}, "phi3": {**SHAPE, **WINDOW}, "gemma2": {**SHAPE, **MIXED},
    "gemma3_text": {**SHAPE, **MIXED}, "cohere2": {**SHAPE, **MIXED}, "olmo3": {**SHAPE, **MIXED},
    "exaone4": {**SHAPE, **MIXED}, "gpt_oss": {**SHAPE, **EXPERTS, **MIXED}, "modernbert-decoder": {
        **SHAPE, "local_attention": 16, "global_attn_every_n_layers": 2},
}  # fmt: skip
MIXTURES = {
    "mixtral": {**SHAPE, **EXPERTS}, "qwen2_moe": {**SHAPE, **EXPERTS}, "qwen3_moe": {**SHAPE, **EXPERTS},
    "olmoe": {**SHAPE, **EXPERTS}, "phimoe": {**SHAPE, **EXPERTS}, "granitemoe": {**SHAPE, **EXPERTS},
    "deepseek_v2": {**SHAPE, **EXPERTS, **LATENT}, "deepseek_v3": {**SHAPE, **EXPERTS, **LATENT},
    "glm4_moe": {**SHAPE, **EXPERTS, "n_group": 1, "topk_group": 1}, "ernie4_5_moe": {**SHAPE, **EXPERTS},
    "dots1": {**SHAPE, **EXPERTS, "n_group": 1, "topk_group": 1}, "llama4_text": {
        **SHAPE, **EXPERTS, "intermediate_size_mlp": 48, "attention_chunk_size": 64},
    "minimax_m2": {**SHAPE, **EXPERTS}, "dbrx": {
        "d_model": 32, "n_heads": 4, "n_layers": 2,
        "attn_config": {"kv_n_heads": 2, "clip_qkv": 8.0, "rope_theta": 1e4},
        "ffn_config": {"ffn_hidden_size": 48, "moe_num_experts": 4, "moe_top_k": 2}},
    "jetmoe": {**SHAPE, **EXPERTS, "kv_channels": 8},
}  # fmt: skip
HYBRIDS = {
    "lfm2": {**SHAPE, "layer_types": ["conv", "full_attention"]},
    "lfm2_moe": {**SHAPE, **EXPERTS, "layer_types": ["conv", "full_attention"], "num_dense_layers": 1},
    "qwen3_next": {**SHAPE, **EXPERTS, **LINEAR}, "qwen3_5_text": {**SHAPE, **LINEAR},
    "granitemoehybrid": {**SHAPE, **EXPERTS, **SSM, "layer_types": ["mamba", "attention"],
                         "shared_intermediate_size": 32},
    "bamba": {**SHAPE, **SSM, "attn_layer_indices": [1]}, "falcon_h1": {**SHAPE, **SSM, "mamba_d_ssm": 64},
    "jamba": {**SHAPE, **EXPERTS, "attn_layer_period": 2, "attn_layer_offset": 1, "mamba_d_state": 8,
              "mamba_dt_rank": 4, "use_mamba_kernels": False},
    "zamba2": {**SHAPE, "num_key_value_heads": 4, "mamba_d_state": 8, "n_mamba_heads": 8, "mamba_headdim": 8,
               "mamba_ngroups": 1, "chunk_size": 16, "layers_block_type": ["mamba", "hybrid"], "num_mem_blocks": 1},
    "nemotron_h": {**SHAPE, "layers_block_type": ["mamba", "attention"], "mamba_num_heads": 8, "mamba_head_dim": 8,
                   "ssm_state_size": 8, "n_groups": 1, "chunk_size": 16},
    "recurrent_gemma": {**SHAPE, "num_hidden_layers": 3, "lru_width": 32, "attention_window_size": 16},
    "minimax": {**SHAPE, **EXPERTS, "layer_types": ["linear_attention", "full_attention"], "block_size": 16},
    "olmo_hybrid": {**SHAPE, **LINEAR},
    "kimi_linear": {**SHAPE, **EXPERTS, **LATENT, "linear_head_dim": 8, "linear_num_heads": 4,
                    "layer_types": ["linear_attention", "full_attention"]},
}  # fmt: skip
STATES = {
    "mamba": {**OLD, **MAMBA}, "falcon_mamba": {**OLD, **MAMBA}, "mamba2": {**OLD, **MAMBA2},
    "rwkv": {**OLD, "attention_hidden_size": 32, "intermediate_size": 48},
    "xlstm": {**OLD, "num_heads": 4, "chunkwise_kernel": "chunkwise--native_autograd"},
}  # fmt: skip
OTHERS = {
    "bert": {**OLD, "intermediate_size": 48, "is_decoder": True},
    "roberta": {**OLD, "intermediate_size": 48, "is_decoder": True, "max_position_embeddings": 2048},
    "ctrl": {"n_embd": 32, "dff": 48, "n_layer": 2, "n_head": 4, "n_positions": 2048}, "openai-gpt": {
        **OLD, "n_positions": 2048}, "xlnet": {"d_model": 32, "d_inner": 48, "n_layer": 2, "n_head": 4},
}  # fmt: skip
REFUSED = {
    "t5": {"d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4},
    "bart": {"d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 4,
             "decoder_attention_heads": 4, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48},
    "vit": {**OLD, "intermediate_size": 48, "image_size": 16, "patch_size": 8},
    "encoder-bert": {**OLD, "intermediate_size": 48},
}  # fmt: skip
KINDS: dict[str, dict[str, dict[str, Any]]] = {
    "dense": DENSE, "sliding window": SLIDES, "mixture of experts": MIXTURES, "hybrid": HYBRIDS,
    "state space and recurrent": STATES, "other": OTHERS, "of another kind": REFUSED,
}  # fmt: skip
ZOO: dict[str, dict[str, Any]] = {name: shape for kind in KINDS.values() for name, shape in kind.items()}


def config_of(name: str) -> PreTrainedConfig:
    """The configuration of a tiny model of this type."""
    tokenizer = tiny_tokenizer()
    ids = {f"{end}_token_id": getattr(tokenizer, f"{end}_token_id") for end in ("pad", "bos", "eos")}
    make = CONFIG_MAPPING["bert" if name == "encoder-bert" else name]
    settings: dict[str, Any] = {"vocab_size": len(tokenizer), **ids, **ZOO[name]}
    return make(**settings)


def zoo_model(name: str, seed: int = 0) -> PreTrainedModel:
    """A tiny model with random weights, larger than at initialisation, or every answer would look alike."""
    config = config_of(name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        auto = (
            AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModel if name == "vit" else AutoModelForCausalLM
        )
        model = auto.from_config(config, dtype=torch.float32).eval()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim == 2:
                weight.mul_(2.0)
    return model


def save_zoo(name: str, folder: Path) -> Path:
    """Save such a model and its tokenizer for a recipe's `model:`."""
    zoo_model(name).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


# What a run would do with such a model, against forwards over single rows


PROMPT_LENGTHS = (5, 21, 21, 9, 34)


def asked(size: int) -> list[Prompt]:
    """Prompts of several lengths, some with a common beginning, two seeds each."""
    ids = [(11 + 7 * i) % (size - 8) for i in range(60)]
    rows = [(*ids[:4], *ids[10 + i : 6 + i + length]) for i, length in enumerate(PROMPT_LENGTHS)]
    return [Prompt(row, seed, prefix=4) for row in rows for seed in (1, 2)]


def sampling_errors(model: PreTrainedModel) -> tuple[float, int]:
    """How far sampled log-probabilities are from a forward over each row alone, and how many rows say something else
    when they are sampled alone."""
    tokenizer = tiny_tokenizer()
    pad = int(tokenizer.pad_token_id)  # type: ignore[arg-type]
    eos = list(range(0, len(tokenizer), 9))
    way = sampling_way(model, pad_id=pad)
    sampler = PrefixSampler(model, eos_ids=eos, pad_id=pad, dtype=torch.float32, way=way)
    sampler.refresh(0)
    prompts, params = asked(len(tokenizer)), SamplingParams(max_new_tokens=12)
    together = sampler.sample(prompts, params)
    worst, dependent = 0.0, 0
    for prompt, sample in zip(prompts, together, strict=True):
        alone = sampler.sample([prompt], params)[0]
        dependent += alone.ids != sample.ids
        plain = plain_logprobs(model, Row(prompt.ids + sample.ids, len(sample.ids)))
        worst = max(worst, float((torch.tensor(sample.logprobs) - plain).abs().max()))
    return worst, dependent


def gradients(model: PreTrainedModel, logprobs: Callable[[], torch.Tensor]) -> torch.Tensor:
    """The gradient of a weighted sum of log-probabilities."""
    model.zero_grad()
    values = logprobs()
    (values * torch.linspace(-1, 1, values.numel())).sum().backward()
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


def training_errors(trainer: FastSlowTrainer) -> tuple[float, float]:
    """How far log-probabilities and, relatively, gradients of a run's training forward are from those of rows alone."""
    inner, model = grpo(trainer), trainer.model
    ids = asked(len(tiny_tokenizer()))
    rows = [Row(p.ids, 2 + i % 4) for i, p in enumerate(ids[::2])]
    padded = as_trl_pads(rows, int(tiny_tokenizer().pad_token_id))  # type: ignore[arg-type]

    def trained() -> torch.Tensor:
        found = inner._get_per_token_logps_and_entropies(model, *padded)[0]
        return torch.cat([line[: row.answer] for line, row in zip(found, rows, strict=True)])

    def alone() -> torch.Tensor:
        lines = []
        for row in rows:
            one = torch.tensor([row.ids])
            logits = plain_logits(model, one)[0, -1 - row.answer : -1] / inner.temperature
            logps = logits.log_softmax(-1)
            lines.append(logps.gather(1, one[0, -row.answer :, None])[:, 0])
        return torch.cat(lines)

    model.eval()
    with torch.no_grad():
        off = float((trained() - alone()).abs().max())
    ours, theirs = gradients(model, trained), gradients(model, alone)
    model.zero_grad()
    return off, float((ours - theirs).abs().max() / theirs.abs().max())


class Cut(TrainerCallback):
    """Breaks a run off as its second step begins."""

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == 1:
            raise KeyboardInterrupt


def run_through(name: str, folder: Path, **overrides: Any) -> dict[str, Any]:
    """Train a model of this type for a step, break the run off, resume it, and evaluate its bundle."""
    model = folder / "model"
    if not model.exists():
        save_zoo(name, model)
    settings = tiny_settings(folder, model=str(model), save_time_share=1.0, kl_examples=2, **overrides)
    with pytest.raises(KeyboardInterrupt):
        train(FastSlowConfig(**settings), display=SilentDisplay(), callbacks=[Cut()])
    resume(settings["output_dir"], display=SilentDisplay())
    rows = folder / "rows.json"
    code = main(["eval", settings["output_dir"], "--trust_task", "--json", str(rows)])
    assert code == 0
    return {"rows": json.loads(rows.read_text()), "run": Path(settings["output_dir"])}
