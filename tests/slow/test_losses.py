"""Every loss that can be asked for is its paper's: value and gradient, within 1e-6 in fp32.

The reference is tests/support/published_losses.py, written from the papers' formulas and computed in fp64. That losses
are those of stock TRL, with masks, missing rewards and an entropy bonus, is held in test_terms.py.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from fastslow.slow.settings import LOSSES
from tests.support.loss_bench import (
    LossBench,
    Truth,
    penalties,
    published,
    random_scores,
    rollouts_with,
    trained,
    truth_in,
    usual_penalty,
)
from tests.support.on_two import OFF_POLICY
from tests.support.published_losses import (
    ALGORITHMS,
    NONE,
    Row,
    cispo,
    dapo,
    dr_grpo,
    gspo,
    ratio,
    sequence_ratio,
    soft_gate,
)
from tests.support.stock import GROUP, ROWS, moved_away
from tests.support.tiny import save_tiny

CLOSE = 1e-6
CLOSE_THROUGH_THE_MODEL = 2e-6
"""Of losses: VESPO's kernel of the product of a row's ratios multiplies the rounding of a forward (8e-7 here, 1.3e-6 on
other random rows)."""
BATCHES = ((24, ROWS), (25, 3))
"""Seeds of random batches, and the rows of a forward."""
TABLE = Path(__file__).parents[2] / "docs" / "training.md"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a saved tiny model."""
    folder = tmp_path_factory.mktemp("losses")
    save_tiny(folder / "model")
    return folder


@pytest.fixture(scope="module")
def truth(folder: Path) -> Truth:
    return truth_in(folder)


@pytest.fixture(scope="module", params=ALGORITHMS, ids=lambda algorithm: algorithm.name)
def bench(request: Any, folder: Path) -> LossBench:
    return LossBench(folder, request.param)


@pytest.mark.parametrize("trees", [False, True], ids=["padded", "trees"])
def test_loss_and_gradient_are_the_papers(bench: LossBench, trees: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of random log-probabilities, in one forward and in several, without the KL term and with either."""
    algorithm = bench.algorithm
    for seed, rows in BATCHES:
        for penalty in penalties(algorithm):
            logp, ref = random_scores(seed)
            rollouts, leaves = rollouts_with(logp, seed), [row.requires_grad_() for row in logp]
            table = bench.of_table(rollouts, leaves, ref)
            monkeypatch.setattr(bench.trainer, "_get_per_token_logps_and_entropies", table)
            loss = bench.loss(rollouts, penalty, trees=trees, rows=rows)
            expected, gradient = published(algorithm, rollouts, logp, ref, penalty)
            case = f"{rows} rows a forward, {penalty}"
            assert loss == pytest.approx(expected, abs=CLOSE) or not algorithm.value, case
            for leaf, by_logp in zip(leaves, gradient, strict=True):
                own = torch.zeros_like(leaf) if leaf.grad is None else leaf.grad
                torch.testing.assert_close(own.double(), by_logp, atol=CLOSE, rtol=0, msg=lambda m, c=case: f"{c}: {m}")


def test_the_gradient_of_the_weights_is_the_papers(bench: LossBench, truth: Truth) -> None:
    """Padded rows and token trees, against the model's plain forward, row by row."""
    moved_away(bench.trainer.model)
    rollouts = rollouts_with(truth.logp, seed=4)
    penalty = usual_penalty(bench.algorithm)
    expected, by_logp = published(bench.algorithm, rollouts, truth.logp, truth.ref, penalty)
    theirs = truth.gradient(by_logp)
    for trees in (False, True):
        loss = bench.loss(rollouts, penalty, trees=trees, rows=4)
        assert loss == pytest.approx(expected, abs=CLOSE_THROUGH_THE_MODEL) or not bench.algorithm.value
        assert_same(trained(bench.trainer), theirs, f"trees: {trees}")


@pytest.mark.processes
def test_the_step_of_two_processes_is_the_papers(truth: Truth, on_two: dict[str, Any]) -> None:
    """Padded rows and token trees in turn. The weights move by the gradient."""
    rollouts = rollouts_with(truth.logp, seed=4)
    for at, algorithm in enumerate(OFF_POLICY):
        expected, by_logp = published(algorithm, rollouts, truth.logp, truth.ref, usual_penalty(algorithm))
        loss = sum(losses[at] for losses in on_two["losses"]["algorithms"]) / 2
        assert loss == pytest.approx(expected, abs=CLOSE_THROUGH_THE_MODEL), algorithm.name
        moved = {name: -change for name, change in on_two["moved"]["algorithms"][at].items()}
        assert_same(moved, truth.gradient(by_logp), algorithm.name)


def assert_same(own: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor], case: str) -> None:
    assert set(own) == set(theirs)
    assert max(float(gradient.abs().max()) for gradient in theirs.values()) > 1e-2, f"{case}: there is no gradient"
    for name, gradient in theirs.items():
        torch.testing.assert_close(own[name], gradient, atol=CLOSE, rtol=0, msg=lambda m, n=name: f"{case}, {n}: {m}")


