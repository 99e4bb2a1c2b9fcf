"""The coupled loop on a tiny random Llama: what reaches the weights, and under which context it was said."""

from __future__ import annotations

import json
from itertools import groupby
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback

from fastslow.contexts.rendering import render
from fastslow.core.types import GroupEvidence, Rollout, Route
from fastslow.slow.batches import Scales
from tests.support.nursery import Nursery
from tests.support.present import present
from tests.support.runs import tiny_settings, tiny_trainer
from tests.support.watch import LastBatch, grpo

ROOT = Path(__file__).parents[2]


def run_cycle(folder: Path, name: str, processes: int, **overrides) -> list[tuple[dict, list[dict]]]:
    """One entry per rank: (tensors, steps)."""
    tiny_settings(folder)  # the model must exist before two processes want it
    with Nursery(folder) as nursery:
        codes = nursery.call("tests.support.one_cycle", "main", str(folder), name, ranks=processes, **overrides)
    assert set(codes) == {0}, nursery.log()[-3000:]
    return [
        (torch.load(folder / f"{name}-{rank}.pt"), json.loads((folder / f"{name}-{rank}.json").read_text()))
        for rank in range(processes)
    ]


def reference_gradients(folder: Path, start: dict, rows: list[dict], cached: bool, stop: bool = False) -> dict:
    """CISPO per problem across contexts, from the paper's formula, one padded row at a time; with `stop` after a cache
    of the context's tokens that has no graph."""
    model = AutoModelForCausalLM.from_pretrained(folder / "model", dtype=torch.float32)
    model.load_state_dict(start, strict=False)
    groups = [list(members) for _, members in groupby(rows, key=lambda row: row["example_id"])]
    loss = torch.zeros(())
    for members in groups:
        rewards = torch.tensor([r["reward"] for r in members])
        advantages = (rewards - rewards.mean()) / (rewards.std() + 1e-4)
        tokens = sum(len(r["completion_ids"]) for r in members)
        for row, advantage in zip(members, advantages, strict=True):
            ids = torch.tensor([row["prompt_ids"] + row["completion_ids"]])
            answer = ids[0, len(row["prompt_ids"]) :]
            past, first = None, row["context_tokens"] if stop else 0
            if first:
                with torch.no_grad():
                    past = model(ids[:, :first], use_cache=True).past_key_values
            logits = model(ids[:, first:], past_key_values=past).logits[0, len(row["prompt_ids"]) - 1 - first : -1]
            logps = logits.log_softmax(-1).gather(1, answer[:, None])[:, 0]
            behaviour = torch.tensor(row["logprobs"]) if cached else logps.detach()
            ratio = (logps - behaviour).exp().clamp(max=4.0).detach()
            loss = loss - (ratio * advantage * logps).sum() / (tokens * len(groups))
    loss.backward()
    return {n: p.grad for n, p in model.named_parameters()}


