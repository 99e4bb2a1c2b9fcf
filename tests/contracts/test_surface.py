"""Every part of TRL and transformers that is overridden or relied on; docs/decisions/0001 lists them all."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest
from transformers import Trainer, TrainerState
from trl import GRPOTrainer

from fastslow.slow import channel, limits, rehearsal, sharding, state, trainer, zero
from fastslow.slow.state import COUNTERS
from fastslow.slow.trainer import SlowTrainer
from tests.support.runs import tiny_trainer
from tests.support.watch import grpo

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/decisions/0001-trl-and-gepa-as-they-are.md").read_text(encoding="utf-8")

OVERRIDDEN = {
    "_prepare_inputs": ["self", "generation_batch"],
    "_get_per_token_logps_and_entropies": ["self", "model", "input_ids", "attention_mask", "logits_to_keep"],
    "get_high_entropy_mask": ["self", "entropies", "mask", "threshold"],
    "_compute_loss": ["self", "model", "inputs"],
    "_get_grad_norm": ["self", "model", "grad_norm"],
    "evaluate": ["self"],
    "_save_checkpoint": ["self", "model", "trial"],
    "_load_from_checkpoint": ["self", "resume_from_checkpoint", "model"],
    "_load_optimizer_and_scheduler": ["self", "checkpoint"],
    "_load_scaler": ["self", "checkpoint"],
    "create_optimizer": ["self", "model"],
    "_prepare_for_training": ["self", "max_steps", "train_dataloader", "resume_from_checkpoint"],
    "_load_rng_state": ["self", "checkpoint"],
    "create_model_card": ["self"],
}
"""Method -> the parameters that our override takes, as TRL or transformers names them."""

CALLED = {
    "_generate_and_score_completions": ["self", "inputs"],
    "log": ["self", "logs"],
    "add_callback": ["self", "callback"],
    "remove_callback": ["self", "callback"],
    "create_scheduler": ["self", "num_training_steps"],
}

ATTRIBUTES = {
    "_step", "_buffered_inputs", "_metrics", "_tr_loss", "_entropy_bonus_enabled", "accelerator", "args",
    "aux_loss_enabled", "beta", "callback_handler", "chat_template_kwargs", "control", "eos_token_ids",
    "lr_scheduler", "model", "model_wrapped", "num_generations", "num_iterations", "optimizer", "ref_model",
    "reward_weights",
    "router_aux_loss_coef", "scale_rewards", "state", "temperature", "top_entropy_quantile",
}  # fmt: skip
"""Attributes of TRL's and transformers' trainers that are read or set."""


def methods_of(cls: type) -> set[str]:
    return {name for name, member in vars(cls).items() if inspect.isfunction(member)}


def test_every_override_is_listed_here_and_in_the_decision() -> None:
    inherited = {name for base in SlowTrainer.__mro__[1:] for name in vars(base)}
    overrides = (methods_of(SlowTrainer) & inherited) - {"__init__"}
    assert overrides == set(OVERRIDDEN)
    missing = [name for name in (*OVERRIDDEN, *CALLED, *ATTRIBUTES) if f"`{name}`" not in PAGE]
    assert not missing, f"docs/decisions/0001 does not list {missing}"


@pytest.mark.parametrize(("name", "wanted"), [*OVERRIDDEN.items(), *CALLED.items()])
def test_each_method_still_takes_what_it_took(name: str, wanted: list[str]) -> None:
    parameters = list(inspect.signature(inspect.unwrap(getattr(GRPOTrainer, name))).parameters)
    missing = [parameter for parameter in wanted if parameter not in parameters]
    assert not missing, f"GRPOTrainer.{name} lost {missing}; it has {parameters}"


@pytest.mark.parametrize(
    "name", ["_load_from_checkpoint", "_load_optimizer_and_scheduler", "_load_scaler", "_load_rng_state"]
)
def test_transformers_loop_still_calls_what_restores_a_run(name: str) -> None:
    sources = [inspect.getsource(member) for _, member in inspect.getmembers(Trainer, inspect.isfunction)]
    assert any(f"self.{name}(" in source for source in sources), f"nothing of transformers calls {name} any more"


def test_nothing_is_relied_on_that_is_not_listed() -> None:
    """Attributes that our code reads of `self`, `trainer` or `self._trainer` and that TRL or transformers own."""
    own = methods_of(SlowTrainer) | set(vars(SlowTrainer)) | {
        "source", "listener", "_replay", "_trainer", "packing_problem", "padding", "saved", "saved_by_process", "train",
        "sharding", "blank", "updates", "adapter", "steps_done", "_fixed", "critic", "soft",
    }  # fmt: skip
    used: set[str] = set()
    for module in (trainer, state, channel, rehearsal, limits, sharding, zero):
        for node in ast.walk(ast.parse(inspect.getsource(module))):
            if isinstance(node, ast.Attribute) and _is_trainer(node.value, module is trainer):
                used.add(node.attr)
    assert used - own - set(CALLED) - ATTRIBUTES <= set(OVERRIDDEN), "list what is new above and in decision 0001"


def _is_trainer(node: ast.AST, inside: bool) -> bool:
    """Whether an expression is TRL's trainer: `trainer`, `self._trainer`, or `self` within its own class."""
    if isinstance(node, ast.Name):
        return node.id == "trainer" or (inside and node.id == "self")
    return isinstance(node, ast.Attribute) and node.attr == "_trainer"


def test_a_trainer_has_every_attribute_that_is_relied_on(tmp_path: Path) -> None:
    small = tiny_trainer(tmp_path, mode="rl", max_steps=1)
    small.train()
    missing = [name for name in ATTRIBUTES if not hasattr(grpo(small), name)]
    assert not missing, f"TRL's trainer lost {missing}"
    missing = [name for name in COUNTERS if not hasattr(grpo(small), name)]
    assert not missing, f"TRL's trainer lost the counters {missing}, which a checkpoint has to hold"


def test_the_trainer_state_is_read_back_from_the_file_we_write(tmp_path: Path) -> None:
    small = tiny_trainer(tmp_path, mode="rl", max_steps=1)
    small.train()
    (tmp_path / channel.PROGRESS).write_bytes(small.slow.progress())
    assert TrainerState.load_from_json(str(tmp_path / channel.PROGRESS)).global_step == 1


def test_nobody_outside_of_slow_touches_a_private_name_of_the_trainer() -> None:
    private = {name for name in (*OVERRIDDEN, *CALLED, *ATTRIBUTES, *COUNTERS) if name.startswith("_")}
    wrong = [
        f"{path.relative_to(ROOT)}: {node.attr}"
        for path in (ROOT / "src/fastslow").rglob("*.py")
        if path.parent.name != "slow"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and (node.attr in private or re.search(r"\bslow\._", ast.unparse(node)))
    ]
    assert not wrong, wrong
