"""PrefixSampler against transformers' own generation and direct forwards, over several architectures."""

from __future__ import annotations

import copy
from collections import Counter
from typing import Any, cast

import pytest
import torch
from transformers import PreTrainedModel

from fastslow.policy.engines.base import Prompt, Sample, SamplingParams
from fastslow.policy.engines.transformers import COMPACT_WHEN_DONE, PrefixSampler
from fastslow.policy.loading import EMBEDDED, load_model, load_tokenizer, resolve_model
from tests.support.architectures import EOS, FAMILIES, PAD, VOCAB, build, tiny
from tests.support.present import present

GREEDY = SamplingParams(max_new_tokens=12, temperature=0.0)
SHARED = tuple(3 + (7 * i) % 50 for i in range(9))  # a context longer than the sliding families' window


@pytest.fixture(autouse=True)
def one_thread():
    """Tiny matrices: more threads only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def sampler(model: PreTrainedModel, *, eos=(EOS,), version: int = 0, dtype=torch.float32, **kwargs) -> PrefixSampler:
    made = PrefixSampler(model, eos_ids=eos, pad_id=PAD, dtype=dtype, **kwargs)
    made.refresh(version)
    return made


def prompts(prefix: bool, seed: int = 0) -> list[Prompt]:
    """Prompts of different lengths; three under one context, two of them equal, and one under none."""
    cut = len(SHARED) if prefix else 0
    ids = [(*SHARED, 5), (*SHARED, 16, 37, 48, 59), (11, 12), (*SHARED, 5), (20, 41, 32, 53, 24, 45, 26)]
    return [Prompt(row, seed + i, cut if row[: len(SHARED)] == SHARED else 0) for i, row in enumerate(ids)]


def generated(model: PreTrainedModel, prompt: Prompt, *, eos=(EOS,), **kwargs) -> tuple[int, ...]:
    """transformers' own greedy answer to one prompt alone."""
    ids = torch.tensor([prompt.ids])
    out = cast(Any, model).generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        do_sample=False,
        max_new_tokens=GREEDY.max_new_tokens,
        eos_token_id=list(eos),
        pad_token_id=PAD,
        **kwargs,
    )
    answer = out[0, ids.size(1) :].tolist()
    end = next((i + 1 for i, token in enumerate(answer) if token in eos), len(answer))
    return tuple(answer[:end])


@torch.no_grad()
def direct(model: PreTrainedModel, prompt: Prompt, sample: Sample, temperature: float = 1.0) -> list[float]:
    """Log-probabilities of a completion from one forward over the whole row."""
    ids = torch.tensor([prompt.ids + sample.ids])
    logits = model(input_ids=ids).logits[0, len(prompt.ids) - 1 : -1].float() / temperature
    return logits.log_softmax(-1).gather(1, torch.tensor(sample.ids)[:, None])[:, 0].tolist()


def moved(model: PreTrainedModel) -> None:
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.3 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)))


def texts(samples: list[Sample]) -> list[tuple[int, ...]]:
    return [s.ids for s in samples]


# Greedy, against generate


@pytest.mark.parametrize("prefix", [True, False], ids=["prefix", "no prefix"])
@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_is_generate_token_for_token(family: str, prefix: bool) -> None:
    model, batch = tiny(family), prompts(prefix)
    expected = [generated(model, prompt) for prompt in batch]
    assert len(set(expected)) >= 3, "the answers must differ, or a mix-up of rows would not show"
    under_test = sampler(model)
    assert texts(under_test.sample(batch, GREEDY)) == expected
    assert texts(under_test.sample(batch, GREEDY)) == expected, "a second call finds the contexts cached"


@pytest.mark.parametrize("family", FAMILIES)
def test_finished_rows_leave_the_batch_and_disturb_nobody(family: str) -> None:
    """Many end tokens: rows end at different times and are compacted away more than once."""
    model, eos, params = tiny(family), tuple(range(0, VOCAB, 5)), SamplingParams(max_new_tokens=12)
    batch = [Prompt((*SHARED, *range(3, 4 + i % 4)), i, len(SHARED)) for i in range(16)]
    under_test = sampler(model, eos=eos)
    found = texts(under_test.sample(batch, params))
    # A row alone is never compacted: it ends the call.
    assert found == [sampler(model, eos=eos).sample([prompt], params)[0].ids for prompt in batch]
    assert len({len(ids) for ids in found}) > 4, "the rows must end at different times"
    needed = sum(len(ids) - 1 for ids in found)
    assert needed <= under_test.decode_tokens <= needed / (1 - COMPACT_WHEN_DONE), "finished rows were decoded on"


