"""Archive the contexts that scored best on each topic, so that the fast channel can start from them again.

The entry of a topic is the table of one fast phase: every context that was scored on the whole anchor set, with its
score on each example of the topic. A later phase replaces the entry only if that phase scored the entry's best context
again, so that a good context is never dropped without a comparison. Slow steps deal each question to several contexts
under the same weights: the difference of a context's mean reward from the others' updates its rank, at no cost and
under newer weights. Scores of different weights are never compared directly. Where evidence chooses (`lead`), the
level of each context by all its rollouts on the topic is written down while they are fresh, and ranks them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Any, TypeVar

from fastslow.contexts.population import Scores, shared_ids
from fastslow.core.types import Example

V = TypeVar("V")

PRIOR = 4.0
"""Weight of a context's mean on the whole anchor set, in examples: a topic with one or two examples, such as a part of
a finely split task, is not ranked by them alone."""


@dataclass(frozen=True)
class Entry:
    """Hold the table of one topic.

    Attributes:
        scores: context id -> example id -> score in [0, 1], for the topic's examples.
        overall: context id -> mean score on the whole anchor set.
        examples: the topic's examples by id.
        policy_version: the weights that earned the scores.
        since: context id -> (sum, count) of the context's advantages over the others in the slow steps since.
        levels: context id -> expected reward by all rollouts on the topic (`contexts.evidence`), as last known.
    """

    scores: dict[str, dict[str, float]]
    overall: dict[str, float]
    examples: dict[str, Example]
    policy_version: int
    since: dict[str, tuple[float, int]] = field(default_factory=dict)
    levels: dict[str, float] = field(default_factory=dict)

    @property
    def worth(self) -> dict[str, float]:
        """Estimate the score of each context relative to the contexts in use since.

        The estimate is the mean over the examples on which all were scored, shrunk towards `overall`, and then updated
        by the advantages in `since`; every example has the same weight.
        """
        shared = shared_ids(self.scores)
        size = len(shared) + PRIOR
        means = {c: (sum(row[e] for e in shared) + PRIOR * self.overall[c]) / size for c, row in self.scores.items()}
        used = [means[c] for c in self.since]
        centre = fmean(used) if used else 0.0
        worth = {}
        for context, value in means.items():
            advantage, count = self.since.get(context, (0.0, 0))
            worth[context] = (size * (value - centre) + advantage) / (size + count)
        return worth

    @property
    def ranked(self) -> list[str]:
        """Ids of the contexts, best first: those with a level by it, then the others by worth; ties by id."""
        worth = {c: value for c, value in self.worth.items() if c not in self.levels}
        return [c for values in (self.levels, worth) for c in sorted(values, key=lambda c: (-values[c], c))]

    def of(self, examples: Sequence[str]) -> Entry | None:
        """Return the entry restricted to these example ids; None where no context has a score on them."""
        chosen = set(examples)
        scores = {c: {e: s for e, s in row.items() if e in chosen} for c, row in self.scores.items()}
        scores = {c: row for c, row in scores.items() if row}
        examples_ = {e: example for e, example in self.examples.items() if e in chosen}
        overall = {c: self.overall[c] for c in scores}
        return Entry(scores, overall, examples_, self.policy_version) if scores else None


class Archive:
    """Hold one entry for each topic."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}

    def keep(
        self,
        scores: Mapping[str, Scores],
        anchor: Sequence[Example],
        topic_of: Callable[[Example], str],
        *,
        policy_version: int,
    ) -> None:
        """Record the scores that a fast phase gave every context on the examples of `anchor`."""
        shared = shared_ids(scores)
        overall = {c: fmean(row[e] for e in shared) if shared else 0.0 for c, row in scores.items()}
        rows = {c: dict(row) for c, row in scores.items()}
        table = Entry(rows, overall, {e.id: e for e in anchor}, policy_version)
        for topic, ids in _by_topic(anchor, topic_of).items():
            entry, before = table.of(ids), self.entries.get(topic)
            if entry is not None and (before is None or before.ranked[0] in entry.scores):
                self.entries[topic] = entry

    def note(self, topic: str, context_ids: Sequence[str], rewards: Sequence[float | None]) -> None:
        """Record the rewards of one question of the topic in a slow step, slot by slot; None is unscored."""
        entry = self.entries.get(topic)
        by_context: dict[str, list[float]] = {}
        for context, reward in zip(context_ids, rewards, strict=True):
            if reward is not None and entry is not None and context in entry.scores:
                by_context.setdefault(context, []).append(reward)
        if entry is None or len(by_context) < 2:
            return
        means = {context: fmean(scored) for context, scored in by_context.items()}
        centre = fmean(means.values())
        for context, mean in means.items():
            advantage, count = entry.since.get(context, (0.0, 0))
            entry.since[context] = advantage + mean - centre, count + 1

    def weigh(self, topic: str, levels: Mapping[str, float]) -> None:
        """Write down what all rollouts on a topic say of the contexts."""
        if topic in self.entries and levels:
            self.entries[topic] = replace(self.entries[topic], levels=dict(levels))

    def forget_levels(self) -> None:
        """Drop all levels: some were earned by weights that are gone, and rank until new ones are written down."""
        self.entries = {topic: replace(entry, levels={}) for topic, entry in self.entries.items()}

    def recall(self, topics: Sequence[str], size: int) -> list[str]:
        """Return up to `size` context ids: the best of each of these topics, then the second best of each, and so
        on."""
        ranked = [self.entries[topic].ranked for topic in topics if topic in self.entries]
        turns = max(map(len, ranked), default=0)
        return list(dict.fromkeys(row[i] for i in range(turns) for row in ranked if i < len(row)))[:size]

    def divide(self, topic_of: Callable[[Example], str]) -> None:
        """Split every entry whose examples no longer share one topic; each part gets the scores of its own examples."""
        for name, entry in list(self.entries.items()):
            parts = _by_topic(list(entry.examples.values()), topic_of)
            if set(parts) == {name}:
                continue
            del self.entries[name]
            for topic, ids in parts.items():
                part = entry.of(ids)
                if part is not None and (topic == name or topic not in self.entries):
                    self.entries[topic] = part

    def keep_only(self, context_ids: Collection[str]) -> None:
        """Drop all other contexts, and topics that are left without one."""

        def kept(rows: dict[str, V]) -> dict[str, V]:
            return {c: row for c, row in rows.items() if c in context_ids}

        for name, entry in list(self.entries.items()):
            scores = kept(entry.scores)
            self.entries[name] = replace(
                entry, scores=scores, overall=kept(entry.overall), since=kept(entry.since), levels=kept(entry.levels)
            )
            if not scores:
                del self.entries[name]

    def rename(self, prefix: str) -> None:
        """Put `prefix` before the ids of all examples."""
        for name, entry in self.entries.items():
            self.entries[name] = replace(
                entry,
                scores={c: {prefix + e: score for e, score in row.items()} for c, row in entry.scores.items()},
                examples={prefix + e: replace(x, id=prefix + e) for e, x in entry.examples.items()},
            )

    def to_json(self) -> dict[str, Any]:
        return {
            topic: {
                "best": entry.ranked[0],
                "policy_version": entry.policy_version,
                "scores": entry.scores,
                "overall": entry.overall,
                "since": {c: list(pair) for c, pair in entry.since.items()},
                **({"levels": entry.levels} if entry.levels else {}),
                "examples": {e.id: {"task": e.task, "question": e.question} for e in entry.examples.values()},
            }
            for topic, entry in self.entries.items()
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Archive:
        """Read an archive. Raises KeyError, TypeError or ValueError for anything that `to_json` did not return."""
        archive = cls()
        for topic, entry in data.items():
            examples = {
                id: Example(id, e["task"], "train", ({"role": "user", "content": e["question"]},))
                for id, e in entry["examples"].items()
            }
            scores = {c: {e: float(s) for e, s in row.items()} for c, row in entry["scores"].items()}
            overall = {c: float(entry["overall"][c]) for c in scores}
            since = {c: (float(total), int(count)) for c, (total, count) in entry["since"].items()}
            levels = {c: float(level) for c, level in entry.get("levels", {}).items()}
            archive.entries[topic] = Entry(scores, overall, examples, int(entry["policy_version"]), since, levels)
        return archive


def _by_topic(examples: Sequence[Example], topic_of: Callable[[Example], str]) -> dict[str, list[str]]:
    """Group the ids of the examples by topic, in order of first arrival."""
    topics: dict[str, list[str]] = {}
    for example in examples:
        topics.setdefault(topic_of(example), []).append(example.id)
    return topics
