"""Read a policy: what a candidate has to show before it may take the baseline's place.

A policy is a YAML file, written before anything is measured. Its digest is that of the file's bytes; a verdict names
it, so that a promotion can tell whether the policy was changed afterwards.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from fastslow.config.reading import read_value
from fastslow.config.recipe import parse_words, read_bytes
from fastslow.core.errors import BadInput
from fastslow.core.registry import nearest
from fastslow.core.settings import SettingsGroup, check_settings, setting, specs_of
from fastslow.tasks.task_set import spelled_once

G = TypeVar("G", bound=SettingsGroup)
LEAST_MARGIN = 1e-4
"""A smaller margin is a typing error: no number of questions shows it, and the arithmetic of the tests ends there."""
LEAST_SAMPLES = 4
"""Fewest samples of a question at a temperature above 0: pairs share the question, not the luck of the draw."""


@dataclass
class Rules(SettingsGroup):
    """How every check is made."""

    title = "Rules"

    alpha: float = setting(0.05, "Chance of a false release that each check may take.", above=0, at_most=0.25)
    looks: int = setting(4, "Times that the answers are looked at; 1: once, at the end.", at_least=1, at_most=20)
    questions: int = setting(400, "Most questions of each task.", unit="questions", at_least=2, at_most=1_000_000)
    margin: float = setting(
        0.05, "Drop in accuracy that counts as none, where a task names no margin of its own.", unit="share",
        at_least=LEAST_MARGIN, at_most=1,
    )  # fmt: skip
    contexts: str = setting(
        "lead", "The context that is released: lead, or chosen by the question: cluster, nearest, retrieved.",
        choices=("lead", "seed", "cluster", "nearest", "retrieved"),
    )  # fmt: skip
    samples: int = setting(1, "Answers to each question.", unit="samples", at_least=1, at_most=1000)
    temperature: float = setting(0.0, "Temperature of the answers; 0 is greedy.", at_least=0, at_most=100)
    top_p: float = setting(1.0, "Top-p of the answers.", unit="probability", above=0, at_most=1)

    def check(self) -> None:
        if self.temperature and self.samples < LEAST_SAMPLES:
            raise BadInput(
                f"temperature {self.temperature:g} needs samples of at least {LEAST_SAMPLES}: else luck decides. "
                "Take temperature 0, or more samples."
            )


@dataclass
class Gain(SettingsGroup):
    """A task on which the candidate has to be better."""

    title = "gain"

    task: str = setting("", "Name of the task.")
    min_gain: float = setting(0.0, "The true gain in accuracy has to be above this.", at_least=0, at_most=0.99)
    questions: int | None = setting(None, "Most questions (default: of the rules).", at_least=2, at_most=1_000_000)


@dataclass
class Retain(SettingsGroup):
    """A task on which the candidate may not be worse by the margin or more."""

    title = "retain"

    task: str = setting("", "Name of the task.")
    margin: float | None = setting(
        None, "Drop that counts as none (default: of the rules).", at_least=LEAST_MARGIN, at_most=1
    )
    chance: float = setting(0.0, "Accuracy of guessing: a baseline that guesses cannot lose.", at_least=0, at_most=0.99)
    questions: int | None = setting(None, "Most questions (default: of the rules).", at_least=2, at_most=1_000_000)


@dataclass
class Prose(SettingsGroup):
    """Bits per byte of prose that nobody trained on."""

    title = "prose"

    max_rise: float = setting(0.01, "The true rise has to be below this.", unit="share", above=0, at_most=10)
    text: str | None = setting(None, "A text file (default: Python's own help, pydoc_data.topics).")
    bytes: int = setting(32_768, "Bytes of the text that are read.", unit="bytes", at_least=4096, at_most=100_000_000)


@dataclass
class Neutral(SettingsGroup):
    """KL divergence from the base weights on prompts that belong to no task."""

    title = "neutral"

    max_kl: float = setting(0.1, "Most nats per token.", unit="nats per token", above=0, at_most=1000)
    prompts: str | None = setting(None, "A file with one prompt a line (default: 32 of ours).")
    tokens: int = setting(48, "Longest answers on which it is measured.", unit="tokens", at_least=1, at_most=100_000)


@dataclass
class Samples(SettingsGroup):
    """Answers that another program scored: lm-eval's --log_samples, or `fastslow eval --samples_file`."""

    title = "samples"

    name: str = setting("", "What the check is called.")
    candidate: str = setting("", "The candidate's file.")
    baseline: str = setting("", "The baseline's file.")
    metric: str = setting("acc", "The column with the score, from 0 to 1.")
    filter: str = setting("", "Which of lm-eval's filters is read, where a file has several.")
    margin: float | None = setting(
        None, "Drop that counts as none (default: of the rules).", at_least=LEAST_MARGIN, at_most=1
    )


@dataclass
class Limits(SettingsGroup):
    """Figures that are compared as they are measured, without an error rate."""

    title = "limits"

    unscored: float = setting(0.01, "Most answers that could not be scored.", unit="share", at_least=0, at_most=0.5)
    kl: float | None = setting(None, "Most KL from the base on each task's questions.", above=0, at_most=1000)
    added_prompt_tokens: float | None = setting(
        None, "Most tokens by which prompts grow on average.", unit="tokens", at_least=0, at_most=1_000_000
    )
    latency_rise: float | None = setting(
        None, "Most by which the 95th percentile of the seconds for one question grows.", unit="share", at_least=0,
        at_most=1000,
    )  # fmt: skip