def test_an_end_token_ends_its_row_and_is_part_of_it() -> None:
    eos = tuple(range(0, VOCAB, 3))
    samples = sampler(tiny("llama"), eos=eos).sample(prompts(True), SamplingParams(max_new_tokens=12))
    assert any(len(s.ids) < 12 for s in samples)
    for sample in samples:
        assert not set(sample.ids[:-1]) & set(eos)
        assert sample.ids[-1] in eos or len(sample.ids) == 12
        assert len(sample.logprobs) == len(sample.ids)


def test_one_token_at_most_is_one_token() -> None:
    batch = prompts(True)
    short = sampler(tiny("llama")).sample(batch, SamplingParams(max_new_tokens=1, temperature=0.0))
    assert texts(short) == [generated(tiny("llama"), prompt)[:1] for prompt in batch]


def test_no_prompts_are_no_samples() -> None:
    assert sampler(tiny("llama")).sample([], GREEDY) == []


# Sampling


@pytest.mark.parametrize("family", FAMILIES)
def test_what_a_row_says_does_not_depend_on_who_shares_the_batch(family: str) -> None:
    model, params = tiny(family), SamplingParams(max_new_tokens=8)
    batch = prompts(True)
    together = sampler(model).sample(batch, params)
    for i, prompt in enumerate(batch):
        alone = sampler(model).sample([prompt], params)[0]
        assert alone.ids == together[i].ids
        assert alone.logprobs == pytest.approx(together[i].logprobs, abs=1e-4)


def test_order_and_batch_size_change_nothing() -> None:
    params = SamplingParams(max_new_tokens=8)
    batch = prompts(True) + prompts(False, seed=50)
    expected = texts(sampler(tiny("llama")).sample(batch, params))
    assert texts(sampler(tiny("llama")).sample(batch[::-1], params)) == expected[::-1]
    assert texts(sampler(tiny("llama"), max_rows=3).sample(batch, params)) == expected


def test_the_prefix_cache_changes_the_cost_and_not_what_is_said() -> None:
    params = SamplingParams(max_new_tokens=8)
    cached, plain = sampler(tiny("llama")), sampler(tiny("llama"))
    assert texts(cached.sample(prompts(True), params)) == texts(plain.sample(prompts(False), params))
    first = cached.prefill_tokens
    cached.sample(prompts(True), params)
    assert first < plain.prefill_tokens
    assert cached.prefill_tokens - first == first - len(SHARED), "the second call computes all but the context"


def test_rows_of_one_prompt_pay_for_it_once() -> None:
    one, many = sampler(tiny("llama")), sampler(tiny("llama"))
    one.sample([Prompt(SHARED, 0)], SamplingParams(max_new_tokens=2))
    many.sample([Prompt(SHARED, seed) for seed in range(16)], SamplingParams(max_new_tokens=2))
    assert many.prefill_tokens == one.prefill_tokens == len(SHARED)


def test_a_seed_repeats_its_completion_and_other_seeds_say_something_else() -> None:
    params = SamplingParams(max_new_tokens=8)
    batch = [Prompt(SHARED, seed) for seed in (1, 2, 1, 3)]
    said = texts(sampler(tiny("llama")).sample(batch, params))
    assert said[0] == said[2]
    assert len(set(said)) == 3


def test_global_random_state_is_neither_used_nor_moved() -> None:
    params = SamplingParams(max_new_tokens=8)
    torch.manual_seed(0)
    state = torch.get_rng_state()
    first = sampler(tiny("llama")).sample(prompts(True), params)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(1)
    assert sampler(tiny("llama")).sample(prompts(True), params) == first


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("family", FAMILIES)
def test_logprobs_are_those_of_a_direct_forward_after_temperature(family: str, temperature: float) -> None:
    model, batch = tiny(family), prompts(True)
    params = SamplingParams(max_new_tokens=8, temperature=temperature, top_k=5, top_p=0.9)
    for prompt, sample in zip(batch, sampler(model).sample(batch, params), strict=True):
        assert sample.logprobs == pytest.approx(direct(model, prompt, sample, temperature), abs=1e-4)


