"""What every engine promises, as tests: a class of tests for each engine derives from `Conformance`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch

from fastslow.policy.engines.base import Engine, Prompt, Sample, SamplingParams
from fastslow.policy.token_trees import Row
from fastslow.policy.trials import plain_logprobs

TOLERANCE = 1e-3
"""Nats between an engine and a plain forward in fp32, as the tripwire allows them; seen are some 3e-5."""


@dataclass
class Case:
    """A model, what makes engines that sample with the model's weights, and token ids that the model has.

    `make` takes the ids that end a completion; an engine is closed by whoever made the case.
    """

    model: Any
    make: Callable[[Sequence[int]], Engine]
    ids: Sequence[int]
    eos: int

    def prompt(self, length: int, seed: int, *, start: int = 0, prefix: int = 0) -> Prompt:
        """A prompt of this length; prompts of one start share their beginnings."""
        ids = tuple(self.ids[(start + 7 * at + at // 5) % len(self.ids)] for at in range(length))
        return Prompt(ids, seed, prefix)


class Conformance:
    """Tests of one engine; the fixture `case` comes from the subclass, for the whole class."""

    @pytest.fixture(scope="class")
    def kept(self, case: Case) -> Iterator[Engine]:
        engine = case.make([case.eos])
        yield engine
        engine.close()

    @pytest.fixture
    def engine(self, kept: Engine) -> Engine:
        kept.refresh(0)  # other engines of the suite may have brought their weights meanwhile
        return kept

    def test_nothing_is_sampled_before_the_first_refresh(self, case: Case) -> None:
        unready = case.make([case.eos])
        with pytest.raises(RuntimeError, match="refresh"):
            unready.sample([case.prompt(4, 0)], SamplingParams(2))
        unready.close()

    def test_samples_come_in_the_order_of_prompts_with_the_log_probabilities_of_a_plain_forward(
        self, case: Case, engine: Engine
    ) -> None:
        prompts = [case.prompt(n, seed, start=n % 3) for seed, n in enumerate((9, 40, 3, 23, 40, 5, 12, 31))]
        samples = engine.sample(prompts, SamplingParams(6, temperature=0.7))
        assert off(case, prompts, samples, temperature=0.7) < TOLERANCE

    def test_a_context_that_prompts_share_changes_nothing(self, case: Case, engine: Engine) -> None:
        prompts = [case.prompt(n, seed, prefix=24) for seed, n in enumerate((30, 34, 30, 26))]
        samples = engine.sample(prompts, SamplingParams(5))
        assert off(case, prompts, samples) < TOLERANCE

    def test_a_seed_decides_a_completion_whatever_stands_beside_it(self, case: Case, engine: Engine) -> None:
        prompts = [case.prompt(n, 10_000 + seed) for seed, n in enumerate((8, 8, 20, 8, 31))]
        together = engine.sample(prompts, SamplingParams(6))
        alone = [engine.sample([prompt], SamplingParams(6))[0] for prompt in reversed(prompts)][::-1]
        assert [sample.ids for sample in together] == [sample.ids for sample in alone]
        assert len({together[0].ids, together[1].ids, together[3].ids}) > 1, "one prompt, three seeds"

    def test_large_seeds_are_seeds(self, case: Case, engine: Engine) -> None:
        prompts = [case.prompt(8, 2**63 - 1), case.prompt(8, 2**62 + 5)]
        first, again = (engine.sample(prompts, SamplingParams(6)) for _ in range(2))
        assert [sample.ids for sample in first] == [sample.ids for sample in again]
        assert first[0].ids != first[1].ids

    def test_an_end_token_is_the_last_of_its_completion_and_belongs_to_it(self, case: Case, engine: Engine) -> None:
        prompts = [case.prompt(6 + seed % 4, seed) for seed in range(8)]
        whole = engine.sample(prompts, SamplingParams(8))
        ends = sorted({sample.ids[2] for sample in whole})
        ending = case.make(ends)
        ending.refresh(0)
        cut = ending.sample(prompts, SamplingParams(8))
        ending.close()
        for before, after in zip(whole, cut, strict=True):
            first = next(at for at, token in enumerate(before.ids) if token in ends)
            assert after.ids == before.ids[: first + 1]
        assert off(case, prompts, cut) < TOLERANCE, "the end token has its log-probability too"

    def test_temperature_0_takes_the_likeliest_token_whatever_the_seed(self, case: Case, engine: Engine) -> None:
        greedy = SamplingParams(5, temperature=0.0)
        one, other = engine.sample([case.prompt(12, 1), case.prompt(12, 2)], greedy)
        assert one.ids == other.ids
        ids = list(case.prompt(12, 1).ids)
        for token in one.ids:
            assert token == int(logits(case.model, ids).argmax())
            ids.append(token)
        assert off(case, [case.prompt(12, 1)], [one]) < TOLERANCE

    @pytest.mark.parametrize("most", [1, 3])
    def test_no_completion_is_longer_than_asked_for(self, case: Case, engine: Engine, most: int) -> None:
        samples = engine.sample([case.prompt(5, seed) for seed in range(4)], SamplingParams(most))
        assert {len(sample.ids) for sample in samples} == {most}
        assert all(len(sample.ids) == len(sample.logprobs) for sample in samples)

    def test_a_prompt_and_its_answer_may_fill_the_window(self, case: Case, engine: Engine) -> None:
        window = min(engine.window or 128, 1024)
        [sample] = engine.sample([case.prompt(window - 3, 5)], SamplingParams(3))
        assert len(sample.ids) == 3
        assert all(torch.isfinite(torch.tensor(sample.logprobs)))

    def test_top_k_of_one_is_greedy(self, case: Case, engine: Engine) -> None:
        prompts = [case.prompt(10, seed) for seed in range(3)]
        narrow = engine.sample(prompts, SamplingParams(4, top_k=1))
        greedy = engine.sample(prompts, SamplingParams(4, temperature=0.0))
        assert [sample.ids for sample in narrow] == [sample.ids for sample in greedy]

    def test_a_refresh_follows_the_weights_and_keeps_nothing_of_the_old_ones(self, case: Case) -> None:
        engine = case.make([case.eos])
        prompts = [case.prompt(300 + n, seed, prefix=300) for seed, n in enumerate((3, 5, 3))]
        before = {name: weight.clone() for name, weight in case.model.state_dict().items()}
        try:
            engine.refresh(0)
            old = engine.sample(prompts, SamplingParams(4))
            assert off(case, prompts, old) < TOLERANCE
            shift(case.model)
            engine.refresh(1)
            engine.refresh(1)  # a second time proves it, and changes nothing
            assert off(case, prompts, old) > 0.05, "the test has to move the weights"
            assert off(case, prompts, engine.sample(prompts, SamplingParams(4))) < TOLERANCE
        finally:
            case.model.load_state_dict(before)
            engine.close()

    def test_it_says_what_and_where_it_is(self, case: Case, engine: Engine) -> None:
        told = engine.describe()
        assert {"engine", "version"} <= set(told)
        assert engine.place(case.prompt(5, 0))
        assert engine.usage()["decode_tokens"] > 0


@torch.no_grad()
def shift(model: Any) -> None:
    """Move all weights, those of the head too, so far that log-probabilities differ."""
    generator = torch.Generator().manual_seed(3)
    for weight in model.parameters():
        noise = torch.randn(weight.shape, generator=generator)
        weight += 0.3 * float(weight.std()) * noise if weight.dim() > 1 else 0.0


@torch.no_grad()
def logits(model: Any, ids: Sequence[int]) -> torch.Tensor:
    return model(input_ids=torch.tensor([list(ids)]), use_cache=False).logits[0, -1].float()


def off(case: Case, prompts: Sequence[Prompt], samples: Sequence[Sample], *, temperature: float = 1.0) -> float:
    """Return how far the samples' log-probabilities are from a plain forward over each row, at most."""
    gaps = [
        (plain_logprobs(case.model, Row(p.ids + s.ids, len(s.ids)), temperature=temperature) - torch.tensor(s.logprobs))
        .abs()
        .max()
        for p, s in zip(prompts, samples, strict=True)
    ]
    return float(torch.stack(gaps).max())
