"""Read and write what a server needs of a bundle besides its weights: contexts, topics, version (contexts.json)."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jinja2
import jinja2.meta
from transformers import PreTrainedTokenizerBase

from fastslow.bundles.bundle import MOST, chooses_without_labels, read_settings, read_topics
from fastslow.bundles.contexts import own_chat
from fastslow.bundles.digest import bundle_digest
from fastslow.contexts.context import Context
from fastslow.contexts.population import Population
from fastslow.contexts.storage import read_population
from fastslow.core.errors import BadInput, in_one_line, quoted
from fastslow.export.template import ARGUMENT
from fastslow.files.manifest import digest, files_of
from fastslow.files.plain import problem_with, read_plain
from fastslow.files.run_directory import to_json
from fastslow.policy.loading import ModelSource, load_tokenizer
from fastslow.policy.settings import LEAST_TEMPERATURE, MOST_TEMPERATURE, is_temperature
from fastslow.topics.topics import CHOOSING, Topics

CONTEXTS = "contexts.json"
FORMAT = 2
VERSION = 12
"""Digits of a bundle's SHA-256 that name its version, as in a registry."""

UNCHECKED = ("README.md", "Modelfile", CONTEXTS)
"""Files of an exported folder that people edit, and the one that holds the SHA-256 of the others."""

GATED = ("lead", "seed", *CHOOSING)
"""Contexts that a gate may measure (`gate.policy.Rules.contexts`)."""

OF_TOPICS = ("mode", "clusters", "embedder")
"""Settings of the run that its topics are read by."""


@dataclass(frozen=True)
class Release:
    """What a server needs of a bundle besides its weights.

    Attributes:
        version: the beginning of the SHA-256 of the bundle's files.
        base_model: what training started from: a hub id, or the name of a folder.
        population: the contexts, the lead first.
        topics: choose a context by the question; None where the run had no topics that can.
        system_role: whether the chat template shows a system turn.
        template_arguments: names of the arguments that the model's own chat template reads.
        answers: how answers are sampled: `temperature`, `top_p`, `max_new_tokens`.
        in_template: whether the folder's chat template holds the contexts.
        seed: the seed context; None where the folder does not hold it.
        gated: the contexts that the gate measured: `lead`, `seed`, `cluster` or `nearest`; None where no verdict is
            known.
    """

    version: str
    base_model: str
    population: Population
    topics: Topics | None
    system_role: bool
    template_arguments: frozenset[str]
    answers: Mapping[str, float]
    in_template: bool = False
    seed: Context | None = None
    gated: str | None = None


def open_release(folder: str | Path, *, choosing: bool = False, trusted: bool = False) -> Release:
    """Open a bundle, a run directory or an exported folder; with `choosing`, with the topics that choose contexts.

    Raises BadInput for what is missing or damaged, and with `choosing` where contexts cannot be chosen by the question.
    """
    path = Path(folder)
    if os.path.isfile(path / CONTEXTS):
        return _read(path, choosing=choosing, trusted=trusted)
    path, settings = read_settings(path)
    version = bundle_digest(path)[:VERSION]  # first: it refuses files without an end
    return describe(
        load_tokenizer(ModelSource(str(path), str(path))),
        settings,
        version=version,
        population=read_population(path),
        topics=open_topics(path, settings, trusted=trusted) if choosing else None,
    )


def describe(
    tokenizer: PreTrainedTokenizerBase,
    settings: Mapping[str, Any],
    *,
    version: str,
    population: Population,
    topics: Topics | None,
) -> Release:
    """Return the release of a bundle whose tokenizer and settings are these. Raises BadInput for settings by which no
    server can sample."""
    return Release(
        version=version,
        base_model=_shown(settings["model"]),
        population=population,
        topics=topics,
        system_role=own_chat(tokenizer, settings).system_role,
        template_arguments=template_arguments(tokenizer),
        answers=_answers(
            temperature=settings["eval_temperature"],
            top_p=settings["eval_top_p"],
            max_new_tokens=settings["max_completion_length"],
        ),
        seed=population.seed,
    )


def _answers(**answers: float) -> dict[str, float]:
    """Return how answers are sampled, as numbers. Raises BadInput for what no server can sample by."""
    temperature, top_p, tokens = (float(answers[name]) for name in ("temperature", "top_p", "max_new_tokens"))
    if not (is_temperature(temperature) and 0 < top_p <= 1 and 1 <= tokens <= MOST and tokens.is_integer()):
        raise BadInput(
            f"the bundle asks for answers of {tokens:g} tokens at temperature {temperature:g} and top-p {top_p:g}, "
            f"which cannot be sampled: temperature 0, or {LEAST_TEMPERATURE:g} to {MOST_TEMPERATURE:g}, top-p above 0 "
            "and at most 1. Mend eval_temperature and eval_top_p, or train again."
        )
    return {"temperature": temperature, "top_p": top_p, "max_new_tokens": tokens}


def _shown(model: str) -> str:
    """Return the name of a model without the way to it on this machine."""
    return Path(model).name if Path(model).is_absolute() else model


def open_topics(folder: Path, settings: Mapping[str, Any], *, trusted: bool) -> Topics:
    """Return topics that can tell a new question's topic. Raises BadInput where there are none."""
    if settings["clusters"] == "labels" and not chooses_without_labels(settings):
        raise BadInput(
            "this run's topics were labels, and a request has none: contexts are chosen by the question only after a "
            "run with --clusters inferred. Take --choose lead."
        )
    return read_topics(folder, settings, trusted=trusted)


