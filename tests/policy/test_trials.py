"""Every model samples exactly or is refused: log-probabilities are those of a forward over each row alone."""

from __future__ import annotations

from typing import Any, cast

import pytest
import torch
from transformers import GPT2Config, LlamaConfig, LlamaForCausalLM

from fastslow.core.errors import BadInput
from fastslow.policy import trials
from fastslow.policy.engines.base import Prompt, SamplingParams
from fastslow.policy.engines.rows import Way
from fastslow.policy.engines.transformers import PrefixSampler
from fastslow.policy.trials import long_row, plain_logprobs, sampling_way, trial_rows
from tests.support.tiny import tiny_model, tiny_tokenizer
from tests.support.zoo import sampling_errors, zoo_model

SOME = ("lfm2", "qwen3_next", "granitemoehybrid", "mamba", "recurrent_gemma", "gpt2", "mixtral", "gemma3_text")


@pytest.mark.parametrize("name", SOME)
def test_rows_are_sampled_exactly_whoever_shares_their_batch(name: str) -> None:
    off, dependent = sampling_errors(zoo_model(name))
    assert off < 2e-4, f"log-probabilities are off by {off}"
    assert dependent == 0, "rows say something else when they are sampled alone"


def test_a_model_with_a_plain_cache_shares_prefixes_as_before() -> None:
    assert sampling_way(tiny_model(tiny_tokenizer()), pad_id=0) is Way.PREFIXES


@pytest.mark.parametrize("name", ["lfm2", "mamba"])
def test_every_way_that_needs_no_padding_says_the_same(name: str) -> None:
    model, said = zoo_model(name), []
    for way in (Way.OWN_CACHE, Way.OWN_CACHE_FIXED, Way.WHOLE):
        sampler = PrefixSampler(model, eos_ids=range(0, 250, 9), pad_id=0, dtype=torch.float32, way=way)
        sampler.refresh(0)
        prompts = [Prompt(row.ids, seed) for row in trial_rows(model) for seed in (1, 2)]
        said.append([sample.ids for sample in sampler.sample(prompts, SamplingParams(max_new_tokens=8))])
    assert said[0] == said[1] == said[2]


def test_an_encoder_is_refused_because_its_tokens_see_later_ones() -> None:
    with pytest.raises(BadInput, match="is no causal language model"):
        sampling_way(zoo_model("encoder-bert"), pad_id=0)


def test_a_model_that_needs_more_than_token_ids_is_refused() -> None:
    class Needy(LlamaForCausalLM):
        def forward(self, input_ids=None, pixel_values=None, **kwargs):  # type: ignore[override]
            if pixel_values is None:
                raise ValueError("You have to specify pixel_values\nor else")
            return super().forward(input_ids=input_ids, **kwargs)

    model = Needy(LlamaConfig(**cast(Any, tiny_model(tiny_tokenizer()).config.to_dict()))).eval()
    with pytest.raises(BadInput, match="You have to specify pixel_values") as raised:
        sampling_way(model, pad_id=0)
    assert "\n" not in str(raised.value)


def test_a_cache_that_gives_other_answers_is_not_used() -> None:
    class Forgetful(LlamaForCausalLM):
        """Loses what came before the last token, wherever there is a cache."""

        def forward(self, input_ids=None, past_key_values=None, use_cache=None, **kwargs):  # type: ignore[override]
            if past_key_values is not None:
                kwargs.pop("attention_mask", None)
                past_key_values = None
            return super().forward(input_ids=input_ids, use_cache=use_cache, **kwargs)

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Forgetful(tiny_model(tiny_tokenizer()).config).eval()
    for weight in model.parameters():
        weight.data.mul_(2.0)
    assert sampling_way(model, pad_id=0) is Way.WHOLE
    off, dependent = sampling_errors(model)
    assert off < 2e-4
    assert dependent == 0


def test_a_trial_leaves_random_state_mode_and_gradients_alone() -> None:
    model = zoo_model("lfm2").train()
    torch.manual_seed(0)
    state = torch.get_rng_state()
    model.config.use_cache = True
    sampling_way(model, pad_id=3)
    assert torch.equal(torch.get_rng_state(), state)
    assert model.training
    assert all(weight.grad is None for weight in model.parameters())


def test_the_base_is_not_tried_again_because_the_trainer_wanted_no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trials, "_KNOWN", {})
    model = tiny_model(tiny_tokenizer())
    for wanted in (True, False):
        model.config.use_cache = wanted
        sampling_way(model, pad_id=0)
    assert len(trials._KNOWN) == 1


@pytest.mark.parametrize(("chunk", "window", "length"), [(16, 400, 65), (128, 400, 129), (256, 400, 257), (64, 40, 40)])
def test_the_longer_row_goes_beyond_a_chunk_of_the_models_kernels(chunk: int, window: int, length: int) -> None:
    model: Any = tiny_model(tiny_tokenizer())
    model.config.chunk_size, model.config.max_position_embeddings = chunk, window
    assert length <= len(long_row(trial_rows(model)[0], model).ids) <= window


def test_log_probabilities_of_a_row_alone_are_the_models_own() -> None:
    model = zoo_model("gpt2")
    assert isinstance(model.config, GPT2Config)
    row = trial_rows(model)[0]
    logits = model(torch.tensor([row.ids])).logits[0]
    wanted = [float(logits[t - 1].log_softmax(-1)[row.ids[t]]) for t in range(len(row.ids) - 3, len(row.ids))]
    assert plain_logprobs(model, row).tolist() == pytest.approx(wanted, abs=1e-5)
