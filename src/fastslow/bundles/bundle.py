"""Write and open bundles. A bundle is what a user ships: weights, tokenizer, population, router state, provenance."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peft import PeftModel
from safetensors import SafetensorError
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from fastslow.bundles.digest import verified_files
from fastslow.bundles.soft import read_soft, write_soft
from fastslow.contexts.population import Population
from fastslow.contexts.storage import read_population, write_state
from fastslow.core.errors import BadInput
from fastslow.core.modes import MODES
from fastslow.core.paths import place_after_move, relocated
from fastslow.files import atomic
from fastslow.files.plain import read_plain
from fastslow.files.run_directory import RunDirectory
from fastslow.policy.base_model import BaseModel, adapters_off, frozen_copy
from fastslow.policy.loading import ModelSource, load_model, load_tokenizer, resolve_model
from fastslow.policy.pairing import make_fit
from fastslow.policy.settings import TEMPLATE_DATE, moment_of
from fastslow.streams.labels import Labels
from fastslow.tasks.base import Task
from fastslow.tasks.names import with_paths
from fastslow.tasks.resolve import foreign_code, resolve_task
from fastslow.tasks.task_set import TaskSet, spelled_once
from fastslow.topics.archive import Archive
from fastslow.topics.clusters import Clusters
from fastslow.topics.embedders import make_embedder
from fastslow.topics.settings import OURS
from fastslow.topics.shelf import Shelf
from fastslow.topics.topics import Topics

DTYPES = ("float32", "bfloat16", "float16")
"""Types that answers may be computed in, by torch's names."""

MOST = 1_000_000
"""Samples or tokens that a bundle may ask for: more fills the memory before anything is measured."""


@dataclass(frozen=True)
class Bundle:
    """A loaded bundle. `settings` are those of the run that made the bundle; `topics` chooses contexts by the question,
    and is None unless `open_bundle` was asked for it."""

    model: PreTrainedModel
    base: BaseModel
    tokenizer: PreTrainedTokenizerBase
    population: Population
    topics: Topics | None
    settings: dict[str, Any]


def write_bundle(
    path: Path,
    *,
    model: Any,
    tokenizer: Any,
    population: Population,
    router: dict[str, Any],
    topics: Topics,
    base_name: str,
) -> None:
    """Write safetensors and JSON into `path`, as a whole or not at all; nothing in it executes when it is loaded.

    `bundle.json`, with the run's settings and what was measured, makes it complete.
    """
    aside = path.with_name(path.name + ".tmp")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    model.save_pretrained(aside)
    tokenizer.save_pretrained(aside)
    (aside / "README.md").unlink(missing_ok=True)  # peft's template, which holds no information
    adapters = aside / "adapter_config.json"
    if adapters.exists():  # peft names the base by its path on this machine
        named = json.loads(adapters.read_text(encoding="utf-8")) | {"base_model_name_or_path": base_name}
        adapters.write_text(json.dumps(named, indent=2) + "\n", encoding="utf-8")
    write_state(aside, population, router)
    topics.write(aside)
    write_soft(aside, model, tokenizer, population)
    for_every_reader(aside, like=aside / "config.json" if (aside / "config.json").exists() else adapters)
    for entry in aside.rglob("*"):  # checkpoints go once the run is done: the bundle must outlive a power cut
        atomic.sync(entry)
    atomic.sync(aside)
    atomic.put_in_place(aside, path)  # a run that was stopped by a signal and then resumed has an older bundle there


def for_every_reader(folder: Path, *, like: Path) -> None:
    """Give weights the permissions of the file `like`: safetensors writes them for their owner's eyes alone, and a
    server may run as somebody else."""
    for entry in folder.glob("*.safetensors"):
        entry.chmod(like.stat().st_mode)


def open_bundle(path: str | Path, *, choosing: bool = False, trusted: bool = False) -> Bundle:
    """Load a bundle folder, or the bundle of a run directory; with `choosing`, also the topics that choose contexts by
    the question. Raises BadInput naming what is missing or damaged, before anything is loaded."""
    folder, settings = read_settings(path)
    verified_files(folder)
    base_name = settings["model"]
    source = ModelSource(str(folder), str(folder))
    population, tokenizer = read_population(folder), load_tokenizer(source)
    topics = read_topics(folder, settings, trusted=trusted) if choosing else None
    if (folder / "adapter_config.json").is_file():
        model: Any = PeftModel.from_pretrained(load_model(resolve_model(base_name)), str(folder))
        make_fit(model, tokenizer, saves=False)
        read_soft(folder, model, population)
        return Bundle(model, adapters_off(model), tokenizer, population, topics, settings)
    model = load_model(source)
    make_fit(model, tokenizer, saves=False)
    soft = read_soft(folder, model, population)

    def load_base() -> PreTrainedModel:
        base = load_model(resolve_model(base_name))
        if soft is not None:
            soft.attach(base)
        return base

    base = frozen_copy(load_base)
    return Bundle(model, base, tokenizer, population, topics, settings)