def test_the_random_rows_lie_on_every_side_of_every_bound() -> None:
    """Of token and sequence ratios, with advantages of either sign; and some advantages are 0."""
    tokens, sequences = set(), set()
    for seed, _ in BATCHES:
        logp, _ = random_scores(seed)
        rollouts = rollouts_with(logp, seed)
        rewards = torch.tensor([rollout.verdict.reward for rollout in rollouts]).view(-1, GROUP)
        signs = (rewards - rewards.mean(1, keepdim=True)).sign().flatten().tolist()
        for own, rollout, sign in zip(logp, rollouts, signs, strict=True):
            row = Row(own, torch.tensor(rollout.logprobs), ())
            tokens |= {(sign, sum(float(ratio(row, t)) > b for b in (0.8, 1.2, 1.28, 4.0))) for t in range(len(row))}
            sequences.add((sign, sum(float(sequence_ratio(row)) > b for b in (0.8, 1 - 3e-4, 1 + 4e-4, 1.2))))
    sides = {(sign, side) for sign in (-1.0, 1.0) for side in range(5)}
    assert sides - tokens == sides - sequences == set()
    assert 0.0 in {sign for sign, _ in tokens}


def test_every_loss_stands_in_the_table_of_algorithms() -> None:
    assert {algorithm.settings["loss_type"] for algorithm in ALGORITHMS} == set(LOSSES)


def test_the_table_in_the_docs_is_that_of_the_algorithms_that_are_held_to_their_papers() -> None:
    """Name by name, setting by setting: what a row tells a user to set is what the tests above ran."""
    rows = re.findall(r"^\| ([^|]+) \| ((?:`[a-z_]+: [^`]+`(?:, )?)+) \|", TABLE.read_text(encoding="utf-8"), re.M)
    told = {name: dict(re.findall(r"`([a-z_]+): ([^`]+)`", settings)) for name, settings in rows}
    assert told == {a.name: {name: str(value) for name, value in a.settings.items()} for a in ALGORITHMS}


# Numbers that other projects publish in their tests hold the reference.


def of_trinity() -> list[Row]:
    """The tensors of agentscope-ai/Trinity-RFT, tests/algorithm/policy_loss_test.py: uniform numbers from seed 42."""
    draw = torch.Generator().manual_seed(42)
    logp, old, _, mask, advantage = (torch.rand(5, 20, generator=draw).double() for _ in range(5))
    rows = zip(2 * logp - 1, 2 * old - 1, 2 * advantage - 1, mask > 0.5, strict=True)
    return [Row(own[m], before[m], a[m].tolist()) for own, before, a, m in rows]


def test_the_reference_gives_the_numbers_of_trinity() -> None:
    rows = of_trinity()
    assert float(dapo(rows, high=0.2, delta=3.0)) == pytest.approx(0.26889559626579285, abs=CLOSE)  # PPO, two-sided
    assert float(gspo(rows)) == pytest.approx(0.27235108613967896, abs=CLOSE)
    # (of SAPO the gate alone: Trinity multiplies it by log p as well, which the paper does not)
    gates = [soft_gate(ratio(row, t), a, 1.0, 1.05) / a for row in rows for t, a in enumerate(row.advantage)]
    assert float(sum(gates)) / len(gates) == pytest.approx(2.3191137313842773, abs=CLOSE)


def test_the_reference_gives_the_numbers_of_skyrl() -> None:
    """NovaSky-AI/SkyRL, tests/train/algorithms/test_losses.py, after NVIDIA-NeMo/RL: ratios of 0.5, 1 and 10."""
    row = Row(torch.tensor([-1.69315, -1.0, -0.69741]), torch.tensor([-1.0, -1.0, -3.0]), (1.0, -1.0, -4.0))
    assert float(dr_grpo([row], delta=3.0)) == pytest.approx(12.5, abs=1e-4)
    assert 3 * float(cispo([row], NONE, least=0.8, most=1.2)) == pytest.approx(-2.9930, abs=1e-4)
