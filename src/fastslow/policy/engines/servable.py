"""Write the folder that a vLLM server is started on, and the weights that it reads later.

The head never shares its weights with the embedding there. A server whose model ties them was seen to answer a
reload with 200 and to keep the old head (vLLM on a CPU packs the head when it starts); in our own runs it followed.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from fastslow.core.errors import BadInput
from fastslow.files import atomic
from fastslow.policy.engines.rows import without_adapter_shell
from fastslow.policy.plain import own_weights, plain_weights
from fastslow.policy.shards import whole
from fastslow.policy.trials import vocabulary

MARKER = "fastslow-engine.json"
"""Marks a folder of ours. Weights are written below such a folder only: a server says where its model is, and a foreign
one could say anything."""

PUSHED = "pushed"
"""Folder of the weights of the policy, below the folder that the server was started on."""


def shape_of(model: PreTrainedModel) -> dict[str, Any]:
    """Return what tells a model from others: the size of its vocabulary, its parameters, and a hash of their names and
    shapes. Adapters do not count."""
    weights = {name: tuple(weight.shape) for name, weight in own_weights(model).items()}
    digest = hashlib.sha256(repr(sorted(weights.items())).encode()).hexdigest()[:16]
    parameters = sum(torch.Size(shape).numel() for shape in weights.values())
    return {"vocabulary": vocabulary(model), "parameters": parameters, "shapes": digest}


@torch.no_grad()
def served_weights(model: PreTrainedModel, dtype: torch.dtype, *, kept: bool) -> dict[str, torch.Tensor]:
    """Return the weights as a server reads them: on the CPU, in `dtype`, each whole and with memory of its own, with
    the adapters that are on added to what they adapt.

    Every process has to call this function where weights are sharded; those with `kept` false get nothing.
    """
    served: dict[str, torch.Tensor] = {}
    memory: set[int] = set()
    for name, weight in plain_weights(model):
        weight = whole(weight)
        if not kept:
            continue
        weight = weight.detach().to("cpu", dtype if weight.is_floating_point() else weight.dtype)
        served[name] = weight.clone() if weight.data_ptr() in memory else weight.contiguous()
        memory.add(served[name].data_ptr())
    return served


def write_weights(model: PreTrainedModel, weights: dict[str, torch.Tensor], folder: Path, dtype: torch.dtype) -> None:
    """Write weights and configuration as a model folder, as a whole or not at all. Raises OSError."""
    plain = without_adapter_shell(model)
    aside = folder.with_name(folder.name + ".tmp")
    atomic.remove(aside)
    aside.mkdir(parents=True)
    before = plain.config.dtype
    try:
        plain.save_pretrained(aside, state_dict=weights)
    finally:
        plain.config.dtype = before
    config: Any = copy.deepcopy(plain.config)
    config.dtype = str(dtype).removeprefix("torch.")
    for part in (config, config.get_text_config()):
        part.tie_word_embeddings = False
    config.save_pretrained(aside)
    atomic.put_in_place(aside, folder)


def prepare(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path, *, name: str, dtype: torch.dtype
) -> None:
    """Write the folder to start servers on. Raises BadInput where something else stands there, or nothing can be
    written."""
    if folder.exists() and any(folder.iterdir() if folder.is_dir() else [folder]):
        raise BadInput(f"'{folder}' is not an empty folder; give another --output, or delete it.")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as aside:
            made = Path(aside) / "model"
            write_weights(model, served_weights(model, dtype, kept=True), made, dtype)
            tokenizer.save_pretrained(made)
            marker = {"model": name, **shape_of(model)}
            (made / MARKER).write_text(json.dumps(marker, indent=2) + "\n", encoding="utf-8")
            (made / PUSHED).mkdir()
            atomic.put_in_place(made, folder)
    except OSError as error:
        raise BadInput(f"cannot write a model to '{folder}': {error.strerror or error}.") from error


def check_prepared(root: str, model: PreTrainedModel, url: str) -> Path:
    """Return the folder that a server was started on. Raises BadInput unless it was prepared for this model and can be
    written to from here."""
    how = "prepare a folder with 'fastslow engine prepare --model MODEL --output DIR' and start the server on that"
    folder = Path(root)
    try:
        marker = json.loads((folder / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        there = os.path.isdir(root)  # of any text, where Path.is_dir may raise
        where = "no prepared folder" if there else "another machine, or a model that was not prepared"
        raise BadInput(f"the vLLM server at {url} serves '{root}', here {where}; {how}, under the same path.") from None
    own = shape_of(model)
    told = {key: marker.get(key) for key in own} if isinstance(marker, dict) else {}
    if told != own:
        raise BadInput(
            f"the vLLM server at {url} serves another model ('{root}': {told.get('parameters')} parameters, vocabulary "
            f"{told.get('vocabulary')}) than the run trains ({own['parameters']}, {own['vocabulary']}); {how}."
        )
    try:
        (folder / PUSHED).mkdir(exist_ok=True)
        tempfile.TemporaryFile(dir=folder / PUSHED).close()
    except OSError as error:
        raise BadInput(f"weights for the server at {url} go to '{folder / PUSHED}': {error.strerror}.") from None
    return folder