def read_settings(path: str | Path) -> tuple[Path, dict[str, Any]]:
    """Return the folder of a bundle, or of the bundle of a run directory, and the checked settings of its run.

    Raises BadInput naming what is missing or damaged, and for a base model that is not where the settings say.
    """
    folder, settings = settings_of(path)
    return folder, _found(settings, folder)


def settings_of(path: str | Path) -> tuple[Path, dict[str, Any]]:
    """Return the same without a look at what the settings name: its paths are those of the machine of the run."""
    folder = Path(path)
    folder = folder / "bundle" if os.path.isdir(folder / "bundle") else folder
    try:
        settings = _checked_settings(json.loads(read_plain(folder / "bundle.json"))["settings"])
    except FileNotFoundError:
        raise BadInput(f"'{path}' holds no bundle (no bundle.json); {_no_bundle(folder)}.") from None
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise BadInput(f"'{folder / 'bundle.json'}' is damaged ({type(error).__name__}: {error}).") from error
    return folder, settings


def _no_bundle(folder: Path) -> str:
    """Explain how to get a bundle: a run that is over cannot make one any more, as its weights are gone."""
    if (folder / "summary.json").is_file() and (folder / "config.yaml").is_file():
        return (
            "its run kept no weights (save_bundle: false). Train it again: fastslow train --config "
            f"{folder / 'config.yaml'} --save_bundle true --output_dir ANOTHER"
        )
    return "give a finished run or its bundle/ folder"


def has_topics(settings: Mapping[str, Any]) -> bool:
    """Return whether a run chose contexts by the question."""
    if MODES[settings["mode"]].retrieves:
        return True
    return settings["clusters"] in ("labels", "inferred") and MODES[settings["mode"]].fast


def chooses_without_labels(settings: Mapping[str, Any]) -> bool:
    """Return whether a run's contexts can be chosen by a question alone, which has no label."""
    return has_topics(settings) and (MODES[settings["mode"]].retrieves or settings["clusters"] == "inferred")


def read_topics(folder: Path, settings: Mapping[str, Any], *, trusted: bool) -> Topics:
    """Load the topics by which contexts are chosen. Raises BadInput for a run whose topics had no contexts of their
    own, for files that are damaged, and for an embedder that is not on this machine or, unless trusted, is not one of
    ours."""
    if not has_topics(settings):
        raise BadInput(
            "contexts are chosen by the question only where a run's topics had contexts of their own (--clusters "
            "inferred or labels) or answers are retrieved (--mode retrieval); this run's had none."
        )
    labels = Labels(settings["labels"], tasks=tasks_of(settings), seed=settings["seed"])
    retrieves = MODES[settings["mode"]].retrieves
    topics = Topics(
        labels=labels, stream=None, archive=None if retrieves else Archive(), shelf=Shelf(1, 1) if retrieves else None
    )
    if settings["clusters"] == "inferred":
        if not trusted and settings["embedder"] not in OURS:
            raise BadInput(
                f"the bundle names the embedder '{settings['embedder']}', which may run code of its maker's choice; if "
                "you trust it, say --trust_task."
            )
        topics.clusters = Clusters(make_embedder(settings["embedder"]))
    try:
        topics.read(folder)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, SafetensorError) as error:
        raise BadInput(f"the archive of '{folder}' is damaged ({type(error).__name__}: {error}).") from error
    return topics


def usual_kinds(settings: Mapping[str, Any]) -> list[str]:
    """Return the kinds of context that an evaluation measures where none are named."""
    return ["seed", "retrieved"] if MODES[settings["mode"]].retrieves else ["seed", "lead", "mean"]


def check_kind(bundle: Bundle, kind: str) -> None:
    """Refuse a way of choosing contexts by the question that the run of an open bundle did not have. Raises
    BadInput."""
    kinds = bundle.topics.kinds if bundle.topics is not None else []
    if kind not in kinds:
        other = f"take '{kinds[0]}'" if kinds else "take 'lead'"
        raise BadInput(f"this run does not choose contexts by '{kind}'; {other}.")


