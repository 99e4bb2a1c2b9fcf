"""Give the rows of soft contexts what a stock model reads: tokens of the tokenizer, with rows of the embedding.

Each row becomes a special token whose text is its name in files (`<|fs3_0|>`), so that a chat template can write it.
The head's rows of these tokens are zero and apart from the embedding's, and generation_config.json suppresses them:
no answer holds one. Where a server's tokenizer reads special tokens in what a client types, it reads these as well.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from tokenizers import AddedToken
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from fastslow.contexts.context import Context
from fastslow.contexts.rendering import render_chat, render_soft
from fastslow.contexts.soft import SoftText, names_of
from fastslow.core.errors import BadInput
from fastslow.core.types import Example
from fastslow.policy.chat import Chat
from fastslow.policy.policy import stand_in_for
from fastslow.policy.soft_rows import rows_beside

Ids = Mapping[str, tuple[int, ...]]
"""Context id -> the token ids of its rows."""

QUESTIONS = ("What is 17 + 25?", "  Mind the spaces  ", "A line\nand another", "0", "Emoji 🙂, accents é, 日本語")


def soft_of(contexts: Sequence[Context]) -> list[tuple[Context, SoftText]]:
    """Return the soft ones of these contexts."""
    return [(context, context.soft) for context in contexts if context.soft is not None]


def with_names(
    tokenizer: PreTrainedTokenizerBase, contexts: Sequence[Context]
) -> tuple[PreTrainedTokenizerBase, dict[str, tuple[int, ...]]]:
    """Return a copy of the tokenizer that knows the names of all rows, and their ids. Raises BadInput where it knows
    one of them already."""
    named: Any = copy.deepcopy(tokenizer)
    names = {context.id: names_of(soft) for context, soft in soft_of(contexts)}
    known = named.get_vocab()
    taken = next((name for of_one in names.values() for name in of_one if name in known), None)
    if taken is not None:
        raise BadInput(f"the tokenizer has a token '{taken}' of its own, which names a row of a soft context here.")
    tokens = [AddedToken(name, special=True, normalized=False) for of_one in names.values() for name in of_one]
    named.add_tokens(tokens, special_tokens=True)
    return named, {context_id: tuple(named.convert_tokens_to_ids(list(of_one))) for context_id, of_one in names.items()}


@torch.no_grad()
def bake(model: Any, contexts: Sequence[Context], ids: Ids) -> None:
    """Put rows into the embedding of a model, in place; its head gets rows of its own."""
    rows = rows_beside(model)
    assert rows is not None
    vectors = {context.id: rows.rows_of(soft).clone() for context, soft in soft_of(contexts)}
    rows.detach(model)
    head: Any = model.get_output_embeddings()
    embedding: Any = model.get_input_embeddings()
    if head.weight is embedding.weight:
        head.weight = nn.Parameter(head.weight.detach().clone())
        for config in (model.config, model.config.get_text_config()):
            config.tie_word_embeddings = False
    size: int = max(embedding.num_embeddings, 1 + max(id for of_one in ids.values() for id in of_one))
    model.resize_token_embeddings(size, mean_resizing=False)
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()  # of the new size
    for context_id, of_one in ids.items():
        embedding.weight[list(of_one)] = vectors[context_id].to(embedding.weight)
        _undo_scale(embedding, list(of_one), vectors[context_id])
        head.weight[list(of_one)] = 0
        if getattr(head, "bias", None) is not None:
            head.bias[list(of_one)] = 0


def _undo_scale(embedding: Any, ids: list[int], wanted_M_D: Tensor) -> None:
    """Have an embedding that scales its rows, as Gemma's does, give these vectors for `ids`, whose weights they are so
    far. Raises BadInput for one that does anything else with its rows."""
    places = torch.tensor(ids, device=embedding.weight.device)
    wanted_M_D = wanted_M_D.to(embedding.weight)
    given_M_D = embedding(places)
    embedding.weight[ids] = wanted_M_D * (wanted_M_D.norm() / given_M_D.norm().clamp(min=1e-30))
    if not torch.allclose(embedding(places), wanted_M_D, rtol=1e-2, atol=1e-4):  # bf16 has three digits
        raise BadInput(
            "this model's embedding does more to its rows than to scale them, so that no rows of it are those of the "
            "soft contexts; fastslow eval answers with the bundle."
        )


def check_rows(run: Chat, named: Chat, contexts: Sequence[Context], ids: Ids) -> int:
    """Render questions under every soft context by the run's own ids and by the names of rows; return how many were
    equal. Raises BadInput for the first that is not."""
    for context, _ in soft_of(contexts):
        ((kind, _),) = context.components.items()
        for question in QUESTIONS:
            asked = Example("check", "", "test", ({"role": "user", "content": question},))
            stand_in = stand_in_for([question])
            before, after = run.around(
                render_soft(kind, asked, stand_in, system_role=run.system_role), stand_in, "a question of the check"
            )
            theirs = named.ids(
                render_chat(context, asked.messages, system_role=named.system_role), "a question of the check"
            )
            if theirs != before + ids[context.id] + after:
                raise BadInput(
                    f"the tokenizer does not read the names of rows as the run put the rows of context {context.id}, "
                    f"in front of {question!r}. Nothing was exported; fastslow eval answers with the bundle."
                )
    return len(QUESTIONS) * len(soft_of(contexts))
