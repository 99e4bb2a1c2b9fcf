"""Group the examples of a stream into topics, and choose contexts by topic.

Examples are grouped by label, by cluster, or not at all (`labels` and `clusters` in the settings). With an archive, a
fast phase starts from the best contexts of the topics ahead, and an evaluation chooses a context for each question:
`cluster` takes the best context of the question's topic, `nearest` the context that scored best on the most similar
scored questions of that topic. With a shelf, `retrieved` makes a context of the answers to the most similar questions.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import load_file, save_file

from fastslow.contexts.context import Context, WorkedExample
from fastslow.contexts.population import Population, Scores
from fastslow.core.types import Example, GroupEvidence
from fastslow.files.jsonl import dumps
from fastslow.files.nested_state import flatten, rebuild
from fastslow.streams.arrivals import Arrivals
from fastslow.streams.epochs import Stream
from fastslow.streams.labels import Labels
from fastslow.topics.archive import Archive, Entry
from fastslow.topics.clusters import Clusters, Observation
from fastslow.topics.shelf import Shelf

CHOOSING = ("cluster", "nearest", "retrieved")
"""Kinds of context that are chosen by the question."""

NEIGHBOURS = 5
"""Scored questions that `nearest` compares: about the square root of an anchor set of 16 to 32 examples."""

EARLIER = "earlier/"
"""What the ids of examples of an earlier run begin with."""

ARCHIVE, CLUSTERS, VECTORS, SHELF = "archive.json", "clusters.json", "clusters.safetensors", "shelf.json"


@dataclass
class Topics:
    """Answer which topic an example belongs to, and which contexts belong to a topic.

    Args:
        labels: the label of each example, as the learner sees it.
        stream: where examples come from.
        clusters: groups questions without labels; None: the labels are the topics.
        archive: the best contexts of each topic; None: all topics share one population.
        material: training examples with their verified answers.
        shelf: the answers that the stream has shown so far; None: nothing is retrieved.
    """

    labels: Labels
    stream: Stream | None
    clusters: Clusters | None = None
    archive: Archive | None = None
    material: Sequence[tuple[Example, WorkedExample]] = field(default_factory=list)
    shelf: Shelf | None = None

    def __post_init__(self) -> None:
        self._arrivals = Arrivals(self.stream) if self.stream is not None else None

    def of(self, example: Example) -> str:
        """Return the topic of an example as the learner knows it; '' for unknown."""
        return self.clusters.of(example) if self.clusters is not None else self.labels.of(example)

    def observe(self, until: int) -> Iterator[Observation]:
        """Let the clusters observe every batch before step `until` that they have not observed yet."""
        while self.clusters is not None and self.stream is not None and self.clusters.observed < until:
            observation = self.clusters.observe(self.stream.batch(self.clusters.observed))
            if observation.opened and self.archive is not None:
                self.archive.divide(self.clusters.of)
            yield observation

    def collect(self, examples: Sequence[Example]) -> None:
        """Put the verified answers to these examples, which have arrived, on the shelf."""
        if self.shelf is not None:
            places = sorted({self._places[e.id] for e in examples if e.id in self._places})
            self.shelf.add(self.material[place][1] for place in places)

    @cached_property
    def _places(self) -> dict[str, int]:
        """Where each training example stands in the material: a step looks its own up, of which there may be many."""
        return {example.id: place for place, (example, _) in enumerate(self.material)}

    def begin_anew(self, context_ids: Collection[str]) -> None:
        """Go on with what is known of earlier examples and of these contexts on another stream, which begins with its
        first batch. Its examples may have the ids of earlier ones, which are therefore renamed."""
        if self.archive is not None:
            self.archive.rename(EARLIER)
            self.archive.keep_only(context_ids)
        if self.clusters is not None:
            self.clusters.begin_anew(EARLIER)

    # For a fast phase, and after it

    def anchor(self, ahead: Sequence[Example], size: int) -> list[Example]:
        """Return `size` examples of the lookahead: the first ones, or with an archive those of each topic in turn."""
        if self.archive is None:
            return list(ahead[:size])
        by_topic = list(self._by_topic(ahead).values())
        turns = max(map(len, by_topic), default=0)
        return [examples[i] for i in range(turns) for examples in by_topic if i < len(examples)][:size]

    def recalled(self, population: Population, ahead: Sequence[Example]) -> Population:
        """Return the population that a fast phase starts from: the best contexts of the topics ahead come first."""
        if self.archive is None:
            return population
        ids = self.archive.recall(list(self._by_topic(ahead)), population.size)
        return population.starting_from([population.known[c] for c in ids])

    def keep(self, scores: Mapping[str, Scores], anchor: Sequence[Example], *, policy_version: int) -> None:
        """Record the scores of a fast phase on its anchor set."""
        if self.archive is not None:
            self.archive.keep(scores, anchor, self.of, policy_version=policy_version)

    def note(self, evidence: Sequence[GroupEvidence]) -> None:
        """Record the rewards of a slow step."""
        if self.archive is not None:
            for group in evidence:
                self.archive.note(group.task, group.context_ids_G, group.rewards_G)

    def demonstrations(self, examples: Sequence[Example], until: int) -> list[WorkedExample]:
        """Return the verified answers of the topics of these examples.

        Where labels do not tell the topics, the answers are those of examples that arrived before step `until`.
        """
        labelled = self.clusters is None and not self.labels.hidden
        by_topic: dict[str, list[WorkedExample]] = {}
        for example, worked in self.material:
            if labelled or (self._arrivals is not None and self._arrivals.before(until, example.id)):
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
        """Ways of choosing a context by the question, that of the run first; see `choose`."""
        if self.shelf is not None:
            return ["retrieved"]
        if self.archive is None:
            return []
        return ["cluster"] if self.clusters is None else ["cluster", "nearest"]

    def choose(self, kind: str, population: Population, example: Example) -> Context:
        """Return the context for a new question, in one of the ways in `kinds`; the lead where its topic has no
        entry."""
        if self.shelf is not None:
            return self.shelf.context(example, population.seed)
        name = self.entry_name(example)
        if name is None or self.archive is None:
            return population.lead
        entry = self.archive.entries[name]
        near = self._neighbours(entry, example) if kind == "nearest" else None
        return population.known[near.ranked[0] if near is not None else entry.ranked[0]]

    def entry_name(self, example: Example) -> str | None:
        """Return the nearest topic with an entry in the archive; with labels, the example's own topic or None."""
        if self.archive is None:
            return None
        near = [self.labels.of(example)] if self.clusters is None else self.clusters.by_distance(example)
        return next((topic for topic in near if topic in self.archive.entries), None)

    def distance(self, example: Example, topic: str) -> float | None:
        """Return the distance of a question's vector from the centre of its topic; None where topics are labels."""
        return self.clusters.distance(example, topic) if self.clusters is not None else None

    def _neighbours(self, entry: Entry, example: Example) -> Entry | None:
        if self.clusters is None:
            return None
        known = list(entry.examples.values())
        distances = ((self.clusters.vectors(known) - self.clusters.vectors([example])) ** 2).sum(1)
        near = entry.of([known[i].id for i in np.argsort(distances, kind="stable")[:NEIGHBOURS]])
        return replace(near, overall=entry.worth) if near is not None else None

    def owners(self) -> dict[str, str]:
        """Return the task of most scored examples of each topic. Uses true labels, so only evaluations may call it."""
        entries = self.archive.entries if self.archive is not None else {}
        return {
            topic: Counter(e.task for e in entry.examples.values()).most_common(1)[0][0]
            for topic, entry in entries.items()
        }

    def met(self) -> set[str]:
        """Return the tasks of all archived examples. Uses true labels, as `owners` does."""
        entries = self.archive.entries.values() if self.archive is not None else ()
        return {e.task for entry in entries for e in entry.examples.values()}

    # State

    def state_dict(self) -> dict[str, Any]:
        """Return the archive, the clusters and the shelf, where there are any."""
        return {
            "archive": self.archive.to_json() if self.archive is not None else None,
            "clusters": self.clusters.state_dict() if self.clusters is not None else None,
            "shelf": self.shelf.to_json() if self.shelf is not None else None,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up a state. Raises KeyError, TypeError or ValueError for anything but what `state_dict` returned."""
        if self.archive is not None:
            self.archive = Archive.from_json(state["archive"])
        if self.clusters is not None:
            self.clusters.load_state_dict(state["clusters"])
        if self.shelf is not None:
            self.shelf.load(state["shelf"])

    def write(self, folder: Path) -> None:
        """Write archive.json, clusters.json, clusters.safetensors and shelf.json, as far as there is what they hold."""
        if self.shelf is not None:
            (folder / SHELF).write_bytes(dumps(self.shelf.to_json(), indent=2))
        if self.archive is not None:
            (folder / ARCHIVE).write_bytes(dumps(self.archive.to_json(), indent=2))
        if self.clusters is not None:
            tensors: dict[str, Any] = {}
            (folder / CLUSTERS).write_bytes(dumps(flatten(self.clusters.state_dict(), tensors, "clusters")))
            save_file(tensors, folder / VECTORS)

    def read(self, folder: Path) -> None:
        """Restore what `write` wrote. Raises OSError, KeyError, TypeError or ValueError for anything else."""
        if self.shelf is not None:
            self.shelf.load(json.loads((folder / SHELF).read_text(encoding="utf-8")))
        if self.archive is not None:
            self.archive = Archive.from_json(json.loads((folder / ARCHIVE).read_text(encoding="utf-8")))
        if self.clusters is not None:
            state = json.loads((folder / CLUSTERS).read_bytes())
            self.clusters.load_state_dict(rebuild(state, load_file(folder / VECTORS)))