def test_greedy_logprobs_are_those_at_temperature_one() -> None:
    model, batch = tiny("llama"), prompts(True)
    for prompt, sample in zip(batch, sampler(model).sample(batch, GREEDY), strict=True):
        assert sample.logprobs == pytest.approx(direct(model, prompt, sample), abs=1e-4)


DRAWS = 1500


def drawn(params: SamplingParams) -> tuple[Counter, torch.Tensor]:
    """First tokens of many seeds, and the probabilities before any truncation."""
    model = tiny("llama")
    batch = [Prompt(SHARED, seed) for seed in range(DRAWS)]
    samples = sampler(model, eos=(), max_rows=512).sample(batch, params)
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([SHARED])).logits[0, -1]
    return Counter(s.ids[0] for s in samples), (logits / params.temperature).softmax(-1)


def frequencies(found: Counter, expected: torch.Tensor) -> None:
    """Every token as often as its probability says, within five standard deviations."""
    for token, p in enumerate(expected.tolist()):
        assert abs(found[token] / DRAWS - p) <= 5 * (p * (1 - p) / DRAWS) ** 0.5, f"token {token}: {found[token]}, {p}"


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_tokens_are_drawn_as_often_as_the_model_says(temperature: float) -> None:
    found, p = drawn(SamplingParams(max_new_tokens=1, temperature=temperature))
    frequencies(found, p)
    assert len(found) > 3


@torch.no_grad()
def test_each_token_of_a_row_is_a_draw_of_its_own() -> None:
    """Where in its distribution a row's first token fell says nothing about where its second falls."""
    model = tiny("llama")
    batch = [Prompt(SHARED, seed) for seed in range(DRAWS)]
    samples = sampler(model, eos=(), max_rows=512).sample(batch, SamplingParams(max_new_tokens=2))
    rows = torch.tensor([[*SHARED, token] for token in range(VOCAB)])
    p = model(input_ids=rows).logits[:, -2:].softmax(-1)
    middle = p.cumsum(-1) - p / 2  # of each token's share of [0, 1)
    first, second = (torch.tensor([s.ids[t] for s in samples]) for t in (0, 1))
    places = torch.stack([middle[0, 0, first], middle[first, 1, second]])
    assert abs(float(torch.corrcoef(places)[0, 1])) < 0.1


def allowed(rule: str, p: torch.Tensor) -> torch.Tensor:
    """Which tokens a rule leaves, by its definition."""
    order = p.argsort(descending=True)
    keep = torch.zeros_like(p, dtype=torch.bool)
    if rule == "top_k":
        keep[order[:3]] = True
    elif rule == "top_p":  # the smallest set whose mass reaches 0.7
        reached = (p[order].cumsum(0) < 0.7).sum() + 1
        keep[order[:reached]] = True
    else:
        keep = p >= 0.5 * p.max()
    return keep


@pytest.mark.parametrize(("rule", "value"), [("top_k", 3), ("top_p", 0.7), ("min_p", 0.5)])
def test_truncation_leaves_the_likely_tokens_at_their_relative_rates(rule: str, value: float) -> None:
    found, p = drawn(SamplingParams(max_new_tokens=1, temperature=1.0, **cast(Any, {rule: value})))
    keep = allowed(rule, p)
    assert 1 < int(keep.sum()) < VOCAB - 1, "the rule must cut some and leave some"
    frequencies(found, (p * keep) / (p * keep).sum())
    assert set(found) <= set(keep.nonzero()[:, 0].tolist())


def test_repetition_penalty_is_generates_over_prompt_and_completion() -> None:
    params = SamplingParams(max_new_tokens=12, temperature=0.0, repetition_penalty=1.7)
    model, changed = tiny("llama"), 0
    for prompt in prompts(True):
        expected = generated(model, prompt, repetition_penalty=1.7)
        assert sampler(model).sample([prompt], params)[0].ids == expected
        changed += expected != generated(model, prompt)
    assert changed, "the penalty must matter here"


def test_the_penalty_follows_its_row_when_finished_ones_leave() -> None:
    params = SamplingParams(max_new_tokens=12, repetition_penalty=3.0)
    model, eos = tiny("llama"), tuple(range(0, VOCAB, 5))
    batch = [Prompt((*SHARED, 3 + i, 4 + i), i, len(SHARED)) for i in range(16)]  # equal lengths: no padding
    found = texts(sampler(model, eos=eos).sample(batch, params))
    assert found == [sampler(model, eos=eos).sample([prompt], params)[0].ids for prompt in batch]
    assert len({len(ids) for ids in found}) > 4, "the rows must end at different times"


