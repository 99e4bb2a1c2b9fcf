"""A GGUF file as a model: unpacked once, and then a folder like any other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from gguf import GGUFWriter

from fastslow.core.errors import BadInput
from fastslow.policy.loading import load_model, load_tokenizer, resolve_model
from tests.support.tiny import CHAT_TEMPLATE, END, PAD, START

WIDTH, HIDDEN, HEADS, LAYERS = 32, 64, 4, 2
ALPHABET = [chr(code) for code in range(33, 127)]


def write_gguf(file: Path, *, template: str | None = CHAT_TEMPLATE) -> dict[str, np.ndarray]:
    """A Llama of two small layers, unquantised, with one token for each character; returns its tensors."""
    tokens = [PAD, START, END, *ALPHABET, "ab"]
    writer = GGUFWriter(str(file), "llama")
    writer.add_context_length(128)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([3, 3, 3] + [1] * (len(ALPHABET) + 1))
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    if template:
        writer.add_chat_template(template)
    draw = np.random.default_rng(0)
    shapes = {"token_embd": (len(tokens), WIDTH), "output_norm": (WIDTH,)}
    for layer in range(LAYERS):
        square, up = (WIDTH, WIDTH), (HIDDEN, WIDTH)
        of_layer = {"attn_q": square, "attn_k": square, "attn_v": square, "attn_output": square, "attn_norm": (WIDTH,),
                    "ffn_norm": (WIDTH,), "ffn_gate": up, "ffn_up": up, "ffn_down": (WIDTH, HIDDEN)}  # fmt: skip
        shapes |= {f"blk.{layer}.{name}": shape for name, shape in of_layer.items()}
    tensors = {f"{name}.weight": draw.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    for name, tensor in tensors.items():
        writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return tensors


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "fastslow"


def test_a_file_is_unpacked_once_and_loads_as_a_model_with_its_tokenizer(tmp_path: Path, cache: Path) -> None:
    file = tmp_path / "small.gguf"
    tensors = write_gguf(file)
    source = resolve_model(str(file))
    model, tokenizer = load_model(source), load_tokenizer(source)
    for name, ours in (("blk.0.ffn_up", "layers.0.mlp.up_proj"), ("blk.1.attn_v", "layers.1.self_attn.v_proj")):
        weight = model.get_parameter(f"model.{ours}.weight")
        assert torch.equal(weight.detach(), torch.from_numpy(tensors[f"{name}.weight"]))
    assert weight.dtype == torch.float32
    assert tokenizer.chat_template == CHAT_TEMPLATE
    assert tokenizer("a+b", add_special_tokens=False)["input_ids"] == [3 + ALPHABET.index(c) for c in "a+b"]
    (folder,) = cache.iterdir()
    assert (source.path, folder.name[:6]) == (str(folder), "small-")
    before = (folder / "model.safetensors").stat().st_mtime_ns
    assert resolve_model(str(file)) == source
    assert (folder / "model.safetensors").stat().st_mtime_ns == before


def test_a_file_without_a_chat_template_says_where_to_write_one(tmp_path: Path) -> None:
    write_gguf(tmp_path / "base.gguf", template=None)
    source = resolve_model(str(tmp_path / "base.gguf"))
    with pytest.raises(BadInput, match=r"no chat template; .* write one into '.*/chat_template.jinja'"):
        load_tokenizer(source)
    (Path(source.path) / "chat_template.jinja").write_text(CHAT_TEMPLATE)
    assert load_tokenizer(source).chat_template == CHAT_TEMPLATE


def test_a_file_that_is_none_or_is_not_there_is_refused(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "text.gguf").write_text("not a model")
    with pytest.raises(BadInput, match=r"text.gguf' cannot be loaded"):
        resolve_model(str(tmp_path / "text.gguf"))
    with pytest.raises(BadInput, match=r"'missing.gguf' does not exist; give a folder, a .gguf file, a hub id"):
        resolve_model("missing.gguf")
    assert not list(cache.iterdir())