def template_arguments(tokenizer: PreTrainedTokenizerBase) -> frozenset[str]:
    """Return the names that the tokenizer's chat templates read, without those that every caller sets itself."""
    templates: Any = tokenizer.chat_template
    environment = jinja2.Environment(extensions=["jinja2.ext.loopcontrols"])
    names: set[str] = set()
    for template in [templates] if isinstance(templates, str) else templates.values():
        # A tag of transformers' own, which marks what the assistant said and reads nothing.
        plain = re.sub(r"{%-?\s*(?:end)?generation\s*-?%}", "", template)
        names |= jinja2.meta.find_undeclared_variables(environment.parse(plain))
    return frozenset(names - SET_BY_CALLERS - set(tokenizer.special_tokens_map))


SET_BY_CALLERS = frozenset(
    ("messages", "tools", "documents", "add_generation_prompt", "chat_template", "tokenize", "raise_exception",
     "strftime_now", "bos_token", "eos_token", "pad_token", "unk_token", ARGUMENT)
)  # fmt: skip


def write_release(
    folder: Path, release: Release, settings: Mapping[str, Any], contexts: Sequence[Context], default: Context
) -> None:
    """Write the topics, where there are any, and contexts.json, with the SHA-256 of what else is in the folder."""
    topics = None
    if release.topics is not None:
        topics = {name: settings[name] for name in OF_TOPICS}
        release.topics.write(folder)
    content = {
        "format": FORMAT,
        "version": release.version,
        "base_model": release.base_model,
        "lead": release.population.lead.id,
        "seed": release.seed.id if release.seed is not None and release.seed in contexts else None,
        "default": default.id,
        "gated": release.gated,
        "contexts": [context.to_json() for context in contexts],
        "system_role": release.system_role,
        "template_arguments": sorted(release.template_arguments),
        "answers": dict(release.answers),
        "topics": topics,
        "in_template": release.in_template,
        "files": {name: digest(path) for name, path in files_of(folder).items() if name not in UNCHECKED},
    }
    (folder / CONTEXTS).write_bytes(to_json(content, indent=2))


def gated_of(folder: str | Path) -> str | None:
    """Return the contexts that the gate measured, as an exported folder says; None where it names no verdict, and for
    what is no exported folder. Raises BadInput for one that is damaged."""
    path = Path(folder)
    return _parsed(path)[1].gated if os.path.isfile(path / CONTEXTS) else None


def _parsed(folder: Path) -> tuple[dict[str, Any], Release]:
    """Return contexts.json, and the release that it describes, without topics. Raises BadInput."""
    file = folder / CONTEXTS
    try:
        data = json.loads(read_plain(file))
        if data["format"] != FORMAT:
            raise ValueError(f"format {data['format']!r:.20}, and this version reads {FORMAT}; export the bundle again")
        known = {context.id: context for context in map(Context.from_json, data["contexts"])}
        lead = known[data["lead"]]
        for context in known.values():
            _ = context.worked_examples  # a ValueError now, and not at the first request
        seed = known[data["seed"]] if data["seed"] is not None else None
        if data["gated"] not in (None, *GATED):
            raise ValueError(f"no gate measures '{quoted(data['gated'], 20)}'")
        for texts in (
            data["files"],
            {} if data["topics"] is None else {name: data["topics"][name] for name in OF_TOPICS},
        ):
            if not all(isinstance(text, str) for text in texts.values()):
                raise ValueError("'files' and 'topics' must hold texts")
        release = Release(
            version=str(data["version"]),
            base_model=str(data["base_model"]),
            population=Population(size=1, seed=seed or lead, members=[lead], known=known),
            topics=None,
            system_role=bool(data["system_role"]),
            template_arguments=frozenset(map(str, data["template_arguments"])),
            answers=_answers(**data["answers"]),
            in_template=bool(data["in_template"]),
            seed=seed,
            gated=data["gated"],
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise BadInput(f"'{file}' is damaged ({in_one_line(error)}).") from error
    return data, release


def _foreign(folder: Path, written: Mapping[str, str]) -> str | None:
    """Return what is wrong with the first file that is not as it was exported, with its name; None where all are."""
    there = files_of(folder)
    for name, sha256 in written.items():
        path = there.get(name)  # of the folder's own files alone: a name may lead anywhere
        problem = "is missing" if path is None else problem_with(path)
        if path is not None and problem is None and digest(path) != sha256:
            problem = "is not the file that was exported (SHA-256 differs)"
        if problem is not None:
            return f"'{folder / quoted(name)}' {problem}"
    return None


def _read(folder: Path, *, choosing: bool, trusted: bool) -> Release:
    data, release = _parsed(folder)
    topics = data["topics"]
    try:
        wrong = _foreign(folder, data["files"])
    except OSError as error:
        raise BadInput(f"'{folder}' cannot be read: {error.strerror or error}.") from error
    if wrong is not None:
        raise BadInput(
            f"{wrong}: weights, template and contexts of different versions do not belong together. Export the bundle "
            "again."
        )
    if not choosing:
        return release
    if topics is None:
        raise BadInput(
            f"'{folder}' holds no topics, so that contexts cannot be chosen by the question; export a run with "
            "--clusters inferred and --contexts all, or take --choose lead."
        )
    settings = {"labels": "hidden", "task": "", "tasks": None, "seed": 0, **{name: topics[name] for name in OF_TOPICS}}
    return replace(release, topics=open_topics(folder, settings, trusted=trusted))
