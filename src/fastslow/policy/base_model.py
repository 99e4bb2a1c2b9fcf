"""Compute with the weights that training started from, beside the trained ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from transformers import PreTrainedModel

BaseModel = Callable[[], AbstractContextManager[PreTrainedModel]]
"""Enters a context in which the returned model computes with the weights training started from."""


def adapters_off(model: Any) -> BaseModel:
    """Return the base of a LoRA model: the model itself with its adapters off."""

    @contextmanager
    def base() -> Iterator[PreTrainedModel]:
        with model.disable_adapter():
            yield model

    return base


def frozen_copy(load: Callable[[], PreTrainedModel]) -> BaseModel:
    """Return the base of a fully trained model: a frozen copy, loaded when first asked for."""
    loaded: list[PreTrainedModel] = []

    def base() -> AbstractContextManager[PreTrainedModel]:
        if not loaded:
            loaded.append(load().eval().requires_grad_(False))
        return nullcontext(loaded[0])

    return base
