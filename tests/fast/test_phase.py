"""One GEPA phase over a population, driven by a real policy on a tiny model."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path

import pytest
import torch

from fastslow.contexts.context import load_examples
from fastslow.core.errors import EndpointError, FastSlowError
from fastslow.core.types import Verdict
from fastslow.fast.proposers.base import ProposalRequest
from fastslow.run.closing import reflection_cost
from fastslow.streams.epochs import lookahead
from tests.support.openai_server import OpenAIServer
from tests.support.runs import tiny_trainer, write_task


def phase(trainer, cycle: int = 0, version: int = 0, **overrides):
    """Run one fast phase and return it with the jobs that were really rolled out."""
    jobs: list[tuple[str, str, int]] = []
    policy = trainer.policy
    policy.refresh(version)
    original = type(policy).rollouts

    def spy(batch, params=None):
        jobs.extend((j.context.id, j.example.id, policy.version) for j in batch)
        return original(policy, batch, params)

    policy.rollouts = spy
    ahead = lookahead(trainer.parts.stream, cycle * 2, 2)
    known = trainer.topics.demonstrations(ahead, 0)
    arguments = {"anchor": ahead[:4], "pool": ahead, "experience": (), "demonstrations": known, "cycle": cycle}
    arguments |= overrides
    result = trainer.parts.fast.evolve(trainer.population, policy=policy, **arguments)
    del policy.rollouts
    return result, jobs


def test_every_context_is_scored_on_the_same_anchor_ids(tmp_path: Path) -> None:
    trainer = tiny_trainer(tmp_path, population_size=4)
    result, _ = phase(trainer)
    anchor = {e.id for e in lookahead(trainer.parts.stream, 0, 2)[:4]}
    accepted = [p for p in result.proposals if p["accepted"]]
    assert accepted, "nothing was accepted: the test would not see a child"
    for proposal in accepted:
        assert set(proposal["anchor_scores"]) == anchor
    assert {frozenset(s) for s in result.population.scores.values()} == {frozenset(anchor)}


def test_scores_of_older_weights_are_replaced_and_never_compared(tmp_path: Path) -> None:
    trainer = tiny_trainer(tmp_path, population_size=4)
    trainer.cycle.state.population = phase(trainer)[0].population
    carried = {c.id for c in trainer.population.carried}
    with torch.no_grad():
        for p in trainer.model.parameters():
            p.add_(0.02 * torch.randn_like(p))
    result, jobs = phase(trainer, cycle=1, version=2)
    anchor = {e.id for e in lookahead(trainer.parts.stream, 2, 2)[:4]}
    fresh = {(c, e) for c, e, version in jobs if version == 2}
    assert {(c, e) for c in carried for e in anchor} <= fresh, "a carried context kept a score of older weights"
    assert {r.policy_version for r in result.rollouts} == {2}
    assert result.population.policy_version == 2


@pytest.mark.parametrize("seed", range(5))
def test_the_budget_is_a_hard_ceiling_and_counts_real_rollouts(tmp_path: Path, seed: int) -> None:
    trainer = tiny_trainer(tmp_path, population_size=4, seed=seed, fast_metric_calls=37)
    result, jobs = phase(trainer)
    assert result.metrics["fst/fast/metric_calls"] == len(jobs) == len(result.rollouts) <= 37
    assert len({(c, e) for c, e, _ in jobs}) == len(jobs), "something was rolled out twice under the same weights"


def test_the_seed_stays_reachable_whatever_is_selected(tmp_path: Path) -> None:
    trainer = tiny_trainer(tmp_path, population_size=1)
    for cycle in range(3):
        trainer.cycle.state.population = phase(trainer, cycle=cycle, version=cycle)[0].population
        assert trainer.population.seed.id in trainer.population.known
        assert trainer.population.seed in trainer.population.carried


def test_lineage_names_parent_and_proposer(tmp_path: Path) -> None:
    trainer = tiny_trainer(tmp_path)
    result, _ = phase(trainer)
    for proposal in result.proposals:
        assert proposal["proposer"] == "demonstrations"
        assert proposal["parents"][0] in result.population.known
        assert proposal["accepted"] == (proposal["reason"] is None)


def test_a_phase_is_a_function_of_seed_and_cycle(tmp_path: Path) -> None:
    outcomes = [phase(tiny_trainer(tmp_path))[0] for _ in range(2)]
    assert outcomes[0].proposals == outcomes[1].proposals
    assert outcomes[0].population.to_json() == outcomes[1].population.to_json()


def test_an_invalid_proposal_costs_no_rollout_and_says_why(tmp_path: Path) -> None:
    trainer = tiny_trainer(tmp_path)
    held_out = trainer.parts.task.split("validation")[0].question

    class Copycat:
        name = "copycat"

        def propose(self, request: ProposalRequest) -> dict[str, str]:
            return {"instruction": f"Remember: {held_out}"}

    trainer.parts.fast.proposer = Copycat()
    result, jobs = phase(trainer)
    assert {c for c, _, _ in jobs} == {trainer.population.seed.id}
    assert result.proposals
    assert all(not p["accepted"] and p["reason"] for p in result.proposals)


def test_a_failing_endpoint_ends_the_phase_and_keeps_the_population(tmp_path: Path) -> None:
    trainer = tiny_trainer(tmp_path)

    class Down:
        name = "down"
        calls = 0

        def propose(self, request: ProposalRequest) -> dict[str, str]:
            self.calls += 1
            raise EndpointError("the endpoint is down")

    trainer.parts.fast.proposer = Down()
    result, _ = phase(trainer)
    assert result.endpoint_error == "the endpoint is down"
    assert [c.id for c in result.population.members] == [trainer.population.seed.id]
    assert Down.calls <= 4  # one iteration's proposals, no endless knocking


def test_a_model_that_misses_the_form_ends_the_phase_after_three_replies_each_of_which_is_counted_and_paid(
    tmp_path: Path,
) -> None:
    """In every phase anew, and in the tallies of the run."""
    prices = {"reflection_price_prompt": 1.0, "reflection_price_completion": 2.0}
    with OpenAIServer(lambda request: "I would rather\x1b[2J\nnot. " + "x" * 100) as server:
        trainer = tiny_trainer(
            tmp_path, proposer="reflection", reflection_base_url=server.base_url, reflection_model="tiny",
            reflection_api_key_env="", **prices,
        )  # fmt: skip
        results = []
        for cycle in range(2):
            results.append(phase(trainer, cycle=cycle)[0])
            trainer.recorder.fast_phase(cycle, results[-1])
            assert len(server.requests) == 3 * (cycle + 1)
    spent = trainer.recorder.reflection
    assert (spent["calls"], spent["unreadable"], spent["failures"], spent["barren"]) == (6, 6, 0, 2)
    assert [one.metrics["fst/fast/lm_unreadable"] for one in results] == [3, 3]
    assert results[-1].endpoint_error == spent["last_error"]
    assert "I would rather\N{REPLACEMENT CHARACTER}[2J not. xx" in spent["last_error"], "in one harmless line"
    assert "x" * 80 not in spent["last_error"]
    paid = (spent["prompt_tokens"] * 1.0 + spent["completion_tokens"] * 2.0) / 1e6
    assert reflection_cost(trainer.args, spent) == pytest.approx(paid)
    assert paid > 0


def test_a_bug_in_a_proposer_stops_the_run(tmp_path: Path) -> None:
    trainer = tiny_trainer(tmp_path)

    class Broken:
        name = "broken"

        def propose(self, request: ProposalRequest) -> dict[str, str]:
            raise KeyError("bug")

    trainer.parts.fast.proposer = Broken()
    with pytest.raises(FastSlowError, match="proposer 'broken' raised KeyError: 'bug'"):
        phase(trainer)


def test_an_unscored_rollout_is_in_no_score_table(tmp_path: Path) -> None:
    trainer = tiny_trainer(tmp_path)
    unlucky = lookahead(trainer.parts.stream, 0, 2)[0].id
    original = trainer.parts.task.score

    def score(example, completion):
        if example.id == unlucky:
            raise OSError("the scorer's server is away")
        return original(example, completion)

    trainer.parts.task.score = score
    result, _ = phase(trainer)
    assert all(unlucky not in scores for scores in result.population.scores.values())


@pytest.mark.parametrize("proposer", ["instructions", "offline"])
def test_what_the_scorer_keeps_saying_is_proposed_as_an_instruction(tmp_path: Path, proposer: str) -> None:
    task = write_task(tmp_path).replace(":spread", ":loud")
    result, _ = phase(tiny_trainer(tmp_path, task=task, proposer=proposer, seed_instruction="Answer."))
    made = [p for p in result.proposals if p["proposer"] == "instructions"]
    rules = "Answer.\n\nKeep to these rules:\n- Answer in capital letters."
    assert rules in [p["components"]["instruction"] for p in made], result.proposals
    assert {p["proposer"] for p in result.proposals} <= {"instructions", "demonstrations"}


def test_reflection_over_http_brings_a_context_into_the_population(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("TEST_KEY", "sk-test-canary")
    counter = iter(range(1000))

    def reply(request):
        marker = re.findall(r"<<<EDIT (\S+)>>>", request.prompt)[-1]
        component = (
            '[{"question": "Say %d", "answer": "%d"}]' if "JSON array" in request.prompt else "Answer %d in %d words."
        )
        n = next(counter)
        return f"I would edit it.\n<<<EDIT {marker}>>>\n{component % (n, n)}\n<<<DONE {marker}>>>"

    with OpenAIServer(reply) as server:
        trainer = tiny_trainer(
            tmp_path,
            proposer="reflection",
            reflection_base_url=server.base_url,
            reflection_model="tiny",
            reflection_api_key_env="TEST_KEY",
            max_steps=4,
            fast_metric_calls=80,
        )
        trainer.train()
        assert server.requests, "the endpoint was never asked"
        assert all(r.headers["authorization"] == "Bearer sk-test-canary" for r in server.requests)
    made = [c for c in trainer.population.known.values() if c.proposer == "reflection"]
    assert made, "no edit was accepted"
    assert {"Answer", "Say"} & {
        word for c in made for text in c.components.values() for word in re.findall(r"\w+", text)
    }


def test_reflection_with_a_local_model_runs(tmp_path: Path) -> None:
    settings = {"proposer": "reflection", "reflection_max_tokens": 8, "max_steps": 1}
    model = str(tmp_path / "model")
    trainer = tiny_trainer(tmp_path, reflection_model=model, **settings)
    trainer.train()
    assert trainer.step == 1


def test_all_scorers_failing_stops_the_run_with_a_reason(tmp_path: Path) -> None:
    trainer = tiny_trainer(tmp_path, max_steps=6, mode="rl")

    def score(example, completion):
        raise OSError("away")

    trainer.parts.task.score = score
    with pytest.raises(FastSlowError, match="nothing to learn from"):
        trainer.train()


def write_conversations(folder: Path) -> str:
    """Questions of two turns with one closing sentence."""
    path = folder / "talks.jsonl"
    lines = []
    for i in range(40):
        turns = [{"role": "user", "content": text} for text in (f"What is {i} + {i + 1}?", "Answer with one number.")]
        lines.append(json.dumps({"messages": turns, "answer": str(2 * i + 1)}))
    path.write_text("\n".join(lines))
    return f"jsonl:{path}?scorer=tests.support.runs:graded_by_answer"


def test_worked_examples_of_conversations_hold_every_turn_and_are_no_copies(tmp_path: Path) -> None:
    trainer = tiny_trainer(tmp_path, task=write_conversations(tmp_path), fast_metric_calls=120)
    result, _ = phase(trainer)
    shown = [worked for p in result.proposals for worked in load_examples(p["components"]["examples"])]
    assert shown
    for worked in shown:
        first, last = worked.question.split("\n\n")
        assert last == "Answer with one number."
        left, right = map(int, re.findall(r"\d+", first))
        assert int(worked.answer) == left + right, "and the answer to that question"
    assert not [p["reason"] for p in result.proposals if "cop" in (p["reason"] or "")]
    assert result.metrics["fst/fast/invalid"] < len(result.proposals)


def test_a_phase_whose_proposals_were_all_refused_says_so_and_why(tmp_path: Path, caplog) -> None:
    trainer = tiny_trainer(tmp_path)
    trainer.parts.fast.check = lambda child, **_: "it copies a held-out question"
    with caplog.at_level(logging.WARNING):
        result, _ = phase(trainer)
    refused = len(result.proposals)
    assert result.metrics["fst/fast/invalid"] == refused > 0
    assert f"all {refused} proposals were refused before a rollout, {refused} of them because it copies" in caplog.text


@pytest.mark.parametrize("right", [True, False])
def test_minibatches_decide_something_whether_or_not_a_child_comes_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, right: bool
) -> None:
    """gepa asks for no child of a parent that was right on all: what is left would be its failures, or its luck."""
    trainer = tiny_trainer(tmp_path)
    monkeypatch.setattr(trainer.policy, "_judge", lambda example, answer: Verdict(float(right), ""))
    ahead = lookahead(trainer.parts.stream, 0, 2)
    result, jobs = phase(trainer, anchor=ahead[:4], pool=ahead[4:])
    assert bool(result.proposals) == (not right)
    anchor = {example.id for example in ahead[:4]}
    assert result.judged
    assert {(c, e) for c, e, _ in jobs if e not in anchor} == result.judged
