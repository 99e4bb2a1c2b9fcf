"""Unpack a GGUF file, whose weights are quantised, into a folder that transformers loads and a run can train."""

from __future__ import annotations

import copy
import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from fastslow.core.errors import BadInput

ENDING = ".gguf"


def unpacked(file: Path, name: str) -> Path:
    """Dequantise a GGUF file once into a safetensors folder of the user's cache, keyed by the hash of the file, and
    return the folder.

    transformers dequantises on load but leaves its quantisation entries in the config, and `save_pretrained` then
    refuses; the weights are therefore copied into a fresh model of the same configuration.

    Args:
        file: the GGUF file.
        name: what messages and the folder call the model.
    """
    cache = _cache(name)
    with file.open("rb") as content:
        target = cache / f"{name}-{hashlib.file_digest(content, 'sha256').hexdigest()[:12]}"
    if (target / "config.json").is_file():
        return target
    _check_cache(cache, name)
    quantised = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
    config = copy.deepcopy(quantised.config)
    for entry in ("quantization_config", "_name_or_path"):
        config.__dict__.pop(entry, None)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**config.to_dict()), dtype=torch.float32)
    model.load_state_dict(quantised.state_dict())
    tokenizer: Any = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    # Written aside and renamed: two runs that start at once must not read half a model.
    aside = Path(tempfile.mkdtemp(dir=cache))
    try:
        model.save_pretrained(aside)
        tokenizer.save_pretrained(aside)
        aside.rename(target)
    except OSError:
        if not (target / "config.json").is_file():
            raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return target


def _cache(name: str) -> Path:
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fastslow"
    except RuntimeError:  # neither HOME nor an entry for this user
        raise BadInput(f"there is no home directory to unpack '{name}' in; set XDG_CACHE_HOME.") from None


def _check_cache(cache: Path, name: str) -> None:
    """Make the folder in which models are unpacked. Raises BadInput where nothing can be written."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=cache).close()
    except OSError as error:
        raise BadInput(
            f"'{name}' is unpacked once, into '{cache}', where nothing can be written ({error.strerror}); set "
            "XDG_CACHE_HOME to another folder, or take a --model of your own."
        ) from error
