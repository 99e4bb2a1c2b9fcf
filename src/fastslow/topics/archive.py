"""What the fast channel need never forget: for every topic of examples, the contexts that did best on it.

A topic's entry is the table of one fast phase: every context that was scored on the whole anchor set, and its score on
each of the topic's examples there. It is replaced only by a phase that scored its best context anew, so that what did
well is never pushed out unheard. Slow steps deal each question to several contexts under the same weights: how far one
did better there than the others is added to what the phase had found, at no cost and closer to the present weights.
Scores of different weights are never compared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from fastslow.contexts.population import Scores, shared_ids
from fastslow.core.types import Example

PRIOR = 4.0
"""Examples that what is known of a context from elsewhere counts for: a topic that has one or two of its own, as parts
of a finely split task may, does not go by them alone."""


@dataclass(frozen=True)
class Entry:
    """One topic's table. `overall` are the contexts' means on the whole anchor set, `examples` the topic's part of it,
    with their questions; `policy_version` is whose scores these are. `since` is of the slow steps that followed: the
    sum of a context's edges over the others, and how many there were."""

    scores: dict[str, dict[str, float]]
    overall: dict[str, float]
    examples: dict[str, Example]
    policy_version: int
    since: dict[str, tuple[float, int]] = field(default_factory=dict)

    @property
    def worth(self) -> dict[str, float]:
        """Each context against those in use since: its mean over the examples on which all were scored, drawn towards
        `overall`, then its edges, every example counting the same."""
        shared = shared_ids(self.scores)
        size = len(shared) + PRIOR
        means = {c: (sum(row[e] for e in shared) + PRIOR * self.overall[c]) / size for c, row in self.scores.items()}
        used = [means[c] for c in self.since]
        centre = fmean(used) if used else 0.0
        found = {}
        for context, value in means.items():
            edge, count = self.since.get(context, (0.0, 0))
            found[context] = (size * (value - centre) + edge) / (size + count)
        return found

    @property
    def ranked(self) -> list[str]:
        """Ids of the contexts, best first."""
        worth = self.worth
        return sorted(worth, key=lambda c: (-worth[c], c))

    def of(self, examples: Sequence[str]) -> Entry | None:
        """The table cut to some of its examples; None without a score."""
        chosen = set(examples)
        scores = {c: {e: s for e, s in row.items() if e in chosen} for c, row in self.scores.items()}
        scores = {c: row for c, row in scores.items() if row}
        examples_ = {e: example for e, example in self.examples.items() if e in chosen}
        overall = {c: self.overall[c] for c in scores}
        return Entry(scores, overall, examples_, self.policy_version) if scores else None


class Archive:
    """Entries by topic."""

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
        """Take in what a fast phase found: `scores` of every context on `anchor`."""
        shared = shared_ids(scores)
        overall = {c: fmean(row[e] for e in shared) if shared else 0.0 for c, row in scores.items()}
        rows = {c: dict(row) for c, row in scores.items()}
        table = Entry(rows, overall, {e.id: e for e in anchor}, policy_version)
        for topic, ids in _by_topic(anchor, topic_of).items():
            found, before = table.of(ids), self.entries.get(topic)
            if found is not None and (before is None or before.ranked[0] in found.scores):
                self.entries[topic] = found

    def note(self, topic: str, context_ids: Sequence[str], rewards: Sequence[float | None]) -> None:
        """Take in what one question of the topic earned in a slow step, slot by slot; None is unscored."""
        entry = self.entries.get(topic)
        by_context: dict[str, list[float]] = {}
        for context, reward in zip(context_ids, rewards, strict=True):
            if reward is not None and entry is not None and context in entry.scores:
                by_context.setdefault(context, []).append(reward)
        if entry is None or len(by_context) < 2:
            return
        means = {context: fmean(found) for context, found in by_context.items()}
        centre = fmean(means.values())
        for context, mean in means.items():
            edge, count = entry.since.get(context, (0.0, 0))
            entry.since[context] = edge + mean - centre, count + 1

    def recall(self, topics: Sequence[str], size: int) -> list[str]:
        """Up to `size` ids of the best contexts of these topics: the best of each, then the second best, and so on."""
        ranked = [self.entries[topic].ranked for topic in topics if topic in self.entries]
        turns = max(map(len, ranked), default=0)
        return list(dict.fromkeys(row[i] for i in range(turns) for row in ranked if i < len(row)))[:size]

    def best(self, topic: str) -> str | None:
        """The id of the topic's best context; None where it has no entry."""
        return self.entries[topic].ranked[0] if topic in self.entries else None

    def divide(self, topic_of: Callable[[Example], str]) -> None:
        """A topic was split after its table was made: each part takes its share of the table along."""
        for name, entry in list(self.entries.items()):
            parts = _by_topic(list(entry.examples.values()), topic_of)
            if set(parts) == {name}:
                continue
            del self.entries[name]
            for topic, ids in parts.items():
                part = entry.of(ids)
                if part is not None and (topic == name or topic not in self.entries):
                    self.entries[topic] = part

    def to_json(self) -> dict[str, Any]:
        return {
            topic: {
                "best": entry.ranked[0],
                "policy_version": entry.policy_version,
                "scores": entry.scores,
                "overall": entry.overall,
                "since": {c: list(found) for c, found in entry.since.items()},
                "examples": {e.id: {"task": e.task, "question": e.question} for e in entry.examples.values()},
            }
            for topic, entry in self.entries.items()
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Archive:
        """Raises KeyError, TypeError or ValueError for what `to_json` did not give."""
        archive = cls()
        for topic, entry in data.items():
            examples = {
                id: Example(id, e["task"], "train", ({"role": "user", "content": e["question"]},))
                for id, e in entry["examples"].items()
            }
            scores = {c: {e: float(s) for e, s in row.items()} for c, row in entry["scores"].items()}
            overall = {c: float(entry["overall"][c]) for c in scores}
            since = {c: (float(edge), int(count)) for c, (edge, count) in entry["since"].items()}
            archive.entries[topic] = Entry(scores, overall, examples, int(entry["policy_version"]), since)
        return archive


def _by_topic(examples: Sequence[Example], topic_of: Callable[[Example], str]) -> dict[str, list[str]]:
    """Ids by topic, in order of first arrival."""
    topics: dict[str, list[str]] = {}
    for example in examples:
        topics.setdefault(topic_of(example), []).append(example.id)
    return topics
