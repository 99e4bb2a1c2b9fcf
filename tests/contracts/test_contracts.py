"""What we rely on in TRL, transformers and gepa, so that a release that breaks us fails by name."""

from __future__ import annotations

import inspect
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import gepa
import pytest
import torch
from accelerate.utils import AutocastKwargs
from gepa.core.adapter import EvaluationBatch
from gepa.core.state import GEPAState, ValsetEvaluation
from gepa.strategies.proposal_sampling import ProposalTask
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    DynamicCache,
    GenerationConfig,
    LlamaConfig,
    PreTrainedConfig,
    TrainerCallback,
)
from transformers.cache_utils import DYNAMIC_LAYER_TYPE_MAPPING
from transformers.generation import GenerationMixin
from trl import GRPOConfig, GRPOTrainer

from tests.support.runs import tiny_trainer
from tests.support.tiny import tiny_model, tiny_tokenizer
from tests.support.watch import grpo

MIXIN: Any = GenerationMixin  # whose methods are declared for a class that mixes it in
PARAMETERS = {
    GRPOTrainer._prepare_inputs: ["self", "generation_batch"],
    GRPOTrainer._generate_and_score_completions: ["self", "inputs"],
    GRPOTrainer._calculate_rewards: ["self", "inputs", "prompts", "completions", "completion_ids_list"],
    GRPOTrainer._compute_loss: ["self", "model", "inputs"],
    MIXIN.prepare_inputs_for_generation: ["input_ids", "next_sequence_length", "is_first_iteration"],
    MIXIN._update_model_kwargs_for_generation: ["outputs", "model_kwargs"],
    GenerationConfig.validate: ["self", "strict"],
    gepa.optimize: [
        "seed_candidate", "trainset", "valset", "adapter", "candidate_selection_strategy", "sampling_strategy",
        "reflection_minibatch_size", "stop_callbacks", "logger", "run_dir", "cache_evaluation", "seed",
        "raise_on_exception",
    ],
    GEPAState.update_state_with_new_program: [
        "parent_program_idx", "new_program", "valset_evaluation", "run_dir",
        "num_metric_calls_by_discovery_of_new_program",
    ],
}  # fmt: skip


@pytest.mark.parametrize("function", PARAMETERS, ids=lambda f: f.__qualname__)
def test_signatures_we_override_or_call_still_hold(function) -> None:
    found = list(inspect.signature(inspect.unwrap(function)).parameters)
    missing = [name for name in PARAMETERS[function] if name not in found]
    assert not missing, f"{function.__qualname__} lost {missing}; it has {found}"


def test_trl_logps_method_takes_what_we_replace_it_with() -> None:
    found = list(inspect.signature(GRPOTrainer._get_per_token_logps_and_entropies).parameters)
    assert found[:5] == ["self", "model", "input_ids", "attention_mask", "logits_to_keep"]
    assert {"batch_size", "compute_entropy", "compute_aux_loss"} <= set(found)


def test_trl_cispo_epsilon_high_is_the_absolute_bound_of_the_ratio() -> None:
    source = inspect.getsource(GRPOTrainer._compute_loss)
    assert "torch.clamp(coef_1, max=self.epsilon_high).detach()" in source
    assert GRPOConfig(output_dir="x", bf16=False).epsilon_high is None  # and falls back to 0.2: hence our default


def test_trl_masks_every_loss_term_with_tool_mask() -> None:
    source = inspect.getsource(GRPOTrainer._compute_loss)
    assert 'completion_mask if "tool_mask" not in inputs else completion_mask * inputs["tool_mask"]' in source


def test_trl_reads_old_logprobs_from_the_batch(tmp_path: Path) -> None:
    """A ratio away from 1 must change the loss: cached rollouts rely on their own behaviour log-probabilities."""
    trainer = tiny_trainer(tmp_path, max_steps=1, reuse_fast_rollouts=False)
    losses = []
    original = GRPOTrainer._compute_loss

    def spy(self, model, inputs):
        for shift in (0.0, 0.5):
            logps = inputs["sampling_per_token_logps"] - shift
            losses.append(float(original(self, model, {**inputs, "old_per_token_logps": logps}).detach()))
        return original(self, model, inputs)

    GRPOTrainer._compute_loss = spy
    try:
        trainer.train()
    finally:
        GRPOTrainer._compute_loss = original
    assert losses
    assert losses[0] != pytest.approx(losses[1], rel=1e-3)


def test_trl_asks_for_as_many_rows_as_a_step_has_once_a_step(tmp_path: Path) -> None:
    trainer = tiny_trainer(tmp_path, max_steps=2)
    assert [len(rows) for rows in grpo(trainer).get_train_dataloader()] == [3 * 4, 3 * 4]