@dataclass(frozen=True)
class Policy:
    """A policy as read. `digest` is the SHA-256 of `text`, the bytes of its file."""

    rules: Rules
    gain: tuple[Gain, ...]
    retain: tuple[Retain, ...]
    prose: Prose | None
    neutral: Neutral | None
    samples: tuple[Samples, ...]
    limits: Limits
    text: str
    digest: str
    given: frozenset[str] = field(default_factory=frozenset)

    def margins(self) -> dict[str, float]:
        """Return the margin of every task that a candidate has to keep, the tasks of `gain` included: whoever is
        released for a task has to keep it from then on."""
        gained = {spelled_once(one.task): self.rules.margin for one in self.gain}
        return gained | {spelled_once(one.task): self.margin_of(one) for one in self.retain}

    def margin_of(self, one: Retain | Samples) -> float:
        return self.rules.margin if one.margin is None else one.margin

    def questions_of(self, one: Gain | Retain) -> int:
        return self.rules.questions if one.questions is None else one.questions


def read_policy(path: str | Path) -> Policy:
    """Read a policy file. Raises BadInput naming what is wrong and where."""
    return parse_policy(read_bytes(path, "policy"), f"policy '{path}'")


def parse_policy(content: bytes, what: str) -> Policy:
    """Read the bytes of a policy; `what` names them where they are refused. Raises BadInput."""
    words = parse_words(content, what)
    sections = {"gain", "retain", "general", "limits"}
    known = {f.name for f in fields(Rules)} | sections
    for name in words:
        if name not in known:
            raise BadInput(f"{what} has no '{name}'.{nearest(name, known)}")
    general = _mapping(words.get("general"), f"{what}, general")
    for name in general:
        if name not in ("prose", "neutral", "samples"):
            raise BadInput(f"{what}, general: there is no '{name}'.{nearest(name, ('prose', 'neutral', 'samples'))}")
    policy = Policy(
        rules=_read(Rules, {k: v for k, v in words.items() if k not in sections}, what),
        gain=_list(Gain, words.get("gain"), f"{what}, gain", "task"),
        retain=_list(Retain, words.get("retain"), f"{what}, retain", "task"),
        prose=_optional(Prose, general, "prose", what),
        neutral=_optional(Neutral, general, "neutral", what),
        samples=_list(Samples, general.get("samples"), f"{what}, samples", "name", "candidate", "baseline"),
        limits=_read(Limits, _mapping(words.get("limits"), f"{what}, limits"), f"{what}, limits"),
        text=content.decode("utf-8"),
        digest=hashlib.sha256(content).hexdigest(),
        given=frozenset(words),
    )
    _check_once([*(("gain", g.task) for g in policy.gain), *(("retain", r.task) for r in policy.retain)], what)
    return policy


def _read(group: type[G], words: Mapping[str, Any], what: str) -> G:
    hints, values = get_type_hints(group), {}
    known = specs_of(group)
    for name, word in words.items():
        if name not in known:
            raise BadInput(f"{what}: there is no '{name}'.{nearest(name, known)}")
        try:
            values[name] = read_value(word, hints[name])
        except ValueError as error:
            raise BadInput(f"{what}: {name} {error}.") from None
    made = group(**values)
    try:
        check_settings(made, known)
        made.check()
    except BadInput as error:
        raise BadInput(f"{what}: {error}") from None
    return made


def _list(group: type[G], words: Any, what: str, *required: str) -> tuple[G, ...]:
    if words is None or getattr(words, "null", False):
        return ()
    if not isinstance(words, list):
        raise BadInput(f"{what} must be a list: a line '- {required[0]}: NAME' for each.")
    read = tuple(_read(group, _mapping(word, f"{what} {i}"), f"{what} {i}") for i, word in enumerate(words, start=1))
    for i, one in enumerate(read, start=1):
        missing = next((name for name in required if not getattr(one, name)), None)
        if missing is not None:
            raise BadInput(f"{what} {i} names no {missing}.")
    return read


def _optional(group: type[G], words: Mapping[str, Any], name: str, what: str) -> G | None:
    if name not in words:
        return None
    return _read(group, _mapping(words[name], f"{what}, {name}"), f"{what}, {name}")


def _mapping(words: Any, what: str) -> Mapping[str, Any]:
    if words is None or getattr(words, "null", False):
        return {}
    if not isinstance(words, dict):
        raise BadInput(f"{what} must hold 'name: value' lines.")
    return {str(name): value for name, value in words.items()}


def _check_once(named: list[tuple[str, str]], what: str) -> None:
    """Refuse a task that stands twice in one list: two margins for one task contradict each other."""
    seen: set[tuple[str, str]] = set()
    for section, task in named:
        if (key := (section, spelled_once(task))) in seen:
            raise BadInput(f"{what}: '{task}' stands twice in {section}.")
        seen.add(key)
