"""The settings: what follows from what, and what is refused with a way out."""

from __future__ import annotations

import copy
import inspect
import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trl import GRPOConfig

from fastslow.config.checks import warnings_of
from fastslow.config.settings import FastSlowConfig
from fastslow.core.errors import BadInput
from fastslow.core.modes import MODES
from fastslow.slow.settings import LOSSES
from tests.support.present import present


def config(**overrides) -> FastSlowConfig:
    settings: dict[str, Any] = {"bf16": False, **overrides}
    return FastSlowConfig(**settings)


def test_the_defaults_are_a_run_that_works_with_the_papers_settings() -> None:
    c = config()
    assert (c.mode, c.loss_type, c.loss_aggregation, c.router, c.proposer) == (
        "fst", "cispo", "problem", "both", "demonstrations",
    )  # fmt: skip
    assert (c.epsilon_high, c.beta, c.slow_steps_per_cycle, c.warmup_steps) == (4.0, 1e-3, 6, 10)
    assert (c.temperature, c.eval_temperature, c.report_to) == (1.0, 0.0, [])
    assert present(c.num_generations) % c.population_size == 0
    assert c.output_dir == "runs/fst-s42"


def test_the_output_directory_is_named_after_mode_and_seed_unless_given() -> None:
    assert config(mode="rl", seed=7).output_dir == "runs/rl-s7"
    assert config(output_dir="elsewhere").output_dir == "elsewhere"


def test_the_learning_rate_stays_open_until_the_models_size_is_known() -> None:
    assert config().learning_rate is None
    assert config(learning_rate=3e-5).learning_rate == 3e-5
    assert config(learning_rate=0.0).learning_rate == 0.0


def test_what_our_loop_relies_on_cannot_be_set_differently() -> None:
    c = config(shuffle_dataset=True, remove_unused_columns=True, num_generations_eval=4, gradient_accumulation_steps=3)
    assert (c.shuffle_dataset, c.remove_unused_columns, c.num_generations_eval) == (False, False, 1)
    assert c.gradient_accumulation_steps * c.per_device_train_batch_size == c.problems_per_step * present(
        c.num_generations
    )


SHAPES = {"problems": st.integers(1, 9), "group": st.integers(2, 9), "size": st.integers(1, 40)}


@given(**SHAPES)
@settings(max_examples=25, deadline=None)
def test_one_optimiser_step_takes_all_rows_of_a_step_and_no_more(problems: int, group: int, size: int) -> None:
    rows = problems * group
    c = config(
        mode="rl", problems_per_step=problems, num_generations=group, per_device_train_batch_size=size
    )  # fmt: skip
    assert c.per_device_train_batch_size * c.gradient_accumulation_steps == rows
    assert c.per_device_train_batch_size <= size
    assert c.generation_batch_size == rows, "TRL must generate once per optimiser step"
    assert c.steps_per_generation == c.gradient_accumulation_steps
    assert not any(rows % larger == 0 for larger in range(c.per_device_train_batch_size + 1, min(size, rows) + 1))


