"""Nested state comes back bit for bit, and anything else is refused by name."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
import torch

from fastslow.core.errors import FastSlowError
from fastslow.files.jsonl import dumps
from fastslow.files.nested_state import flatten, rebuild


def through_json(value: Any) -> Any:
    tensors: dict[str, torch.Tensor] = {}
    return rebuild(json.loads(dumps(flatten(value, tensors, "state"))), tensors)


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        3,
        2**70,
        0.1,
        "text \ud800 \u2713",
        [1, [2, (3, "x")]],
        {"a": {"b": []}, "c": ()},
        {1: "int key", (1, 2): "tuple key"},
        {"$": "looks like our mark"},
        float("inf"),
    ],
)
def test_plain_values_come_back_equal(value: Any) -> None:
    back = through_json(value)
    assert back == value
    assert type(back) is type(value)


def test_nan_comes_back() -> None:
    assert math.isnan(through_json([float("nan")])[0])


def test_tensors_keep_every_bit_and_their_type() -> None:
    value = {"x": torch.randn(3, 2).to(torch.bfloat16), "y": [torch.arange(4)]}
    back = through_json(value)
    assert torch.equal(back["x"], value["x"])
    assert back["x"].dtype is torch.bfloat16
    assert torch.equal(back["y"][0], value["y"][0])


def test_arrays_keep_their_type() -> None:
    back = through_json(np.array([1, 2], dtype=np.uint16))
    assert back.dtype == np.uint16
    assert back.tolist() == [1, 2]


def test_a_copied_tensor_does_not_follow_the_original() -> None:
    tensors: dict[str, torch.Tensor] = {}
    original = torch.zeros(2)
    flatten(original, tensors, "state")
    original += 1
    assert tensors["state"].tolist() == [0.0, 0.0]


def test_an_object_is_refused_with_its_place_and_type() -> None:
    with pytest.raises(FastSlowError, match=r"'state/a/1' is a object"):
        flatten({"a": [1, object()]}, {}, "state")


def test_an_unknown_mark_is_refused() -> None:
    with pytest.raises(ValueError, match="pickle"):
        rebuild({"$": "pickle"}, {})
