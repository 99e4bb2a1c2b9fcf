"""What the learner knows of its stream: which examples belong together, and what the fast channel had found for them.

Examples are grouped by label, by cluster, or not at all (`labels` and `clusters` in the settings). Where topics have
contexts of their own, a fast phase starts from those of the topics at hand, and an evaluation chooses among them by the
question: `cluster` takes the best context of the question's topic, `nearest` the one that did best on the most similar
of that topic's scored questions.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import load_file, save_file

from fastslow.contexts.context import Context, WorkedExample
from fastslow.contexts.population import Population, Scores
from fastslow.core.types import Example, GroupEvidence
from fastslow.files.state import dumps, flatten, rebuild
from fastslow.streams.epochs import Stream
from fastslow.streams.labels import Labels
from fastslow.topics.archive import Archive, Entry
from fastslow.topics.clusters import Clusters, Observation

NEIGHBOURS = 5
"""Scored questions that `nearest` goes by: about the root of an anchor set of 16 to 32."""

ARCHIVE, CLUSTERS, VECTORS = "archive.json", "clusters.json", "clusters.safetensors"


@dataclass
class Topics:
    """Labels, clusters (None: the labels are the topics) and archive (None: one population for all topics).

    `material` are training examples with their verified answers, `stream` is where examples come from, None for a
    learner that is done with it.
    """

    labels: Labels
    stream: Stream | None
    clusters: Clusters | None = None
    archive: Archive | None = None
    material: Sequence[tuple[Example, WorkedExample]] = field(default_factory=list)

    def of(self, example: Example) -> str:
        """What the learner knows the example by; '' where nothing is."""
        return self.clusters.of(example) if self.clusters is not None else self.labels.of(example)

    def observe(self, until: int) -> Iterator[Observation]:
        """Have the clusters take in all batches before step `until` that they have not seen."""
        while self.clusters is not None and self.stream is not None and self.clusters.observed < until:
            found = self.clusters.observe(self.stream.batch(self.clusters.observed))
            if found.opened and self.archive is not None:
                self.archive.divide(self.clusters.of)
            yield found

    # For a fast phase, and after it

    def anchor(self, ahead: Sequence[Example], size: int) -> list[Example]:
        """The first `size` of the lookahead; where topics have contexts of their own, of each topic in turn."""
        if self.archive is None:
            return list(ahead[:size])
        by_topic = list(self._by_topic(ahead).values())
        turns = max(map(len, by_topic), default=0)
        return [some[i] for i in range(turns) for some in by_topic if i < len(some)][:size]

    def recalled(self, population: Population, ahead: Sequence[Example]) -> Population:
        """The population that a phase starts from: the best contexts of the topics at hand first."""
        if self.archive is None:
            return population
        known = self.archive.recall(list(self._by_topic(ahead)), population.size)
        return population.starting_from([population.archive[c] for c in known])

    def keep(self, scores: Mapping[str, Scores], anchor: Sequence[Example], *, policy_version: int) -> None:
        """Take in what a phase found on its anchor set."""
        if self.archive is not None:
            self.archive.keep(scores, anchor, self.of, policy_version=policy_version)

    def note(self, evidence: Sequence[GroupEvidence]) -> None:
        """Take in what a slow step found."""
        if self.archive is not None:
            for one in evidence:
                self.archive.note(one.task, one.context_ids_G, one.rewards_G)

    def demonstrations(self, examples: Sequence[Example], until: int) -> list[WorkedExample]:
        """Verified answers of the topics that these examples are of. Where labels do not say which examples those are,
        only what has arrived before step `until` is known."""
        told = self.clusters is None and not self.labels.hidden
        stream = self.stream
        batches = (stream.batch(step) for step in range(until)) if stream is not None else ()
        arrived = None if told else {e.id for batch in batches for e in batch}
        by_topic: dict[str, list[WorkedExample]] = {}
        for example, worked in self.material:
            if arrived is None or example.id in arrived:
                by_topic.setdefault(self.of(example), []).append(worked)
        return [worked for topic in self._by_topic(examples) for worked in by_topic.get(topic, ())]

    def _by_topic(self, examples: Sequence[Example]) -> dict[str, list[Example]]:
        topics: dict[str, list[Example]] = {}
        for example in examples:
            topics.setdefault(self.of(example), []).append(example)
        return topics

    # For an evaluation

    @property
    def kinds(self) -> list[str]:
        """The ways to choose a context by the question."""
        if self.archive is None:
            return []
        return ["cluster"] if self.clusters is None else ["cluster", "nearest"]

    def choose(self, kind: str, population: Population, example: Example) -> Context:
        """The context for a question not seen before, one of `kinds`; the lead where nothing is known of its like."""
        name = self.entry_name(example)
        if name is None or self.archive is None:
            return population.lead
        entry = self.archive.entries[name]
        near = self._neighbours(entry, example) if kind == "nearest" else None
        return population.archive[near.ranked[0] if near is not None else entry.ranked[0]]

    def entry_name(self, example: Example) -> str | None:
        """The nearest topic that the archive has something for; with labels, the example's own or none."""
        if self.archive is None:
            return None
        near = [self.labels.of(example)] if self.clusters is None else self.clusters.by_distance(example)
        return next((topic for topic in near if topic in self.archive.entries), None)

    def _neighbours(self, entry: Entry, example: Example) -> Entry | None:
        if self.clusters is None:
            return None
        known = list(entry.examples.values())
        distances = ((self.clusters.vectors(known) - self.clusters.vectors([example])) ** 2).sum(1)
        near = entry.of([known[i].id for i in np.argsort(distances, kind="stable")[:NEIGHBOURS]])
        return replace(near, overall=entry.worth) if near is not None else None

    def owners(self) -> dict[str, str]:
        """Which task most scored examples of each topic are of: the truth, for evaluations and for nobody else."""
        entries = self.archive.entries if self.archive is not None else {}
        return {
            topic: Counter(e.task for e in entry.examples.values()).most_common(1)[0][0]
            for topic, entry in entries.items()
        }

    def met(self) -> set[str]:
        """Tasks that topics hold examples of: the truth, as in `owners`."""
        entries = self.archive.entries.values() if self.archive is not None else ()
        return {e.task for entry in entries for e in entry.examples.values()}

    # State

    def write(self, folder: Path) -> None:
        """archive.json, clusters.json and clusters.safetensors, where there are any."""
        if self.archive is not None:
            (folder / ARCHIVE).write_bytes(dumps(self.archive.to_json(), indent=2))
        if self.clusters is not None:
            tensors: dict[str, Any] = {}
            (folder / CLUSTERS).write_bytes(dumps(flatten(self.clusters.state_dict(), tensors, "clusters")))
            save_file(tensors, folder / VECTORS)

    def read(self, folder: Path) -> None:
        """What `write` wrote. Raises OSError, KeyError, TypeError or ValueError for anything else."""
        if self.archive is not None:
            self.archive = Archive.from_json(json.loads((folder / ARCHIVE).read_text(encoding="utf-8")))
        if self.clusters is not None:
            state = json.loads((folder / CLUSTERS).read_bytes())
            self.clusters.load_state_dict(rebuild(state, load_file(folder / VECTORS)))
