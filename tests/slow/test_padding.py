"""Training rows have the log-probabilities and gradients that they have alone, for models that take padding in too."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from fastslow.config.settings import FastSlowConfig
from fastslow.policy.token_trees import Row
from fastslow.run.trainer import FastSlowTrainer
from fastslow.slow.padding import Padding, as_trl_pads, score_on_the_right
from tests.support.runs import tiny_settings
from tests.support.watch import grpo
from tests.support.zoo import save_zoo, training_errors


@pytest.mark.parametrize(
    ("name", "packing", "padding"),
    [
        ("llama", "off", Padding.LEFT),
        ("gpt2", "off", Padding.RIGHT),
        ("rwkv", "auto", Padding.RIGHT),
        ("recurrent_gemma", "auto", Padding.PLAIN),
        ("bert", "auto", Padding.PLAIN),
    ],
)
def test_training_rows_are_computed_as_if_each_were_alone(
    name: str, packing: str, padding: Padding, tmp_path: Path
) -> None:
    model = str(save_zoo(name, tmp_path / "model"))
    trainer = FastSlowTrainer(FastSlowConfig(**tiny_settings(tmp_path, model=model, packing=packing, temperature=0.7)))
    assert grpo(trainer).padding is padding
    logprob, gradient = training_errors(trainer)
    assert logprob < 2e-4
    assert gradient < 1e-3


def test_a_tracker_that_has_not_begun_changes_nothing(tmp_path: Path) -> None:
    """TRL tells trackers how long each forward took, and trackio raises before its run has begun."""
    settings = tiny_settings(tmp_path, packing="off", report_to=["trackio"])
    assert grpo(FastSlowTrainer(FastSlowConfig(**settings))).padding is Padding.LEFT


def test_rows_that_ended_score_0_and_the_others_stay_in_their_places() -> None:
    rows = [Row((5, 6, 7, 8, 9), 2), Row((4, 3), 1), Row((1, 2, 3, 4, 5, 6, 7), 4)]
    ids, mask, keep = as_trl_pads(rows, 0)

    def echo(ids: torch.Tensor, mask: torch.Tensor, keep: int):
        return ids[:, -keep:].float(), None, None

    found = score_on_the_right(echo, ids, mask, keep)[0]
    assert found.tolist() == [[8, 9, 0, 0], [3, 0, 0, 0], [4, 5, 6, 7]]


def test_a_row_without_any_token_scores_0() -> None:
    ids, mask, keep = as_trl_pads([Row((5, 6, 7), 1), Row((5, 6), 1)], 0)
    mask[1] = 0
    found = score_on_the_right(lambda i, m, k: (i[:, -k:].float(), None, None), ids, mask, keep)[0]
    assert found.tolist() == [[7], [0]]
