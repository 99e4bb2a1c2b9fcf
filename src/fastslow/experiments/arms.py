"""Name the ways to adapt a model that `fastslow continual --arms` puts on one protocol, each a set of settings.

Every arm is an ordinary run: the same questions, scorers, evaluations, checkpoints and bundles. What differs is which
channel learns, from what, through which weights. `docs/alternatives.md` says when to take which.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastslow.core.errors import BadInput
from fastslow.core.registry import nearest


@dataclass(frozen=True)
class WayToAdapt:
    """One arm.

    Attributes:
        title: what it is, in the field's words.
        settings: what it sets beyond the recipe.
        rate: factor on the recipe's learning rate: adapters need a higher one than whole weights.
    """

    title: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    rate: float = 1.0


ADAPTERS = 10.0
"""What adapters need times the learning rate of whole weights (Schulman et al. 2025, "LoRA Without Regret")."""

ARMS: dict[str, WayToAdapt] = {
    "fst": WayToAdapt("both channels", {"mode": "fst"}),
    "fst_told": WayToAdapt("both channels, contexts for each task by its label", {"mode": "fst", "clusters": "labels"}),
    "fst_inferred": WayToAdapt(
        "both channels, contexts for each kind of question, without labels",
        {"mode": "fst", "labels": "hidden", "clusters": "inferred"},
    ),
    "fst_earned": WayToAdapt(
        "the same; the plain prompt has all slots until contexts are surely better",
        {
            "mode": "fst", "labels": "hidden", "clusters": "inferred", "lead": "evidence", "slots": "earned",
            "fast_effort": "adaptive",
        },
    ),
    "prompt": WayToAdapt("contexts alone, weights frozen", {"mode": "prompt"}),
    "rl": WayToAdapt("plain RL on every weight", {"mode": "rl"}),
    "rl_kl": WayToAdapt("RL held near the base by a KL term", {"mode": "rl", "beta": 0.05}),
    "rl_replay": WayToAdapt("RL with a share of earlier questions", {"mode": "rl", "rehearsal_share": 0.25}),
    "rl_lora": WayToAdapt("RL on one LoRA adapter", {"mode": "rl", "lora_r": 16}, rate=ADAPTERS),
    "rl_lora_stack": WayToAdapt(
        "RL on a new LoRA adapter for each stage, the older ones frozen and summed",
        {"mode": "rl", "lora_r": 16, "adapter_stages": "stack"}, rate=ADAPTERS,
    ),
    "merge": WayToAdapt(
        "RL on a new LoRA adapter for each stage, merged by TIES",
        {"mode": "rl", "lora_r": 16, "adapter_stages": "merge"}, rate=ADAPTERS,
    ),
    "rl_jumplora": WayToAdapt(
        "RL on adapters whose small entries are gated to zero (JumpLoRA)",
        {"mode": "rl", "lora_r": 16, "adapter": "jumplora"}, rate=ADAPTERS,
    ),
    "rl_shira": WayToAdapt(
        "RL on as many single entries of the weights, drawn at random (SHiRA)",
        {"mode": "rl", "lora_r": 16, "adapter": "shira"}, rate=ADAPTERS,
    ),
    "rl_osf": WayToAdapt(
        "RL in the directions that the weights use least (OSF)",
        {"mode": "rl", "lora_r": 16, "adapter": "osf"}, rate=ADAPTERS,
    ),
    "rl_corda": WayToAdapt(
        "RL on an adapter in the directions that known answers use least (CorDA)",
        {"mode": "rl", "lora_r": 16, "adapter": "corda"},
    ),
    "sft": WayToAdapt("supervised fine-tuning on the data's answers", {"mode": "supervised"}),
    "sft_replay": WayToAdapt(
        "the same with a share of earlier questions", {"mode": "supervised", "rehearsal_share": 0.25}
    ),
    "sft_lora": WayToAdapt(
        "supervised fine-tuning of one LoRA adapter", {"mode": "supervised", "lora_r": 16}, rate=ADAPTERS
    ),
    "rft": WayToAdapt("fine-tuning on the model's own right answers", {"mode": "rejection"}),
    "sdft": WayToAdapt(
        "self-distillation: the model judges its answers with the right one before it", {"mode": "self_distillation"}
    ),
    "fst_consolidated": WayToAdapt("both channels, contexts drawn into the weights", {"mode": "consolidate"}),
    "rag": WayToAdapt("retrieval: similar questions with their answers, nothing learns", {"mode": "retrieval"}),
    "joint": WayToAdapt("plain RL on all tasks at once: a ceiling", {"mode": "rl", "stream": "mixture"}),
    "joint_sft": WayToAdapt(
        "supervised fine-tuning on all tasks at once: a ceiling", {"mode": "supervised", "stream": "mixture"}
    ),
}  # fmt: skip


def parse_arms(
    asked: Sequence[str], own: Mapping[str, Any] | None, *, learning_rate: float | None
) -> dict[str, dict[str, Any]]:
    """Return arm -> settings for the arms that are asked for.

    Args:
        asked: names from `ARMS` or of the recipe.
        own: the recipe's arms, name -> settings; those of a name in `ARMS` are laid over its settings.
        learning_rate: of the recipe; None where it leaves the choice to the model's size.

    Raises:
        BadInput: for a name that does not exist, and where a learning rate is needed and not given.
    """
    own = {str(name).strip(): settings for name, settings in (own or {}).items()}
    names = list(dict.fromkeys(filter(None, (str(name).strip() for name in asked))))
    if not names:
        raise BadInput(f"name at least one arm of {', '.join([*ARMS, *own])}.")
    return {name: _settings(name, own, learning_rate) for name in names}


def _settings(name: str, own: Mapping[str, Any], learning_rate: float | None) -> dict[str, Any]:
    if name not in ARMS and name not in own:
        raise BadInput(f"unknown arm '{name}'.{nearest(name, [*ARMS, *own])}")
    layered = own.get(name) or {}
    if not isinstance(layered, Mapping):
        raise BadInput(f"arm '{name}' must hold 'setting: value' lines.")
    arm = ARMS.get(name)
    if arm is None:
        return dict(layered)
    settings = dict(arm.settings)
    if arm.rate != 1.0 and "learning_rate" not in layered:
        if learning_rate is None:
            raise BadInput(
                f"arm '{name}' learns at {arm.rate:g} times the learning rate of whole weights; give learning_rate in "
                "the recipe."
            )
        settings["learning_rate"] = arm.rate * learning_rate
    return settings | dict(layered)
