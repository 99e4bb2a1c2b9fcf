"""Keep the rows of soft contexts in a bundle, tied to the embedding that they stand beside, and say what they are near.

`soft.safetensors` holds the rows of every soft context in use, by its id. `soft.json` names the SHA-256 of the bundle's
embedding, beside any other of which rows mean nothing, and of each row the nearest token, for people.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from fastslow.contexts.context import Context
from fastslow.contexts.population import Population
from fastslow.core.errors import BadInput
from fastslow.files.plain import read_plain
from fastslow.files.run_directory import to_json
from fastslow.files.tensors import write_tensors
from fastslow.policy.soft_rows import SoftRows, embedding_of, rows_beside

ROWS, ABOUT = "soft.safetensors", "soft.json"


def soft_members(population: Population) -> list[Context]:
    """Return the soft contexts in use, the best first."""
    return [context for context in population.members if context.soft is not None]


def write_soft(
    folder: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, population: Population
) -> None:
    """Write the rows of the soft contexts in use into a bundle; nothing where there are none."""
    rows, contexts = rows_beside(model), soft_members(population)
    if rows is None or not contexts:
        return
    write_tensors(folder / ROWS, {c.id: rows.rows_of(c.soft) for c in contexts if c.soft is not None})
    about = {"embedding": embedding_digest(model), "contexts": describe_soft(model, tokenizer, population)}
    (folder / ABOUT).write_bytes(to_json(about, indent=2))


def read_soft(folder: Path, model: PreTrainedModel, population: Population) -> SoftRows | None:
    """Have the model of a bundle look up the rows of the soft contexts in use; return them, None where there are none.
    Raises BadInput for rows that are missing, damaged, or of another embedding."""
    contexts = soft_members(population)
    if not contexts:
        return None
    embedding = embedding_of(model)
    try:
        digest = json.loads(read_plain(folder / ABOUT))["embedding"]
        saved = load_file(folder / ROWS)
    except (OSError, ValueError, KeyError, TypeError, RecursionError, SafetensorError) as error:
        raise BadInput(f"'{folder / ROWS}' is missing or damaged ({type(error).__name__}: {error}).") from error
    if digest != embedding_digest(model):
        raise BadInput(
            f"'{folder / ROWS}' belongs to another embedding than that of the bundle's model, beside which its rows "
            "mean nothing; put the run's own files back."
        )
    width, most = int(embedding.weight.shape[1]), max(c.soft.tokens for c in contexts if c.soft is not None)
    rows = SoftRows(slots=len(contexts), tokens=most, width=width, first=embedding.num_embeddings)
    for slot, context in enumerate(contexts):
        assert context.soft is not None
        found = saved.get(context.id)
        if found is None or tuple(found.shape) != (context.soft.tokens, width) or not bool(found.isfinite().all()):
            raise BadInput(f"'{folder / ROWS}' is damaged: it lacks the rows of context {context.id}.")
        rows.hold(slot, context.soft, found)
    rows.attach(model)
    return rows


@torch.no_grad()
def describe_soft(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, population: Population
) -> dict[str, dict[str, Any]]:
    """Return of each soft context in use how many rows it has, and of each row the nearest token of the vocabulary by
    the cosine of their vectors."""
    rows, weight = rows_beside(model), embedding_of(model).weight.detach().float().cpu()
    if rows is None:
        return {}
    directions_V_D = nn.functional.normalize(weight, dim=1)
    described = {}
    for context in soft_members(population):
        assert context.soft is not None
        cosines_T_V = nn.functional.normalize(rows.rows_of(context.soft).float().cpu(), dim=1) @ directions_V_D.T
        best = cosines_T_V.max(dim=1)
        nearest = [[tokenizer.decode([i]), round(c, 4)] for c, i in zip(*(t.tolist() for t in best), strict=True)]
        described[context.id] = {"rows": context.soft.tokens, "nearest": nearest}
    return described


def embedding_digest(model: PreTrainedModel) -> str:
    """Return the SHA-256 of the model's embedding in fp32."""
    weight = embedding_of(model).weight.detach().float().cpu().contiguous()
    return hashlib.sha256(weight.numpy().data).hexdigest()
