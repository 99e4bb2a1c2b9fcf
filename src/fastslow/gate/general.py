"""Measure what no task asks for: how well a model predicts prose, and how far it moved on neutral prompts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from fastslow.bundles.bundle import Bundle
from fastslow.config.recipe import read_bytes
from fastslow.core.errors import BadInput
from fastslow.core.types import Example, Split, Verdict
from fastslow.gate.policy import Neutral, Prose
from fastslow.policy.loading import context_window

PIECE = 1024
"""Bytes of a piece of prose: long enough for context to matter, short enough for dozens of pieces."""

LEAST_PIECES = 4


class NeutralPrompts:
    """A task of prompts that are answered and never scored."""

    name = "neutral prompts"

    def __init__(self, prompts: Sequence[str]):
        self._examples = tuple(
            Example(f"neutral-{i}", self.name, "test", ({"role": "user", "content": prompt},))
            for i, prompt in enumerate(prompts)
        )

    def split(self, name: Split) -> Sequence[Example]:
        return self._examples

    def score(self, example: Example, completion: str) -> Verdict:
        return Verdict.unscored("a neutral prompt has no right answer")

    def answer(self, example: Example) -> str | None:
        return None


def neutral_prompts(settings: Neutral) -> NeutralPrompts:
    """Return the prompts of the user's file, one a line, or our own. Raises BadInput for a file without any."""
    if settings.prompts is None:
        text = files("fastslow.gate").joinpath("assets/neutral.txt").read_text(encoding="utf-8")
    else:
        text = _text(settings.prompts, "file of prompts")
    prompts = [line.strip() for line in text.splitlines() if line.strip()]
    if not prompts:
        raise BadInput(f"file of prompts '{settings.prompts}' is empty; write one prompt a line.")
    return NeutralPrompts(prompts)


def prose_pieces(settings: Prose) -> list[str]:
    """Return the prose in pieces of about 1 KB, cut between lines or words. Raises BadInput for too short a text."""
    if settings.text is None:
        topics: dict[str, str] = import_module("pydoc_data.topics").topics
        text = "\n".join(topics[name] for name in sorted(topics))
    else:
        text = _text(settings.text, "text")
    content = text.encode()[: settings.bytes].decode("utf-8", "ignore")
    pieces: list[str] = []
    while len(content.encode()) >= PIECE:
        head = content.encode()[:PIECE].decode("utf-8", "ignore")
        at = max(head.rfind("\n"), head.rfind(" ")) + 1 or len(head)
        pieces.append(content[:at])
        content = content[at:]
    if len(pieces) < LEAST_PIECES:
        raise BadInput(f"text '{settings.text}' is too short for bits per byte: give at least {LEAST_PIECES} KB.")
    return pieces


@torch.no_grad()
def bits_of(bundle: Bundle, pieces: Sequence[str]) -> list[float]:
    """Return the bits that a model needs for each piece, which is predicted alone, under no context and no chat
    template."""
    model, tokenizer = bundle.model, bundle.tokenizer
    start: Any = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    fitting = context_window(model) - 1
    found = []
    for piece in pieces:
        ids = tokenizer(piece, add_special_tokens=False)["input_ids"]
        parts = [[int(start), *ids[at : at + fitting]] for at in range(0, len(ids), fitting)]
        nats = sum(_surprisal(model, torch.tensor([part], device=model.device)) for part in parts)
        found.append(nats / math.log(2))
    return found


def _surprisal(model: Any, tokens_1_T: Int[Tensor, "1 T"]) -> float:
    """Return the negative log-likelihood of all tokens but the first, in nats."""
    logits_1_T_V = model(tokens_1_T).logits[:, :-1].float()
    return -float(logits_1_T_V.log_softmax(-1).gather(2, tokens_1_T[:, 1:, None]).sum())


def _text(path: str, what: str) -> str:
    try:
        return read_bytes(Path(path), what).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput(f"{what} '{path}' is not UTF-8 ({error.reason} at byte {error.start}).") from error