def _checked_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Check the settings of a run that an evaluation reads (fields with `in_bundle`).

    Raises ValueError, KeyError or TypeError: a bundle may have been edited by hand.
    """
    # Bundles of one task may be older than these settings.
    newer = {"tasks": None, "labels": "visible", "clusters": "none", "embedder": "minilm", "dtype": None,
             "template_date": TEMPLATE_DATE, "reasoning": "keep", "max_turns": 1}  # fmt: skip
    checked: dict[str, Any] = {**newer, **settings}
    for name in ("mode", "model", "task", "labels", "clusters", "embedder", "template_date", "reasoning"):
        if not isinstance(checked[name], str):
            raise ValueError(f"'{name}' must be text")
    moment_of(checked["template_date"])
    if checked["dtype"] not in (None, *DTYPES):
        raise ValueError(f"'dtype' must be one of {', '.join(DTYPES)}")
    _check_questions(checked)
    ancestors = checked.get("ancestors", [])
    if not isinstance(ancestors, list) or not all(isinstance(one, dict) for one in ancestors):
        raise ValueError("'ancestors' must be a list of settings")
    for one in ancestors:
        if not isinstance(one.get("unknown", ""), str):
            raise ValueError("'unknown' must be text")
        if "unknown" not in one:
            _check_questions(one)
    least_one = ("max_completion_length", "eval_samples", "max_turns")
    for name in ("seed", *least_one):
        _check_whole(name, checked[name], 1 if name in least_one else 0, MOST if name in least_one else None)
    for name in ("eval_temperature", "eval_top_p"):
        if isinstance(checked[name], bool) or not isinstance(checked[name], (int, float)):
            raise ValueError(f"'{name}' must be a number")
        float(checked[name])  # OverflowError: a whole number of hundreds of digits
    return checked


def _check_questions(settings: Mapping[str, Any]) -> None:
    """Check the settings that say which questions a run had. Raises ValueError or KeyError."""
    if not isinstance(settings["task"], str):
        raise ValueError("'task' must be text")
    tasks = settings["tasks"] or []
    if not isinstance(tasks, list) or not all(isinstance(name, str) for name in tasks):
        raise ValueError("'tasks' must be a list of names")
    if settings["train_size"] is not None and type(settings["train_size"]) is not int:
        raise ValueError("'train_size' must be a whole number or null")
    for name in ("validation_size", "test_size", "data_seed"):
        _check_whole(name, settings[name], 0)
    _check_whole("questions_taken", settings.get("questions_taken", 0), 0)


def _check_whole(name: str, value: Any, least: int, most: int | None = None) -> None:
    if type(value) is not int or value < least or (most and value > most):
        limit = f", at most {most}" if most else ""
        raise ValueError(f"'{name}' must be a whole number, at least {least}{limit}")


def with_places(settings: Mapping[str, Any], find: Callable[[str], str]) -> dict[str, Any]:
    """Return the settings of a run with the files of its tasks, and of those of its ancestors, where `find` says."""
    found = dict(settings)
    if settings.get("tasks"):  # `task` is then the name of the set, which is no task's
        found["tasks"] = [with_paths(name, find) for name in settings["tasks"]]
    elif settings.get("task"):
        found["task"] = with_paths(settings["task"], find)
    if settings.get("ancestors"):
        found["ancestors"] = [with_places(one, find) for one in settings["ancestors"]]
    return found


def _found(settings: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return the settings with paths as they are after a move of the run with what it names.

    Raises BadInput, naming both places, for a model that is at neither.
    """
    run = RunDirectory(folder.absolute().parent)
    was, now = run.written_to(), str(run.path)

    def find(path: str) -> str:
        return relocated(path, was=was, now=now)

    model = find(settings["model"])
    if os.path.isabs(model) and not os.path.exists(model):
        other = place_after_move(model, was=was, now=now)
        also = f" nor '{other}'" if other not in (None, model) else ""
        raise BadInput(f"the base model of '{folder}' is not at '{model}'{also}; put its folder back.")
    return {**with_places(settings, find), "model": model}


def tasks_of(settings: Mapping[str, Any]) -> list[str]:
    """Return the names of the tasks that a bundle was trained on."""
    return list(settings["tasks"] or [settings["task"]])


def check_openable(name: str, settings: Mapping[str, Any], *, trusted: bool) -> None:
    """Refuse a task that no name leads to, and one that imports code by a dotted path, unless whoever evaluates trusts
    it: a bundle may come from anybody. Raises BadInput."""
    if settings.get("task_object") is True and name == settings["task"]:
        raise BadInput(
            f"the run trained on the task '{name}' as an object given in Python, which no name leads to: write a "
            "function that returns it, and evaluate with --tasks package.module:function. What has to know the "
            "training questions (a gate) needs a run trained with that name as its task."
        )
    if not trusted and foreign_code(name):
        raise BadInput(
            f"the bundle names the task '{name}', which runs code of its maker's choice; "
            "if you trust it, say --trust_task, or name a task yourself with --tasks."
        )


def open_task(name: str, settings: Mapping[str, Any], *, trusted: bool) -> Task:
    """Open a task with the splits that it had in the run with these settings, however its name is spelled.

    Raises BadInput as `check_openable` does, and for what is no task.
    """
    check_openable(name, settings, trusted=trusted)
    own = [spelled_once(task) for task in settings.get("tasks") or ()]
    number = own.index(spelled_once(name)) if spelled_once(name) in own else None
    name = name if number is None else settings["tasks"][number]
    check_openable(name, settings, trusted=trusted)
    sizes = {size: settings[size] for size in ("train_size", "validation_size", "test_size", "data_seed")}
    task = resolve_task(name, **sizes)
    return task if number is None else TaskSet([task], first=number)
