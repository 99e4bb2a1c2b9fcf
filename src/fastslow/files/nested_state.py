"""Convert nested Python state to JSON and tensors, and back, bit for bit.

Numbers, texts, tensors, arrays and containers of these are converted; any other object is refused by name, so that
reading a state can execute nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from fastslow.core.errors import FastSlowError

KIND = "$"
"""Key that marks a value for which JSON has no type."""


def flatten(value: Any, tensors: dict[str, torch.Tensor], at: str, *, copy: bool = True) -> Any:
    """Return `value` as JSON, and put its tensors into `tensors` under names that start with `at`.

    With `copy` the tensors are copied to the CPU; without it they are entered as they are. Raises FastSlowError for an
    object of any other kind.
    """
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {KIND: "float", "value": repr(value)}
    if isinstance(value, torch.Tensor):
        tensors[at] = value.detach().cpu().contiguous().clone() if copy else value
        return {KIND: "tensor", "name": at}
    if isinstance(value, np.ndarray):
        return {KIND: "array", "dtype": value.dtype.str, "items": value.tolist()}
    if isinstance(value, np.generic):
        return flatten(value.item(), tensors, at, copy=copy)
    if isinstance(value, (list, tuple)):
        items = [flatten(item, tensors, f"{at}/{i}", copy=copy) for i, item in enumerate(value)]
        return items if isinstance(value, list) else {KIND: "tuple", "items": items}
    if isinstance(value, Mapping):
        if all(isinstance(key, str) and key != KIND for key in value):
            return {key: flatten(item, tensors, f"{at}/{key}", copy=copy) for key, item in value.items()}
        pairs = [
            [flatten(k, tensors, f"{at}/key", copy=copy), flatten(v, tensors, f"{at}/{k}", copy=copy)]
            for k, v in value.items()
        ]
        return {KIND: "mapping", "items": pairs}
    raise FastSlowError(f"the state of this run cannot be saved: '{at}' is a {type(value).__name__}.")


def rebuild(data: Any, tensors: Mapping[str, torch.Tensor]) -> Any:
    """Return the value that was given to `flatten`. Raises KeyError, ValueError or TypeError for anything else."""
    if isinstance(data, list):
        return [rebuild(item, tensors) for item in data]
    if not isinstance(data, dict):
        return data
    kind = data.get(KIND)
    if kind is None:
        return {key: rebuild(item, tensors) for key, item in data.items()}
    if kind == "float":
        return float(data["value"])
    if kind == "tensor":
        return tensors[data["name"]]
    if kind == "array":
        return np.array(data["items"], dtype=np.dtype(data["dtype"]))
    if kind == "tuple":
        return tuple(rebuild(item, tensors) for item in data["items"])
    if kind == "mapping":
        return {rebuild(k, tensors): rebuild(v, tensors) for k, v in data["items"]}
    raise ValueError(f"unknown kind '{kind}'")