def test_trl_treats_none_as_unscored_and_leaves_it_out_of_the_baseline(tmp_path: Path, monkeypatch) -> None:
    trainer = tiny_trainer(tmp_path, max_steps=1, mode="rl", problems_per_step=1)
    rewards = iter([1.0, 0.0, None, 1.0])
    original = trainer.parts.task.score
    monkeypatch.setattr(trainer.parts.task, "score", lambda e, c: type(original(e, c))(next(rewards), ""))
    trainer.train()
    advantages = list(grpo(trainer)._logs["advantages"])[-4:]
    assert advantages[2] == 0.0
    scored = torch.tensor([1.0, 0.0, 1.0])
    expected = (scored - scored.mean()) / (scored.std() + 1e-4)
    torch.testing.assert_close(torch.tensor([advantages[i] for i in (0, 1, 3)]), expected, atol=1e-4, rtol=1e-3)


def test_torch_optimisers_skip_parameters_without_a_gradient() -> None:
    weight = torch.nn.Parameter(torch.ones(3))
    optimiser = torch.optim.AdamW([weight], lr=0.1, weight_decay=0.1)
    weight.grad = torch.ones(3)
    optimiser.step()
    before = weight.detach().clone()
    weight.grad = None
    optimiser.step()
    assert torch.equal(weight, before)


def test_weights_move_only_between_two_moments_that_transformers_announces(tmp_path: Path) -> None:
    """What a checkpoint is written from stands still from a step's end until `on_pre_optimizer_step`."""
    moments: list[tuple[str, list[torch.Tensor]]] = []

    class Watch(TrainerCallback):
        def look(self, name: str, model: Any, optimizer: Any) -> None:
            state = [t for values in optimizer.state_dict()["state"].values() for t in values.values()]
            moments.append((name, [t.detach().clone() for t in (*model.parameters(), *state)]))

        def on_pre_optimizer_step(self, args, state, control, model=None, optimizer=None, **kwargs) -> None:
            self.look("before", model, optimizer)

        def on_optimizer_step(self, args, state, control, model=None, optimizer=None, **kwargs) -> None:
            self.look("after", model, optimizer)

        def on_save(self, args, state, control, model=None, optimizer=None, **kwargs) -> None:
            self.look("saved", model, optimizer)

    trainer = tiny_trainer(tmp_path, mode="rl", max_steps=3)
    trainer.add_callback(Watch())
    trainer.train()
    assert [name for name, _ in moments] == ["before", "after", "saved"] * 3
    for (name, now), (_, later) in pairwise(moments[1:]):
        assert all(map(torch.equal, now, later)) == (name != "before"), f"from {name} on"


def test_torch_counts_changes_in_place_where_no_gradient_is_kept() -> None:
    """The optimiser's fused steps are not counted, and need not be."""
    weight = torch.nn.Parameter(torch.ones(3))
    with torch.no_grad():
        weight.mul_(1.0)
        weight.detach().add_(1.0)
    assert weight._version == 2


def test_transformers_passes_a_four_dimensional_mask_on_as_it_is() -> None:
    model = tiny_model(tiny_tokenizer()).eval()
    ids = torch.tensor([[5, 6, 7, 8]])
    sees = torch.eye(4, dtype=torch.bool)[None, None]  # every token alone
    alone = model(ids, attention_mask=sees, position_ids=torch.zeros_like(ids)).logits[0]
    for i in range(4):
        single = model(ids[:, i : i + 1]).logits[0, 0]
        torch.testing.assert_close(alone[i], single, atol=1e-5, rtol=1e-4)


def test_transformers_cache_can_be_filled_and_selected_by_row() -> None:
    cache = DynamicCache(config=tiny_model(tiny_tokenizer()).config)
    keys = torch.arange(2 * 1 * 3 * 4.0).view(2, 1, 3, 4)
    cache.update(keys, keys, 0)
    cache.batch_select_indices(torch.tensor([1, 0, 1]))
    layer: Any = cache.layers[0]
    assert torch.equal(layer.keys, keys[[1, 0, 1]])


class CountingAdapter:
    """A gepa adapter whose scores are the candidate's length."""

    propose_new_texts = None

    def __init__(self) -> None:
        self.traces_wanted: list[bool] = []

    def evaluate(self, batch, candidate, capture_traces=False):
        score = min(1.0, len(candidate["a"]) / 10)
        return EvaluationBatch(["x"] * len(batch), [score] * len(batch), ["t"] * len(batch), num_metric_calls=0)

    def make_reflective_dataset(self, candidate, eval_batch, components_to_update):
        return {c: [{"n": 1}] for c in components_to_update}


