"""A Llama of two small layers with random weights and a byte-level chat tokenizer: real code paths, no download."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

PAD, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
OPENS_ROLE, CLOSES_ROLE = "<|role|>", "<|/role|>"

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """One token per byte, so that any text survives the round trip; ChatML with a system role."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={char: i for i, char in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        bos_token=START,
        eos_token=END,
        clean_up_tokenization_spaces=False,
        model_max_length=8192,
        padding_side="left",
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast


def tokenizer_with_headers() -> PreTrainedTokenizerFast:
    """As that of Llama 3: its template opens turns with special tokens that no part of `special_tokens_map` names."""
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens([AddedToken(text, special=True) for text in (OPENS_ROLE, CLOSES_ROLE)])
    tokenizer.chat_template = (
        CHAT_TEMPLATE.replace("'<|im_start|>' + message['role'] + '\\n'", "'<|role|>' + message['role'] + '<|/role|>'")
    ).replace("<|im_start|>assistant\\n", "<|role|>assistant<|/role|>")
    return tokenizer


def tiny_model(tokenizer: PreTrainedTokenizerFast, seed: int = 0) -> LlamaForCausalLM:
    """Random weights from `seed`; about 90,000 parameters in fp32."""
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=8192,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        attn_implementation="sdpa",  # pyrefly: ignore[unexpected-keyword]  # through **kwargs, which the config hides
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LlamaForCausalLM(config).eval()


def tiny_model_and_tokenizer(folder: Path | str | None = None) -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast]:
    """The pair in memory; with a folder it is saved there too, ready for `from_pretrained`."""
    tokenizer = tiny_tokenizer()
    model = tiny_model(tokenizer)
    if folder is not None:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return model, tokenizer


def save_tiny(folder: Path | str) -> Path:
    """Save the pair and return the folder: a value for a recipe's `model:`."""
    tiny_model_and_tokenizer(folder)
    return Path(folder)
