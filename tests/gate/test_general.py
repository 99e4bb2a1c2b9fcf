"""What no task asks for: prose and neutral prompts."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from fastslow.bundles.bundle import open_bundle
from fastslow.core.errors import BadInput
from fastslow.gate.general import bits_of, neutral_prompts, prose_pieces
from fastslow.gate.policy import Neutral, Prose
from tests.support.bundles import tiny_bundle


def test_the_prose_of_python_is_cut_into_pieces_that_are_the_text() -> None:
    pieces = prose_pieces(Prose(bytes=8192))
    assert 8 <= len(pieces) <= 10
    assert all(512 < len(piece.encode()) <= 1024 for piece in pieces)
    assert prose_pieces(Prose(bytes=8192)) == pieces


def test_any_text_of_the_users_is_cut_between_letters(tmp_path: Path) -> None:
    text = "é" * 3000
    (tmp_path / "text").write_text(text)
    assert text.startswith("".join(prose_pieces(Prose(text=str(tmp_path / "text")))))


@pytest.mark.parametrize(("content", "words"), [(b"short", "too short"), (b"\xff" * 9000, "not UTF-8")])
def test_a_text_that_cannot_be_measured_is_refused(content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(content)
    with pytest.raises(BadInput, match=words):
        prose_pieces(Prose(text=str(tmp_path / "text")))


def test_bits_are_those_of_the_models_own_probabilities(tmp_path: Path) -> None:
    """Token by token, each from a forward of its own."""
    bundle = open_bundle(tiny_bundle(tmp_path / "a"))
    piece = "To be, or not"
    ids = [bundle.tokenizer.bos_token_id, *bundle.tokenizer(piece)["input_ids"]]
    nats = 0.0
    for at in range(1, len(ids)):
        with torch.no_grad():
            logits = bundle.model(torch.tensor([ids[:at]])).logits[0, -1]
        nats -= float(logits.log_softmax(-1)[ids[at]])
    assert bits_of(bundle, [piece]) == pytest.approx([nats / math.log(2)], rel=1e-5)


def test_neutral_prompts_are_ours_or_those_of_a_file(tmp_path: Path) -> None:
    assert len(neutral_prompts(Neutral()).split("test")) == 32
    (tmp_path / "p").write_text("one\n\ntwo\n")
    assert [e.question for e in neutral_prompts(Neutral(prompts=str(tmp_path / "p"))).split("test")] == ["one", "two"]
    (tmp_path / "p").write_text("\n")
    with pytest.raises(BadInput, match="is empty"):
        neutral_prompts(Neutral(prompts=str(tmp_path / "p")))