class Quiet:
    def log(self, message: str) -> None: ...


def optimise(adapter, **kwargs):
    adapter.propose_new_texts = kwargs.pop("propose", lambda c, d, u: {"a": c["a"] + "!"})
    settings: dict[str, Any] = {
        "seed_candidate": {"a": "s", "b": "t"},
        "trainset": [1, 2],
        "valset": [1, 2],
        "adapter": adapter,
        "logger": Quiet(),
        "stop_callbacks": kwargs.pop("stop", lambda state: state.i >= 3),
        "raise_on_exception": True,
        **kwargs,
    }
    return gepa.optimize(**settings)


def test_gepa_sampling_strategy_may_add_carried_candidates_without_parents() -> None:
    class Carry:
        added = False

        def sample_tasks(self, state, selector, sampler, trainset):
            if not self.added:
                self.added = True
                state.update_state_with_new_program(
                    parent_program_idx=[],
                    new_program={"a": "carried!!", "b": "t"},
                    valset_evaluation=ValsetEvaluation({0: "x", 1: "x"}, {0: 0.9, 1: 0.9}),
                    run_dir=None,
                    num_metric_calls_by_discovery_of_new_program=state.total_num_evals,
                )
            parent = selector.select_candidate_idx(state)
            ids = sampler.next_minibatch_ids(trainset, state)
            return [ProposalTask(parent, state.program_candidates[parent], ids, trainset.fetch(ids))]

    result = optimise(CountingAdapter(), sampling_strategy=Carry(), reflection_minibatch_size=2)
    assert {"a": "carried!!", "b": "t"} in result.candidates
    assert any(c["a"].startswith("carried!!!") for c in result.candidates), "the carried one never became a parent"


def test_gepa_swallows_errors_of_proposers_and_goes_on() -> None:
    """Why the adapter keeps them for the fast phase to raise."""

    def fail(*_):
        raise RuntimeError("boom")

    assert len(optimise(CountingAdapter(), propose=fail).candidates) == 1


def test_gepa_skips_an_empty_proposal_without_rolling_it_out(monkeypatch) -> None:
    adapter = CountingAdapter()
    calls = []
    evaluate = adapter.evaluate
    monkeypatch.setattr(
        adapter, "evaluate", lambda b, c, capture_traces=False: calls.append(dict(c)) or evaluate(b, c, capture_traces)
    )
    optimise(adapter, propose=lambda c, d, u: {})
    assert {tuple(c.items()) for c in calls} == {(("a", "s"), ("b", "t"))}


def test_gepa_writes_no_file_without_a_run_directory(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    optimise(CountingAdapter(), run_dir=None)
    assert list(tmp_path.iterdir()) == []


def test_every_layer_of_a_cache_can_be_reordered_to_fewer_and_more_rows() -> None:
    missing = [kind for kind, layer in DYNAMIC_LAYER_TYPE_MAPPING.items() if not hasattr(layer, "reorder_cache")]
    assert not missing, f"layers of kind {missing} cannot be reordered"
    cache, keys = cast(Any, DynamicCache()), torch.arange(4.0).view(4, 1, 1, 1)
    cache.update(keys, keys, 0)
    for rows in ([1, 1, 2, 2, 3], [0, 4]):
        cache.reorder_cache(torch.tensor(rows))
    assert cache.layers[0].keys.flatten().tolist() == [1, 3]


def test_an_argument_of_a_chat_template_hides_the_function_of_its_name() -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = "{{ strftime_now('%Y') }}"
    turns = [{"role": "user", "content": "?"}]
    said = tokenizer.apply_chat_template(turns, tokenize=False, strftime_now=lambda form: f"fixed {form}")
    assert said == "fixed %Y"


def test_causal_language_models_are_known_by_the_class_of_their_configuration() -> None:
    assert LlamaConfig in MODEL_FOR_CAUSAL_LM_MAPPING
    assert PreTrainedConfig not in MODEL_FOR_CAUSAL_LM_MAPPING


def test_accelerate_takes_from_its_handler_whether_autocast_is_on(tmp_path: Path) -> None:
    accelerator = grpo(tiny_trainer(tmp_path, mode="rl")).accelerator
    accelerator.native_amp, accelerator.autocast_handler = True, AutocastKwargs(enabled=False)
    accelerator.state._mixed_precision = "bf16"
    with accelerator.autocast():
        assert not torch.is_autocast_enabled("cpu")