@pytest.mark.processes
@pytest.mark.parametrize(("processes", "prefix_gradient"), [(1, "full"), (2, "full"), (1, "stop")])
def test_gradients_are_cispo_per_problem_across_contexts(tmp_path: Path, processes: int, prefix_gradient: str) -> None:
    # 4 problems x 4 rollouts, so that with two processes no group straddles a border; 3 x 4 would.
    settings = {"max_steps": 1, "problems_per_step": 4, "prefix_gradient": prefix_gradient}
    ranks = run_cycle(tmp_path, f"p{processes}", processes, **settings)
    rows = [row for _, steps in ranks for row in steps[0]["rollouts"]]
    assert any(row["policy_version"] == 0 for row in rows)
    assert len({row["context_tokens"] for row in rows}) > 1, "contexts of different lengths"
    expected = reference_gradients(tmp_path, ranks[0][0]["start"], rows, cached=True, stop=prefix_gradient == "stop")
    for tensors, _ in ranks:
        for name, grad in tensors["grads"].items():
            torch.testing.assert_close(grad, expected[name], atol=1e-6, rtol=1e-4, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.processes
def test_two_processes_hold_the_same_state_and_do_what_one_does(tmp_path: Path) -> None:
    # Plain SGD: Adam turns the rounding of a gradient near zero into a whole step, and runs part ways.
    settings = {"max_steps": 3, "problems_per_step": 3, "optim": "sgd", "learning_rate": 1.0}
    one = run_cycle(tmp_path, "one", 1, **settings)
    two = run_cycle(tmp_path, "two", 2, **settings)  # 6 rows a rank: groups straddle ranks
    assert any(not torch.equal(one[0][0]["start"][n], w) for n, w in one[0][0]["end"].items()), "nothing moved"
    for step in range(3):
        first, second = two[0][1][step], two[1][1][step]
        assert first["population"] == second["population"] == one[0][1][step]["population"]
        assert first["fast_pool"] == second["fast_pool"]
        both = [(r["context_id"], r["completion_ids"]) for r in first["rollouts"] + second["rollouts"]]
        assert both == [(r["context_id"], r["completion_ids"]) for r in one[0][1][step]["rollouts"]]
        assert first["advantages"] == second["advantages"]
        torch.testing.assert_close(torch.tensor(first["advantages"]), torch.tensor(one[0][1][step]["advantages"]))
    for name, weight in two[0][0]["end"].items():
        assert torch.equal(weight, two[1][0]["end"][name]), f"{name} differs between ranks"
        torch.testing.assert_close(weight, one[0][0]["end"][name], atol=1e-4, rtol=1e-3)


class FastOnlyFromStep:
    """Routes BOTH, then FAST only from a step on."""

    name = "fast-only"

    def __init__(self, arguments: str = "", *, seed: int = 0):
        self.first = 1

    def route(self, evidence: GroupEvidence) -> Route:
        return Route.BOTH if evidence.step < self.first else Route.FAST

    def state_dict(self) -> dict:
        return {}

    def load_state_dict(self, state: dict) -> None: ...


class Snapshots(TrainerCallback):
    def __init__(self) -> None:
        self.weights: list[dict[str, torch.Tensor]] = []

    def on_step_end(self, args, state, control, model=None, **kwargs):
        self.weights.append({n: p.detach().clone() for n, p in present(model).named_parameters()})


def test_a_batch_without_a_slow_row_leaves_every_parameter_bit_identical(tmp_path: Path) -> None:
    trainer = tiny_trainer(
        tmp_path,
        router="tests.loop.test_cycle:FastOnlyFromStep",
        beta=0.1,
        entropy_coef=0.05,
        weight_decay=0.1,
        max_steps=3,
    )
    snapshots = Snapshots()
    trainer.add_callback(snapshots)
    start = {n: p.detach().clone() for n, p in trainer.model.named_parameters()}
    trainer.train()
    first, *rest = snapshots.weights
    assert any(not torch.equal(first[n], start[n]) for n in start), "the slow step moved nothing: the test is void"
    for later in rest:  # Adam carries momentum from step 0, and the KL, entropy and decay terms are on
        for name, weight in later.items():
            assert torch.equal(weight, first[name]), f"{name} moved without a slow row"


class SlowForOneExample:
    name = "slow-for-one"

    def __init__(self, arguments: str = "", *, seed: int = 0):
        self.chosen: str | None = None

    def route(self, evidence: GroupEvidence) -> Route:
        self.chosen = self.chosen or evidence.example_id
        return Route.SLOW if evidence.example_id == self.chosen else Route.FAST

    def state_dict(self) -> dict:
        return {}

    def load_state_dict(self, state: dict) -> None: ...


def test_only_slow_rows_reach_the_loss_and_its_denominators(tmp_path: Path) -> None:
    trainer = tiny_trainer(tmp_path, router="tests.loop.test_cycle:SlowForOneExample", max_steps=1)
    last = LastBatch(trainer)
    start = {n: p.detach().clone() for n, p in trainer.model.named_parameters()}
    grads: dict[str, torch.Tensor] = {}

    class Grads(TrainerCallback):
        def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
            grads.update({n: p.grad.clone() for n, p in present(model).named_parameters()})

    trainer.add_callback(Grads())
    trainer.train()
    rows = [
        {
            "example_id": r.example_id,
            "prompt_ids": list(r.prompt_ids),
            "completion_ids": list(r.completion_ids),
            "logprobs": list(r.logprobs),
            "reward": r.verdict.reward,
        }
        for r in last.rollouts[:4]
    ]
    expected = reference_gradients(tmp_path, start, rows, cached=True)
    for name, grad in grads.items():
        torch.testing.assert_close(grad, expected[name], atol=1e-6, rtol=1e-4)


class Collector(TrainerCallback):
    """Every rollout the slow channel used, with the weights' version it was used at."""

    def __init__(self, trainer) -> None:
        self.last = LastBatch(trainer)
        self.seen: list[tuple[int, Rollout]] = []

    def on_pre_optimizer_step(self, args, state, control, **kwargs):
        self.seen += [(state.global_step, r) for r in self.last.rollouts]


def test_each_rollout_was_said_under_the_context_it_is_booked_on(tmp_path: Path) -> None:
    trainer = tiny_trainer(tmp_path, max_steps=2)
    collector = Collector(trainer)
    trainer.add_callback(collector)
    untouched = AutoModelForCausalLM.from_pretrained(tmp_path / "model", dtype=torch.float32)
    tokenizer: Any = AutoTokenizer.from_pretrained(tmp_path / "model")
    examples = {e.id: e for e in trainer.parts.task.split("train")}
    trainer.train()
    cached = [r for step, r in collector.seen if r.policy_version < step]
    assert cached, "no cached rollout was used: the test would not see them"
    assert len({r.context_id for _, r in collector.seen}) > 1
    for _, rollout in collector.seen:
        context = trainer.population.known[rollout.context_id]
        text = tokenizer.decode(list(rollout.prompt_ids))
        expected = tokenizer.apply_chat_template(
            render(context, examples[rollout.example_id]), tokenize=False, add_generation_prompt=True
        )
        assert text == expected
        if rollout.policy_version == 0:  # said by the untouched weights: their log-probabilities prove the prompt
            ids = torch.tensor([[*rollout.prompt_ids, *rollout.completion_ids]])
            logps = untouched(ids).logits[0, len(rollout.prompt_ids) - 1 : -1].log_softmax(-1)
            found = logps.gather(1, torch.tensor(rollout.completion_ids)[:, None])[:, 0]
            torch.testing.assert_close(found, torch.tensor(rollout.logprobs), atol=1e-4, rtol=1e-4)


def test_cached_rollouts_are_never_older_than_one_cycle(tmp_path: Path) -> None:
    trainer = tiny_trainer(tmp_path, max_steps=6, slow_steps_per_cycle=2)
    collector = Collector(trainer)
    trainer.add_callback(collector)
    trainer.train()
    ages = [step - r.policy_version for step, r in collector.seen]
    assert max(ages) == 1, f"with T=2 a rollout may be one step old, saw {sorted(set(ages))}"


@pytest.mark.parametrize("beta", [0.0, 0.05])
def test_packing_changes_no_weight(tmp_path: Path, beta: float) -> None:
    ends = []
    for packing in ("on", "off"):
        trainer = tiny_trainer(
            tmp_path, packing=packing, beta=beta, max_steps=4, learning_rate=1e-3, output_dir=str(tmp_path / packing)
        )
        trainer.train()
        ends.append({n: p.detach() for n, p in trainer.model.named_parameters()})
    for name, weight in ends[0].items():
        torch.testing.assert_close(weight, ends[1][name], atol=2e-5, rtol=1e-3)


@pytest.mark.parametrize("loss", ["grpo", "bnpo", "dapo", "dr_grpo", "luspo", "sapo", "vespo", "cispo"])
def test_leaving_rows_out_changes_no_gradient(tmp_path: Path, loss: str) -> None:
    """Every TRL loss, with zero-spread groups dropped and rows repacked, against TRL's own pass over all rows."""
    grads = []
    for drop in (True, False):
        trainer = tiny_trainer(
            tmp_path,
            loss_type=loss,
            loss_aggregation="token",
            packing="on" if drop else "off",
            epsilon_high=4.0 if loss == "cispo" else 0.2,
            importance_sampling_level="sequence" if loss == "luspo" else "token",
            per_device_train_batch_size=12,
            max_steps=1,
            mode="rl",
            reuse_fast_rollouts=False,
            output_dir=str(tmp_path / f"{loss}-{drop}"),
        )
        found: dict[str, torch.Tensor] = {}

        class Grads(TrainerCallback):
            def __init__(self, into):
                self.into = into

            def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
                self.into.update({n: p.grad.clone() for n, p in present(model).named_parameters()})

        trainer.add_callback(Grads(found))
        flatten_first_group(trainer)
        if not drop:
            alone = {"scales": Scales(1.0, 1.0, 1.0), "tokens": 1}
            whole = SimpleNamespace(split=lambda batch, rows, plan, alone=alone, **_: [batch | alone])
            grpo(trainer)._splitter = lambda whole=whole: whole
        trainer.train()
        grads.append(found)
    assert any(float(g.abs().max()) > 0 for g in grads[0].values())
    for name, grad in grads[0].items():
        torch.testing.assert_close(grad, grads[1][name], atol=1e-6, rtol=1e-3, msg=lambda m, n=name: f"{n}: {m}")


def flatten_first_group(trainer) -> None:
    """Give the first group equal rewards, so that there is something to leave out."""
    original = trainer.parts.task.score
    first = trainer.parts.stream.batch(0)[0].id

    def score(example, completion):
        verdict = original(example, completion)
        return type(verdict)(0.25, verdict.feedback) if example.id == first else verdict

    trainer.parts.task.score = score


class FirstProblemOnly:
    """Sends one problem of each step to the weights, so that one of two ranks has no live row."""

    name = "first-only"

    def __init__(self, arguments: str = "", *, seed: int = 0):
        self._step = -1

    def route(self, evidence: GroupEvidence) -> Route:
        first, self._step = evidence.step != self._step, evidence.step
        return Route.BOTH if first else Route.FAST

    def state_dict(self) -> dict:
        return {}

    def load_state_dict(self, state: dict) -> None: ...


@pytest.mark.processes
def test_ranks_with_different_numbers_of_live_rows_do_not_wait_for_each_other(tmp_path: Path) -> None:
    settings = {"max_steps": 2, "problems_per_step": 4, "router": "tests.loop.test_cycle.FirstProblemOnly",
                "optim": "sgd", "learning_rate": 1.0}  # fmt: skip
    one, two = run_cycle(tmp_path, "one", 1, **settings), run_cycle(tmp_path, "two", 2, **settings)
    assert any(not torch.equal(two[0][0]["start"][n], w) for n, w in two[0][0]["end"].items()), "nothing moved"
    for name, weight in two[0][0]["end"].items():
        assert torch.equal(weight, two[1][0]["end"][name]), f"{name} differs between ranks"
        torch.testing.assert_close(weight, one[0][0]["end"][name], atol=1e-5, rtol=1e-4)
