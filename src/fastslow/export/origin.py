"""Say in a model card how the model was made: its base and licence, what was trained, on which task and data."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastslow.bundles.bundle import tasks_of
from fastslow.bundles.digest import BUNDLE
from fastslow.core.errors import BadInput
from fastslow.core.modes import MODES, Mode, Source
from fastslow.export.markdown import code, listed, task_without_folders
from fastslow.files.plain import read_plain
from fastslow.policy.loading import EMBEDDED, EMBEDDED_HUB_ID, EMBEDDED_LICENCE
from fastslow.tasks.names import short_names
from fastslow.tasks.spec import parse_spec

HUB_ID = re.compile(r"(?:[\w-][\w.-]*/)?[\w-][\w.-]*")

LICENCES = {EMBEDDED_HUB_ID: EMBEDDED_LICENCE}
"""Licences of base models, as the hub spells them: only of those that fastslow names itself."""

LEARNED: Mapping[Source, str] = {
    "rewards": "trained by reinforcement learning, on the scores of the model's own answers",
    "answers": "trained by supervised fine-tuning, on the right answers of the data",
    "successes": "trained by fine-tuning on those of the model's own answers that earned full reward (rejection "
    "sampling)",
    "teacher": "trained by self-distillation: the model that was shown the right answer taught the model that was not",
}
"""How the weights learned, by what they follow."""

SEARCHED = {
    "between": "between the training steps",
    "before": "before the weights were trained",
    "after": "after the weights were trained",
}

SOURCES = {
    "reasoning_gym": "made by a generator of the library reasoning-gym",
    "star_graph": "made by fastslow's generator of star graphs",
    "codeio": "from the CodeI/O data of the library reasoning-gym",
    "polaris": "from the data set Polaris",
    "physics": "from the data set SciKnowEval",
    "jsonl": "from a file of whoever trained the model",
    "hf": "from a data set, a file or a folder that whoever trained the model named",
}
"""Where a family's questions come from. Of the others the name alone is known."""

MOST_NAMED = 3
"""Tasks that a title names; more are counted."""


@dataclass(frozen=True)
class Origin:
    """How a bundle was made, as its bundle.json says.

    Attributes:
        settings: those of the run.
        accuracy: mean score at the end of the run on its validation questions, by context: `seed` and `lead`, and with
            `base_` before them those of the base model; without what was not measured.
        steps: optimiser steps; None where the file does not say.
        distilled: whether contexts were distilled into the weights after the run.
    """

    settings: Mapping[str, Any]
    accuracy: Mapping[str, float]
    steps: int | None
    distilled: bool

    @property
    def mode(self) -> Mode:
        return MODES[self.settings["mode"]]

    @property
    def measured(self) -> bool:
        """Whether answers were measured as the settings say: a distillation measures before and after."""
        return bool(self.accuracy) or self.distilled

    @property
    def hub_id(self) -> str | None:
        """The base model's id on the hub; None for a folder, whose name says nothing to anybody else."""
        name = self.settings["model"]
        if name == EMBEDDED:
            return EMBEDDED_HUB_ID
        return name if HUB_ID.fullmatch(name) and not os.path.exists(name) else None

    @property
    def licence(self) -> str | None:
        """The base model's licence; None where fastslow does not know it."""
        return LICENCES.get(self.hub_id or "")

    @property
    def base(self) -> str:
        """What a reader calls the base model: its id on the hub, or the name of its folder."""
        return self.hub_id or Path(self.settings["model"]).name


def read_origin(folder: Path, settings: Mapping[str, Any]) -> Origin:
    """Return how the bundle in a folder was made. Of bundle.json everything but the settings may be missing."""
    data = json.loads(read_plain(folder / BUNDLE))
    accuracy, steps = data.get("accuracy"), data.get("steps")
    values = accuracy.items() if isinstance(accuracy, dict) else ()
    return Origin(
        settings=settings,
        accuracy={name: value for name, value in values if isinstance(value, (int, float)) and 0 <= value <= 1},
        steps=steps if type(steps) is int else None,
        distilled=bool(data.get("distilled")),
    )


def title(origin: Origin, version: str) -> str:
    """Return the card's first line. Where nothing learned, nothing was adapted."""
    names = list(short_names(map(task_without_folders, tasks_of(origin.settings))).values())
    tasks = listed([code(name) for name in names]) if len(names) <= MOST_NAMED else f"{len(names)} tasks"
    name = Path(origin.settings["model"]).name
    name = name if HUB_ID.fullmatch(name) else code(name)
    learned = origin.mode.slow or origin.mode.fast or origin.distilled
    return f"# {name} {version}, {f'adapted to {tasks} by fastslow' if learned else f'from a fastslow run on {tasks}'}"


def making(origin: Origin, *, plain: bool = False) -> str:
    """Say what was trained, of weights and contexts apart, and under which licence the base stands; `plain` where the
    context is the one that the run began with."""
    mode = origin.mode
    lines = [f"- Base model: {code(origin.base)}. {_licence(origin)}", f"- Weights: {_weights(origin)}."]
    if mode.fast and plain:
        lines.append(
            "- Context (what stands before every question): the one that the run began with. An evolutionary search "
            "for others was part of the run."
        )
    elif mode.fast:
        when = f", {SEARCHED[mode.when]}" if mode.slow else ""
        lines.append(
            "- Context (the instruction and worked examples that stand before every question): found by an "
            f"evolutionary search{when}."
        )
    elif mode.retrieves:
        lines.append("- Context: nothing was learned; the run put answers to similar questions before a new one.")
    else:
        lines.append("- Context (what stands before every question): the one that the run began with.")
    return "\n".join(lines)


def _licence(origin: Origin) -> str:
    if origin.licence:
        return f"Its licence, {origin.licence}, applies to this model as well."
    return "Its licence applies to this model as well, and is not recorded here: look it up before you pass this on."


def _weights(origin: Origin) -> str:
    mode = origin.mode
    if not mode.slow:
        words = "not trained in this run"
    elif origin.steps == 0:
        words = "not trained: the run made no training step"
    else:
        words = LEARNED[mode.learns_from]
        if mode.consolidates:
            words += "; the last steps of every cycle taught them to answer without the contexts as they did under them"
    return words + ("; after the run its contexts were distilled into them" if origin.distilled else "")


def data(origin: Origin) -> str:
    """Say what the model was made to do, and where the questions came from."""
    lines = ["The model is to answer the questions of:", ""]
    for name in tasks_of(origin.settings):
        source = _source(name) if not origin.settings.get("task_object") else ""
        lines.append(f"- {code(task_without_folders(name))}{source and f': questions {source}'}")
    return "\n".join([*lines, "", _sizes(origin.settings)])


def _source(name: str) -> str:
    try:
        spec = parse_spec(name)
    except BadInput:
        return ""
    if spec.params.get("path") == "sample":
        return "that come with fastslow as a sample"
    if "path" in spec.params and spec.family in ("polaris", "physics"):
        return "from a file of whoever trained the model"
    return SOURCES.get(spec.family, "")


def _sizes(settings: Mapping[str, Any]) -> str:
    """Say how many questions a run asked its tasks for. How many a file then had is in no bundle."""
    uses = {"train_size": "to train on", "validation_size": "to validate on", "test_size": "held out for tests"}
    sizes = [f"{settings[name]} {use}" for name, use in uses.items() if settings[name] is not None]
    each = " of each task" if len(tasks_of(settings)) > 1 else ""
    return f"The run asked for these numbers of questions{each}, or as many as there are: {', '.join(sizes)}."
