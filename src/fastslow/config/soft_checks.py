"""Check what soft contexts do not go with, before anything runs."""

from __future__ import annotations

from fastslow.config.groups import AllSettings
from fastslow.core.errors import BadInput
from fastslow.core.machine import all_processes
from fastslow.core.modes import MODES


def check_soft(config: AllSettings) -> None:
    """Refuse what means nothing with soft contexts, or what they were not built for. Raises BadInput."""
    if config.fast_weights == "text":
        return
    mode, named = MODES[config.mode], f"fast_weights '{config.fast_weights}'"
    if not mode.fast:
        raise BadInput(f"{named} is about contexts, and mode '{config.mode}' has none; leave it at text.")
    if mode.when != "between" or mode.has_teacher:
        raise BadInput(
            f"{named} is for the modes fst and prompt, not for '{config.mode}': set mode, or leave it at text."
        )
    if config.fast_weights == "both" and config.population_size < 2:
        raise BadInput(f"{named} needs a place for each kind, and population_size is 1: set it to at least 2.")
    if all_processes() > 1:
        raise BadInput(f"{named} is trained by one process so far, and there are {all_processes()}: start only one.")
    for name, usual, why in _UNFIT:
        if getattr(config, name) != usual:
            raise BadInput(f"{name} '{getattr(config, name)}' {why}, and this run has {named}: leave it at {usual}.")
    if config.router == "fast":
        raise BadInput(
            f"router 'fast' keeps all rollouts from what trains rows, and this run has {named}: leave it at both."
        )
    if config.retention_floor is not None and config.retention_action == "rollback":
        raise BadInput(f"retention_action 'rollback' takes up weights without {named}: take another retention_action.")
    if not mode.slow and config.lora_r:
        raise BadInput(f"lora_r is about weights, which mode '{config.mode}' with {named} freezes; leave it out.")


_UNFIT = (
    ("engine", "transformers", "cannot be sent rows beside an embedding"),
    ("clusters", "none", "keeps contexts for later, whose rows may be gone by then"),
    ("prefix_gradient", "full", "keeps gradients from the rows"),
    ("advantages", "group", "was not tried with rows"),
    ("adapter_stages", "one", "trains others in each stage"),
    ("repetition_penalty", 1.0, "looks ids up in the vocabulary, which rows are not in"),
    ("fp16", False, "scales gradients, which the rows' own optimiser does not know"),
    ("from_bundle", "", "goes on with contexts of text"),
)
"""Settings that soft contexts do not go with: the only value allowed, and why."""