# Weights that move


def test_sampling_before_the_first_refresh_is_an_error() -> None:
    unready = PrefixSampler(tiny("llama"), eos_ids=[EOS], pad_id=PAD, dtype=torch.float32)
    with pytest.raises(RuntimeError, match="refresh"):
        unready.sample(prompts(True), GREEDY)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["weights themselves", "copy in bf16"])
def test_nothing_cached_under_older_weights_survives_a_refresh(dtype: torch.dtype) -> None:
    model = build("llama")
    under_test = sampler(model, dtype=dtype)
    old = under_test.sample(prompts(True), GREEDY)
    moved(model)
    under_test.refresh(1)
    new = under_test.sample(prompts(True), GREEDY)
    assert new == sampler(model, dtype=dtype).sample(prompts(True), GREEDY)
    assert texts(new) != texts(old), "the weights must have moved enough to see it"


def test_a_copy_in_another_dtype_says_what_that_model_says_and_leaves_the_weights_alone() -> None:
    model = build("llama")
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    cast = copy.deepcopy(model).double()
    under_test = sampler(model, dtype=torch.float64)
    under_test.refresh(1)
    for prompt, sample in zip(prompts(True), under_test.sample(prompts(True), GREEDY), strict=True):
        assert sample.logprobs == pytest.approx(direct(cast, prompt, sample), abs=1e-5)
    for name, weight in model.state_dict().items():
        assert weight.dtype == before[name].dtype
        assert torch.equal(weight, before[name])


def test_the_head_of_a_copy_in_another_dtype_is_handed_contiguous_rows() -> None:
    """A sliced view of the hidden states costs hundreds of times as much in bf16 on a CPU."""
    model = tiny("llama")
    mine = sampler(model, dtype=torch.bfloat16)
    assert mine._shadow is not None
    seen: list[bool] = []
    present(mine._shadow.get_output_embeddings()).register_forward_pre_hook(
        lambda _, x: seen.append(x[0].is_contiguous())
    )

    mine.sample(prompts(prefix=True), GREEDY)

    assert seen, "the head was never asked"
    assert all(seen), "the head was handed a view"


def test_the_model_is_left_in_the_mode_it_was_found_in() -> None:
    model = build("llama", attention_dropout=0.5)
    expected = texts(sampler(model).sample(prompts(True), GREEDY))
    model.train()
    assert texts(sampler(model).sample(prompts(True), GREEDY)) == expected, "dropout was on"
    assert model.training
    assert all(weight.requires_grad for weight in model.parameters())


def test_a_penalty_for_repetition_does_not_depend_on_who_shares_the_batch() -> None:
    model = tiny("llama")
    sampler = PrefixSampler(model, eos_ids=[EOS], pad_id=PAD, dtype=torch.float32)
    sampler.refresh(0)
    params = SamplingParams(max_new_tokens=12, temperature=0.0, repetition_penalty=1.7)
    short, long = Prompt((12,), 0), Prompt(tuple(3 + (5 * i + 1) % 50 for i in range(6)), 0)
    assert sampler.sample([short, long], params)[0].ids == sampler.sample([short], params)[0].ids


@pytest.mark.real_model
def test_smollm2_answers_alike_with_a_cached_context_and_without() -> None:
    source = resolve_model(EMBEDDED)
    model: Any = load_model(source).eval()
    tokenizer: Any = load_tokenizer(source)
    context = tokenizer("You multiply. 2 * 3 is 6. 7 * 8 is 56. 9 * 9 is 81. 4 * 5 is 20.\n")["input_ids"]
    questions = [tokenizer(f"{a} * {b} is")["input_ids"] for a, b in ((3, 4), (6, 7), (8, 8))]
    sampler = PrefixSampler(model, eos_ids=[tokenizer.eos_token_id], pad_id=0, dtype=torch.float32)
    sampler.refresh(0)
    cached = sampler.sample([Prompt((*context, *q), 0, prefix=len(context)) for q in questions], GREEDY)
    for question, sample in zip(questions, cached, strict=True):
        ids = torch.tensor([[*context, *question]])
        whole = model.generate(ids, max_new_tokens=GREEDY.max_new_tokens, do_sample=False, pad_token_id=0)
        fresh = whole[0, ids.size(1) :].tolist()
        assert list(sample.ids) == fresh, "a cached context changed a greedy answer"