def test_rows_are_shared_out_over_the_processes(monkeypatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(BadInput, match=r"\(18\) must divide by the 4 processes"):
        config(mode="rl", problems_per_step=3, num_generations=6)
    # Further on, TRL would join the other processes.
    monkeypatch.setattr(GRPOConfig, "__post_init__", lambda self: None)
    shape = {"mode": "rl", "problems_per_step": 3, "num_generations": 6, "per_device_train_batch_size": 5}
    for processes, expected in ((1, (3, 6)), (2, (3, 3)), (3, (3, 2)), (9, (2, 1))):
        monkeypatch.setenv("WORLD_SIZE", str(processes))
        c = config(**shape)
        assert (c.per_device_train_batch_size, c.gradient_accumulation_steps) == expected


@pytest.mark.parametrize(
    ("given_", "loss_type", "expected"),
    [(None, "cispo", 4.0), (2.0, "cispo", 2.0), (1.0, "cispo", 1.0), (None, "grpo", None), (0.28, "dapo", 0.28)],
)
def test_epsilon_high_is_a_bound_for_cispo_and_a_distance_for_the_others(given_, loss_type: str, expected) -> None:
    assert config(epsilon_high=given_, loss_type=loss_type).epsilon_high == expected


@pytest.mark.parametrize("loss_type", LOSSES)
def test_every_loss_of_the_help_is_accepted_as_it_stands(loss_type: str) -> None:
    assert config(loss_type=loss_type).loss_type == loss_type


@pytest.mark.parametrize(
    ("given_", "loss_type", "expected"),
    [(None, "cispo", "token"), (None, "luspo", "sequence"), ("sequence", "luspo", "sequence"),
     (None, "grpo", "token"), ("sequence", "grpo", "sequence"), ("token", "vespo", "token")],
)  # fmt: skip
def test_ratios_are_of_the_level_that_a_loss_is_defined_for(given_, loss_type: str, expected: str) -> None:
    given_level = config(importance_sampling_level=given_, loss_type=loss_type).importance_sampling_level
    assert given_level == expected


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_is_accepted_as_it_stands(mode: str) -> None:
    assert config(mode=mode).mode == mode


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        ({"mode": "fts"}, r"unknown mode 'fts'\. Did you mean 'fst'\?"),
        ({"mode": "rl", "router": "fast"}, "mode 'rl' trains the weights alone, and router 'fast' keeps all from them"),
        ({"mode": "rl", "router": "skip"}, "mode 'rl' trains the weights alone, and router 'skip' keeps all from them"),
        ({"mode": "prompt", "router": "slow"}, "mode 'prompt' has contexts alone, and router 'slow' keeps all from"),
        ({"mode": "prompt", "router": "skip"}, "mode 'prompt' has contexts alone, and router 'skip' keeps all from"),
        ({"loss_type": "cipso"}, r"unknown loss_type 'cipso'\. Did you mean 'cispo'\?"),
        ({"packing": "yes"}, "packing is 'auto', 'on' or 'off', got 'yes'"),
        ({"loss_aggregation": "row"}, "loss_aggregation is 'problem' or 'token', got 'row'"),
        ({"use_vllm": True}, "use_vllm is not supported: "),
        ({"resume_from_checkpoint": "x"}, "say 'fastslow resume RUN'"),
        ({"save_strategy": "epoch"}, "save_strategy is 'no' or 'steps', got 'epoch'"),
        ({"save_total_limit": 2}, "keep_last, keep_every and keep_best say which"),
        ({"save_time_share": 1.5}, "save_time_share is a share from 0 to 1, got 1.5"),
        ({"keep_last": 0}, "keep_last must be at least 1, got 0"),
        ({"problems_per_step": 10**9}, "problems_per_step x num_generations is 8,000,000,000, more than 1,000,000"),
        ({"max_steps": 10**6, "problems_per_step": 1000}, "max_steps x problems_per_step is 1,000,000,000, more than"),
        ({"max_steps": 2_000_000}, "max_steps must be at most 1,000,000, got 2,000,000"),
        ({"num_generations": 1}, "num_generations must be at least 2"),
        ({"num_generations": 0}, "num_generations must be at least 1"),
        ({"importance_sampling_level": "sequence"}, "'sequence' is not for loss_type 'cispo', .* with 'token': "),
        ({"importance_sampling_level": "sequence", "loss_type": "vespo"}, "'sequence' is not for loss_type 'vespo'"),
        ({"importance_sampling_level": "token", "loss_type": "luspo"}, "'token' is not for loss_type 'luspo'"),
        ({"importance_sampling_level": "row", "loss_type": "grpo"}, "is 'token' or 'sequence', got 'row'"),
        ({"reasoning": "hide"}, "reasoning is 'auto', 'keep' or 'strip', got 'hide'"),
        (
            {"overlong_buffer": 513, "max_completion_length": 512},
            r"\(513\) .* max_completion_length \(512",
        ),
        ({"overlong_buffer": 8, "mode": "supervised"}, "mode 'supervised' learns from answers; leave it at 0"),
        ({"overlong_buffer": 8, "mode": "self_distillation"}, "learns from teacher; leave it at 0"),
        ({"epsilon_high": 0.2}, "epsilon_high .* at least 1, got 0.2; the paper uses 4"),
        ({"epsilon_high": 0.0}, "epsilon_high .* at least 1, got 0.0"),
    ],
)
def test_what_does_not_exist_or_makes_no_sense_is_refused(overrides: dict, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        config(**overrides)


@pytest.mark.parametrize(
    ("overrides", "warned"),
    [
        ({"router": "variance:0.3", "num_generations": 4}, True),
        ({"router": "variance", "num_generations": 4, "mode": "prompt_rl"}, True),
        ({"router": "variance", "num_generations": 8}, False),
        ({"router": "variance", "num_generations": 4, "mode": "rl"}, False),
        ({"router": "learned", "num_generations": 4}, False),
    ],
)
def test_a_rule_that_cannot_tell_its_two_parts_apart_is_warned_of(overrides: dict, warned: bool) -> None:
    warnings = warnings_of(config(population_size=4, **overrides))
    assert [
        w for w in warnings if "set num_generations to at least 8, or population_size to at most 2" in w
    ] == warnings
    assert bool(warnings) is warned


@pytest.mark.parametrize("value", [0, -1])
@pytest.mark.parametrize(
    "name",
    [
        "train_size", "validation_size", "population_size", "slow_steps_per_cycle", "anchor_size",
        "reflection_minibatch_size", "proposals_per_iteration", "problems_per_step", "max_steps", "eval_samples",
        "per_device_train_batch_size", "max_worked_examples",
    ],
)  # fmt: skip
def test_counts_below_one_are_refused_by_name(name: str, value: int) -> None:
    with pytest.raises(BadInput, match=f"{name} must be at least 1, got {value}"):
        config(**{name: value})


def test_a_training_size_left_open_is_no_count() -> None:
    assert config(train_size=None).train_size is None


@pytest.mark.parametrize(("population", "group", "advice"), [(4, 6, 8), (3, 8, 6), (4, 2, 8), (5, 12, 10)])
def test_contexts_that_do_not_divide_a_group_are_refused_with_advice_that_works(population, group, advice) -> None:
    shape = {"population_size": population, "fast_metric_calls": 1000}
    with pytest.raises(BadInput, match=f"try num_generations={advice}"):
        config(num_generations=group, **shape)
    assert config(num_generations=advice, **shape).num_generations == advice


def test_only_the_coupled_mode_needs_groups_that_contexts_divide() -> None:
    for mode in ("rl", "prompt"):
        assert config(mode=mode, population_size=4, num_generations=6).num_generations == 6


def test_a_fast_phase_that_cannot_pay_for_one_proposal_is_refused_at_the_very_call() -> None:
    shape = {"population_size": 2, "anchor_size": 8, "reflection_minibatch_size": 3}
    floor = (1 + 2 + 1) * 8 + 2 * 3  # seed, two contexts and the child on the anchor; parent and child on a minibatch
    assert config(fast_metric_calls=floor, **shape).fast_metric_calls == floor
    for mode in ("fst", "prompt"):
        with pytest.raises(BadInput, match=f"takes {floor}"):
            config(fast_metric_calls=floor - 1, mode=mode, **shape)
    assert config(fast_metric_calls=0, mode="rl", **shape).mode == "rl", "no fast phase, nothing to pay for"


def test_settings_are_refused_before_anything_is_written(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput):
        config(mode="fts")
    config()
    assert list(tmp_path.iterdir()) == []


def test_a_misspelt_setting_is_refused_with_the_nearest_name_and_the_class_stays_a_dataclass() -> None:
    with pytest.raises(BadInput, match=r"no setting 'learnin_rate'\. Did you mean 'learning_rate'\?"):
        FastSlowConfig(learnin_rate=1e-5)  # pyrefly: ignore[unexpected-keyword]
    with pytest.raises(BadInput, match="no setting 'zzzzqq'"):
        FastSlowConfig(zzzzqq=1)  # pyrefly: ignore[unexpected-keyword]
    assert "learning_rate" in inspect.signature(FastSlowConfig).parameters
    config = FastSlowConfig(learning_rate=1e-5)
    assert copy.deepcopy(config) == config
    assert pickle.loads(pickle.dumps(config)) == config
