"""Begin a run where another one ended: with its weights, contexts, archive, clusters and router, on other tasks."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from fastslow.bundles.bundle import has_topics, read_settings, read_topics
from fastslow.bundles.digest import verified_files
from fastslow.bundles.soft import soft_members
from fastslow.config.settings import FastSlowConfig
from fastslow.contexts.population import Population
from fastslow.contexts.storage import read_population
from fastslow.core.errors import BadInput
from fastslow.core.foreign import Failed
from fastslow.core.modes import MODES
from fastslow.fast.proposers.validate import HeldOut, copy_problem
from fastslow.files.plain import read_plain
from fastslow.policy.loading import resolve_model
from fastslow.routers import RouteDecider
from fastslow.slow.channel import SlowChannel
from fastslow.topics.topics import Topics


class Predecessor:
    """Hold what is known of the bundle that a run starts from; nothing but small files is read before it is taken up.

    Args:
        config: of the run that begins; `from_bundle` names the bundle, or a finished run.

    Raises:
        BadInput: where there is no bundle, where it is of another base model, or where its weights have another form.
    """

    def __init__(self, config: FastSlowConfig):
        self.name = config.from_bundle
        self.folder, self.settings = read_settings(self.name)
        self._config = config
        own, theirs = resolve_model(config.model), resolve_model(self.settings["model"])
        if own.path != theirs.path:
            raise BadInput(
                f"from_bundle: '{self.name}' was trained from '{self.settings['model']}', and this run's model is "
                f"'{config.model}'; the base stays the same: --model {self.settings['model']}."
            )
        rank, alpha = self._adapters()
        if rank != config.lora_r:
            was = f"LoRA adapters of rank {rank}" if rank else "whole weights"
            raise BadInput(
                f"from_bundle: '{self.name}' holds {was}, and this run's lora_r is {config.lora_r}; set it to {rank}, "
                f"or take the bundle as a new base where it holds whole weights: --model {self.folder}."
            )
        if rank and alpha != config.lora_alpha:
            raise BadInput(
                f"from_bundle: the adapters of '{self.name}' are added with lora_alpha {alpha}, and this run's is "
                f"{config.lora_alpha}, which would add them {config.lora_alpha / alpha:g} times: --lora_alpha {alpha}."
            )
        self.population = read_population(self.folder)
        if soft_members(self.population):
            raise BadInput(
                f"from_bundle: '{self.name}' has soft contexts in use, and a run goes on with contexts of text; begin "
                "from one with fast_weights text."
            )

    def _adapters(self) -> tuple[int, int]:
        """Return rank and alpha of the bundle's adapters, 0 for whole weights."""
        file = self.folder / "adapter_config.json"
        try:
            told = json.loads(read_plain(file)) if file.exists() else {"r": 0, "lora_alpha": 0}
            return int(told["r"]), int(told["lora_alpha"])
        except (ValueError, KeyError, TypeError) as error:
            raise BadInput(f"'{file}' is damaged ({type(error).__name__}: {error}).") from error

    def contexts(self, start: Population, held_out: HeldOut) -> Population:
        """Return a population with the seed context and the size of `start` and the contexts of the bundle, the best
        first. Left behind are scores, which belong to other examples, and contexts that show what this run holds out.

        A mode whose weights learn without contexts, or before them, knows the others and uses the seed context alone.
        """
        fit = {
            context.id: context
            for context in self.population.known.values()
            if copy_problem(context, context.worked_examples, held_out) is None
        }
        mode = MODES[self._config.mode]
        used = self.population.members if mode.fast and mode.when != "after" else []
        members = [context for context in used if context.id in fit]
        return replace(start, members=members[: start.size] or [start.seed], known={**fit, **start.known})

    def load_weights(self, slow: SlowChannel) -> None:
        """Set the weights to those of the bundle. Raises BadInput where they do not fit or cannot be read."""
        if slow.sharding.of_weights:
            raise BadInput("from_bundle needs whole weights on every process, and here they are cut up among them.")
        verified_files(self.folder)
        files = sorted(self.folder.glob("*model*.safetensors"))
        try:
            saved = {name: weight for file in files for name, weight in load_file(file).items()}
        except (OSError, SafetensorError) as error:
            raise BadInput(f"the weights of '{self.folder}' cannot be read ({error}).") from error
        wanted = slow.weights
        # peft leaves the adapter's name out of the names in its files.
        found = {name: saved.get(name, saved.get(name.replace(".default.", "."))) for name in wanted}
        # Buffers that the file does not hold are computed from the configuration.
        trained = {name for name, _ in slow.model.named_parameters()}
        missing = next((name for name, weight in found.items() if weight is None and name in trained), None)
        if missing is not None:
            raise BadInput(f"the weights of '{self.folder}' lack '{missing}'.")
        slow.copy_weights(
            {name: wanted[name] if held is None else _as(held, wanted[name]) for name, held in found.items()}
        )

    def load_topics(self, topics: Topics, context_ids: Collection[str], held_out: HeldOut) -> None:
        """Take up clusters, and of the archive these contexts, where this run has topics of the same kind; and what was
        kept to be retrieved, but for what this run holds out, where both retrieve."""
        ours, theirs = MODES[self._config.mode], MODES[self.settings["mode"]]
        if theirs.retrieves:
            if topics.shelf is not None:
                earlier = read_topics(self.folder, self.settings, trusted=False).shelf
                assert earlier is not None
                topics.shelf.add(w for w in earlier.answers if held_out.copied_into_example(w) is None)
            return
        alike = all(self.settings.get(name) == getattr(self._config, name) for name in ("clusters", "embedder"))
        if not (has_topics(self.settings) and ours.fast and alike):
            return
        try:
            topics.read(self.folder)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, SafetensorError) as error:
            raise BadInput(f"the archive of '{self.folder}' is damaged ({type(error).__name__}: {error}).") from error
        topics.begin_anew(context_ids)

    def load_router(self, router: RouteDecider) -> None:
        """Take up the router's state where it is the same rule."""
        if self.settings.get("router") != self._config.router:
            return
        file = self.folder / "router.json"
        try:
            state: Any = json.loads(read_plain(file))
            router.load_state_dict(state)
            router.begin_anew()
        except (OSError, ValueError, KeyError, TypeError, AttributeError, Failed) as error:
            raise BadInput(f"'{file}' is damaged ({type(error).__name__}: {error}).") from error


def predecessor(config: FastSlowConfig) -> Predecessor | None:
    """Return what the settings say the run starts from; None for a run that starts from its base."""
    return Predecessor(config) if config.from_bundle else None


def gone(config: FastSlowConfig) -> bool:
    """Return whether the bundle that a run started from is no longer there: a resumed run needs it no more."""
    return bool(config.from_bundle) and not Path(config.from_bundle).exists()


def _as(weight: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    return weight.to(dtype=like.dtype, device=like.device)
