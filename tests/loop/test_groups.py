"""Groups of any planned size become the B x G rows of a batch, and nothing is generated for an example that rests."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fastslow.core.errors import BadInput
from fastslow.core.types import Example, Plan, Rollout, Verdict
from fastslow.loop.groups import Group, GroupMaker
from tests.loop.test_cycle import reference_gradients, run_cycle
from tests.support.runs import tiny_trainer

G = 4


def maker(advantage_group: str = "problem", *, overlong_buffer: int = 0, log: Any = None) -> GroupMaker:
    """A maker without a policy that generates anything."""
    config: Any = SimpleNamespace(
        num_generations=G, mode="fst", advantage_group=advantage_group, slots="even", seed=0,
        overlong_buffer=overlong_buffer, overlong_penalty=0.5,
    )  # fmt: skip
    policy: Any = SimpleNamespace(
        engine=SimpleNamespace(separate=False),
        params=SimpleNamespace(max_new_tokens=4),
        nothing=lambda example, context: rollout(example, "none", None),
    )
    state: Any = SimpleNamespace(population=SimpleNamespace(seed=None))
    nothing: Any = None
    return GroupMaker(
        config, policy=policy, state=state, router=nothing, known=nothing, topic_of=nothing, log=log, further=()
    )


def rollout(example: Example, context: str, reward: float | None) -> Rollout:
    verdict = Verdict.unscored("rests") if reward is None else Verdict(reward, "")
    return Rollout(example.id, context, (1,), (2,), (0.0,), "", verdict, 0)


def groups_of(counts: list[int]) -> list[Group]:
    examples = [Example(f"e{b}", "t", "train", ({"role": "user", "content": "?"},)) for b in range(len(counts))]
    return [
        Group(example, Plan(count), (), tuple(rollout(example, f"c{i % 2}", (i % 3) / 2) for i in range(count)))
        for example, count in zip(examples, counts, strict=True)
    ]


@st.composite
def plans(draw: st.DrawFn) -> list[int]:
    """Counts of rollouts that fit into as many blocks of G as there are groups."""
    counts, room = [], draw(st.integers(1, 6))
    total = room
    for _ in range(total):
        blocks = draw(st.integers(0, min(3, room)))
        counts.append(max(0, blocks * G - draw(st.integers(0, G - 1))) if blocks else 0)
        room -= blocks
    return draw(st.permutations(counts))


@given(plans(), st.sampled_from(["problem", "context"]))
def test_every_rollout_has_one_row_and_is_compared_with_those_of_its_example(counts: list[int], by: str) -> None:
    groups = groups_of(counts)
    batch = maker(by).batch(groups, [True] * len(groups), beta=0.0, advantage_scale=1.0)
    if not sum(counts):
        assert batch.rollouts == ()
        return
    assert len(batch.examples) == len(batch.slow_B) == len(groups)
    assert len(batch.rollouts) == len(groups) * G
    assert [r.example_id for r in batch.rollouts] == [e.id for e in batch.examples_N]
    made = [id(r) for r in batch.rollouts if r.verdict.scored]
    assert sorted(made) == sorted(id(r) for group in groups for r in group.rollouts)
    if batch.parts_N is not None:
        parts = Counter(zip(batch.parts_N, [r.verdict.scored for r in batch.rollouts], strict=True))
        per_context = [c for n in counts for c in ((n + 1) // 2, n // 2) if c] if by == "context" else None
        assert sorted(n for (_, scored), n in parts.items() if scored) == sorted(
            per_context or [n for n in counts if n]
        )
    else:
        assert set(counts) == {G}


def test_a_batch_of_whole_groups_is_left_to_trl() -> None:
    batch = maker().batch(groups_of([G] * 3), [True, False, True], beta=0.1, advantage_scale=0.5)
    assert batch.parts_N is None
    assert (batch.slow_B, batch.beta, batch.advantage_scale) == ((True, False, True), 0.1, 0.5)


def test_long_answers_lose_reward_for_the_loss_alone_and_rows_that_fill_a_block_are_not_in_the_mean() -> None:
    (group,) = groups_of([3])
    lengths = (1, 3, 4)
    rollouts = tuple(replace(r, completion_ids=(2,) * n) for r, n in zip(group.rollouts, lengths, strict=True))
    logged: dict[str, float] = {}
    long = maker(overlong_buffer=2, log=logged.update)
    batch = long.batch([replace(group, rollouts=rollouts)], [True], beta=0.0, advantage_scale=1.0)
    assert batch.penalties_N == (0.0, 0.25, 0.5, 0.0)
    assert logged == {"fst/overlong_penalty": 0.25}
    assert [r.verdict.reward for r in batch.rollouts] == [0.0, 0.5, 1.0, None]
    assert batch.rewards == [0.0, 0.25, 0.5, None]


@pytest.mark.processes
@pytest.mark.parametrize("processes", [1, 2])
def test_gradients_of_planned_groups_are_those_of_their_rollouts_alone(tmp_path: Path, processes: int) -> None:
    settings = {"router": "tests.support.planner.InTurn", "problems_per_step": 4, "max_steps": 1}
    ranks = run_cycle(tmp_path, f"p{processes}", processes, **settings)
    rows = [row for _, steps in ranks for row in steps[0]["rollouts"] if row["reward"] is not None]
    assert Counter(Counter(row["example_id"] for row in rows).values()) == {4: 1, 8: 1}
    expected = reference_gradients(tmp_path, ranks[0][0]["start"], rows, cached=True)
    for tensors, _ in ranks:
        for name, grad in tensors["grads"].items():
            torch.testing.assert_close(grad, expected[name], atol=1e-6, rtol=1e-4, msg=lambda m, n=name: f"{n}: {m}")


def test_only_what_is_planned_is_generated_and_charged(tmp_path: Path) -> None:
    trainer = tiny_trainer(
        tmp_path, router="tests.support.planner.InTurn", problems_per_step=5, max_steps=2, beta=0.1, logged_groups=9
    )
    jobs, real = [], trainer.policy.rollouts

    def counted(asked: Any, *args: Any, step: bool = False, **kwargs: Any) -> list[Rollout]:
        jobs.append(len(asked) if step else 0)
        return real(asked, *args, step=step, **kwargs)

    trainer.policy.rollouts = counted  # type: ignore[method-assign]
    trainer.train()
    charged = trainer.recorder.rollouts
    assert charged["slow"] + charged["reused"] == 2 * (4 + 8 + 3)
    assert sum(jobs) == charged["slow"]
    assert trainer.cycle.state.fast_pool, "what rests may go to the texts"


def rarely_open(completion: str, row: dict[str, Any]) -> float:
    """Rewards that never differ, but for every third example."""
    return float(len(completion) % 2) if int(row["answer"]) % 3 == 0 else 0.0


def test_no_two_rollouts_of_a_run_share_their_random_numbers(tmp_path: Path, monkeypatch) -> None:
    task = tmp_path / "dynamic.jsonl"
    task.write_text("".join(json.dumps({"question": f"Say {i}.", "answer": str(i)}) + "\n" for i in range(60)))
    trainer = tiny_trainer(
        tmp_path, task=f"jsonl:{task}?scorer=tests.loop.test_groups:rarely_open", mode="rl", problems_per_step=3,
        max_steps=4, dynamic_sampling=3,
    )  # fmt: skip
    seeds, real = [], trainer.policy.rollouts

    def seen(jobs: Any, *args: Any, **how: Any) -> Any:
        seeds.extend(job.seed for job in jobs)
        return real(jobs, *args, **how)

    monkeypatch.setattr(trainer.policy, "rollouts", seen)
    trainer.train()
    assert len(seeds) > 4 * 3 * 4
    assert len(set(seeds)) == len(seeds)


def test_groups_without_a_gradient_are_replaced_and_charged(tmp_path: Path) -> None:
    task = tmp_path / "dynamic.jsonl"
    task.write_text("".join(json.dumps({"question": f"Say {i}.", "answer": str(i)}) + "\n" for i in range(60)))
    name = f"jsonl:{task}?scorer=tests.loop.test_groups:rarely_open"
    live, slow = {}, {}
    for rounds in (0, 6):
        trainer = tiny_trainer(
            tmp_path, task=name, mode="rl", problems_per_step=3, max_steps=3, dynamic_sampling=rounds,
            output_dir=str(tmp_path / str(rounds)),
        )  # fmt: skip
        batches, real = [], trainer.cycle.groups.batch

        def kept(groups: list[Group], *args: Any, real=real, batches=batches, **kwargs: Any) -> Any:
            batches.extend(groups)
            return real(groups, *args, **kwargs)

        trainer.cycle.groups.batch = kept  # type: ignore[method-assign]
        trainer.train()
        live[rounds], slow[rounds] = sum(group.live for group in batches), trainer.recorder.rollouts["slow"]
    assert slow[0] == 3 * 3 * 4
    assert live[0] < live[6] > 6
    assert slow[6] > slow[0], "what was dropped was paid for"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"router": "triage", "dynamic_sampling": 1}, "take one of both"),
        ({"router": "triage", "multi_objective_aggregation": "normalize_then_sum"}, "sum_then_normalize"),
        ({"stream": "arrival", "dynamic_sampling": 1}, "has no others"),
    ],
)
def test_settings_that_mean_nothing_together_are_refused(tmp_path: Path, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        tiny_trainer(tmp_path, **settings)
