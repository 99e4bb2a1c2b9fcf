"""What distilling relies on in TRL's experimental SDFT; docs/decisions/0001 lists it."""

from __future__ import annotations

import dataclasses
import inspect
from pathlib import Path

import pytest
from trl.experimental.sdft import SDFTConfig, SDFTTrainer
from trl.experimental.sdft.sdft_trainer import DemonstrationTeacherContextBuilder

from fastslow.slow import distill
from fastslow.slow.distill import DistillTrainer, TeacherPrompts

PAGE = Path(__file__).parents[2] / "docs/decisions/0001-trl-and-gepa-as-they-are.md"

OVERRIDDEN = {
    "_tokenize_prompts": ["self", "prompts"],
    "_generate": ["self", "prompt_ids"],
    "_forward_logits": ["self", "model", "input_ids", "attention_mask", "logits_to_keep"],
    "_log_self_distillation_metric": ["self", "mode", "value"],
    "create_model_card": ["self"],
}
"""Method -> the parameters that our override takes, as TRL names them."""

SETTINGS = (
    "output_dir", "max_steps", "per_device_train_batch_size", "gradient_accumulation_steps", "learning_rate",
    "lr_scheduler_type", "warmup_steps", "weight_decay", "max_grad_norm", "bf16", "fp16", "seed",
    "gradient_checkpointing", "logging_steps", "save_strategy", "report_to", "disable_tqdm", "dataloader_pin_memory",
    "shuffle_dataset",
    "num_generations", "max_prompt_length", "max_completion_length", "temperature", "distillation_alpha",
    "distillation_mode", "distillation_topk", "distillation_add_tail", "distillation_is_clip", "teacher_model_kind",
)  # fmt: skip


def source(method: str) -> str:
    return inspect.getsource(getattr(SDFTTrainer, method))


def test_every_override_is_listed_here_and_in_the_decision() -> None:
    inherited = {name for base in DistillTrainer.__mro__[1:] for name in vars(base)}
    own = {name for name, member in vars(DistillTrainer).items() if inspect.isfunction(member)}
    assert (own & inherited) - {"__init__"} == set(OVERRIDDEN)
    page = PAGE.read_text(encoding="utf-8")
    missing = [name for name in (*OVERRIDDEN, "_compose_teacher_prompt") if f"`{name}`" not in page]
    assert not missing, f"docs/decisions/0001 does not list {missing}"


@pytest.mark.parametrize(("name", "wanted"), OVERRIDDEN.items())
def test_each_overridden_method_still_takes_what_it_took(name: str, wanted: list[str]) -> None:
    parameters = list(inspect.signature(inspect.unwrap(getattr(SDFTTrainer, name))).parameters)
    missing = [parameter for parameter in wanted if parameter not in parameters]
    assert not missing, f"SDFTTrainer.{name} lost {missing}; it has {parameters}"


def test_the_teachers_prompt_is_still_composed_where_it_is_overridden() -> None:
    parameters = inspect.signature(DemonstrationTeacherContextBuilder._compose_teacher_prompt).parameters
    assert list(parameters) == ["self", "prompt", "privileged_context"]
    assert "self._compose_teacher_prompt(" in inspect.getsource(DemonstrationTeacherContextBuilder.build)
    assert issubclass(TeacherPrompts, DemonstrationTeacherContextBuilder)


def test_every_setting_still_exists() -> None:
    known = {field.name for field in dataclasses.fields(SDFTConfig)}
    missing = [name for name in SETTINGS if name not in known]
    assert not missing, f"SDFTConfig lost {missing}"
    used = inspect.getsource(distill._arguments)
    assert all(f"{name}=" in used for name in SETTINGS), "a setting that is not used any more is listed above"


def test_the_loss_is_computed_by_what_is_overridden_from_the_teacher_that_was_set() -> None:
    assert "self.teacher_model, inputs" in source("compute_loss")
    assert "torch.no_grad()" in source("_compute_teacher_student_logits")
    assert source("_compute_teacher_student_logits").count("self._forward_logits(") == 2
    assert "self._generate(" in source("sample_rollouts")
    assert "self._tokenize_prompts(" in source("sample_rollouts")
    assert "self.teacher_context_builder.build(" in source("_prepare_training_batch")


def test_a_live_teacher_makes_no_model_and_switches_no_adapters() -> None:
    setup, context = source("_setup_teacher_model"), source("_get_teacher_context_for_self_distillation")
    assert 'if teacher_model_kind == "live":\n            self.teacher_model = self.model\n            return' in setup
    assert 'if teacher_model_kind == "base":' in context
    assert context.rstrip().endswith("return nullcontext()")
