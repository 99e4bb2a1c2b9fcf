"""Ask for paths in star graphs: `star_graph?degree=25&path=20&ids=500`, the paper's setting and the default.

A hub has `degree` arms; the path from the hub to the end of an arm has `path` nodes, the hub included (25 arms of 20
nodes beside the hub would need 501 nodes, more than the paper's 500 ids). Nodes have random ids below `ids`; the
undirected edges come in random order and orientation. Start is the hub, goal the end of one arm. Only the first hop is
a choice, and it can be made only by following the arm to its end: a graph drawn at random gives no shorter way.

Not covered: directed variants, starts other than the hub.
"""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fastslow.core.errors import BadInput
from fastslow.core.registry import nearest
from fastslow.core.seeding import derive_seed
from fastslow.core.types import Example, Split, Verdict
from fastslow.tasks.base import TASKS
from fastslow.tasks.scoring.extract import boxed, is_blank, tail
from fastslow.tasks.spec import coerce, format_spec
from fastslow.tasks.splits import Candidate, Sizes, draw
from fastslow.tasks.verdicts import explain

FAMILY = "star_graph"
PAPER = {"degree": 25, "path": 20, "ids": 500}  # paper.md, "Results to compare with"
MOST_NODES = 2_500  # about 30,000 characters of edges, and a path that a scorer still reads (extract.MAX_CHARS)
MOST_IDS = 1_000_000

_NODE = re.compile(r"[0-9]{1,9}")
_PATH = re.compile(r"[0-9]{1,9}(?:\s?(?:,|->|\u2192|\\to)\s?[0-9]{1,9})*+")  # ASCII digits only


class StarGraphTask:
    """Draw star graphs of one shape until the splits are full (see splits.py); the supply has no end.

    Raises BadInput for a shape that cannot be built.
    """

    def __init__(
        self,
        degree: int = PAPER["degree"],
        path: int = PAPER["path"],
        ids: int = PAPER["ids"],
        *,
        train_size: int = 1000,
        validation_size: int = 64,
        test_size: int = 64,
        data_seed: int = 0,
    ):
        self.degree, self.path, self.ids = degree, path, ids
        shape = {"degree": degree, "path": path, "ids": ids}
        self.name = format_spec(FAMILY, {key: str(n) for key, n in shape.items()})
        self._check()
        sizes = Sizes(train_size, validation_size, test_size)
        sizes.check(self.name)
        divided = draw(self._candidates(data_seed), sizes, self.name)
        self.duplicates, self.distinct = divided.duplicates, divided.distinct
        self._splits = divided.examples(FAMILY, self.name)

    def split(self, name: Split) -> Sequence[Example]:
        return self._splits[name]

    def score(self, example: Example, completion: str) -> Verdict:
        given, defect = _read_path(completion)
        right = example.payload["path"]
        if given == right:
            return Verdict(1.0, "Correct.")
        if example.split != "train":
            # The hop that fails would reveal the right arm of two: only the form of the answer may be named.
            return Verdict(0.0, defect or explain(completion, None, 0.0, example.split))
        said = defect or _failing_hop(given, example.payload)
        return Verdict(0.0, f"{said} The right answer is '{_boxed(right)}'.")

    def answer(self, example: Example) -> str | None:
        return _boxed(example.payload["path"])

    def _check(self) -> None:
        for what, number, least in (("degree", self.degree, 2), ("path", self.path, 2), ("ids", self.ids, 3)):
            if number < least:
                raise BadInput(f"task '{self.name}': '{what}' must be at least {least}, got {number}.")
        nodes = 1 + self.degree * (self.path - 1)
        if nodes > MOST_NODES:
            raise BadInput(f"task '{self.name}': {nodes} nodes are more than {MOST_NODES}; lower 'degree' or 'path'.")
        if not nodes <= self.ids <= MOST_IDS:
            raise BadInput(
                f"task '{self.name}': {self.degree} arms and paths of {self.path} nodes make {nodes} nodes; "
                f"'ids' must lie between {nodes} and {MOST_IDS}, got {self.ids}."
            )

    def _candidates(self, data_seed: int) -> Iterator[Candidate]:
        for index in itertools.count():
            rng = random.Random(derive_seed(data_seed, FAMILY, self.degree, self.path, self.ids, index))
            graph = draw_graph(rng, self.degree, self.path, self.ids)
            yield Candidate(({"role": "user", "content": _question(graph)},), graph, group=_identity(graph))


def draw_graph(rng: random.Random, degree: int, path: int, ids: int) -> dict[str, Any]:
    """Hold a star graph as `edges` (pairs in the order shown) and the `path` from `start` to `goal`."""
    hub, *rest = rng.sample(range(ids), 1 + degree * (path - 1))
    arms = [[hub, *rest[i * (path - 1) : (i + 1) * (path - 1)]] for i in range(degree)]
    edges = [list(edge) for arm in arms for edge in itertools.pairwise(arm)]
    rng.shuffle(edges)
    for edge in edges:
        if rng.random() < 0.5:
            edge.reverse()
    return {"edges": edges, "start": hub, "goal": arms[0][-1], "path": arms[0]}  # chance decided which arm is first


def _identity(graph: Mapping[str, Any]) -> str:
    """Return the graph itself: with its edges in another order it is another question with the same answer."""
    edges = sorted(sorted(edge) for edge in graph["edges"])
    return f"{FAMILY} {edges} {graph['start']} {graph['goal']}"


def _question(graph: Mapping[str, Any]) -> str:
    edges = ", ".join(f"{a}-{b}" for a, b in graph["edges"])
    return (  # short, and ending with both nodes: a longer wording cost SmolLM2 most of its few right answers
        f"Undirected edges: {edges}.\n"
        f"Give the path from {graph['start']} to {graph['goal']} as nodes separated by commas in \\boxed{{}}."
    )


def _boxed(path: Sequence[int]) -> str:
    return f"\\boxed{{{','.join(map(str, path))}}}"


def _read_path(completion: str) -> tuple[list[int], str]:
    """Return the path in the last boxed answer, or why it is not a path."""
    text = tail(completion)
    if is_blank(text):
        return [], "The answer is empty."
    content = boxed(text)
    if content is None:
        return [], "The answer has no \\boxed{...}."
    if not _PATH.fullmatch(content):
        return [], "What is boxed is no list of nodes separated by commas."
    return [int(node) for node in _NODE.findall(content)], ""


def _failing_hop(given: Sequence[int], graph: Mapping[str, Any]) -> str:
    """Return what is wrong with a path, at the first place where anything is."""
    right, edges = graph["path"], {frozenset(edge) for edge in graph["edges"]}
    if given[0] != right[0]:
        return f"Wrong start: the path begins at {given[0]}, not at {right[0]}."
    for hop, (here, there) in enumerate(itertools.pairwise(given), start=1):
        if frozenset((here, there)) not in edges:
            return f"Hop {hop}, from {here} to {there}, is not an edge."
        if hop >= 2 and there == given[hop - 2]:
            return f"Hop {hop}, from {here} to {there}, goes back."
        if there != right[hop]:
            return f"Hop {hop}, from {here} to {there}, enters a dead branch: that arm does not lead to {right[-1]}."
    hops = len(right) - len(given)
    return f"Wrong end: the path stops at {given[-1]}, {hops} {'hop' if hops == 1 else 'hops'} short of {right[-1]}."


def describe() -> list[tuple[str, str]]:
    return [(FAMILY, "Find the path from the hub of a star graph to the end of one arm; ?degree=25&path=20&ids=500")]


@TASKS.register(FAMILY)
def from_spec(rest: str, params: Mapping[str, str], **options: Any) -> StarGraphTask:
    """Make the task of `star_graph?params`."""
    if rest:
        raise BadInput(f"task '{FAMILY}:{rest}': '{FAMILY}' takes parameters only; write {FAMILY}?degree=25&path=20.")
    shape = {}
    for key, text in params.items():
        if key not in PAPER:
            raise BadInput(f"task '{FAMILY}' has no parameter '{key}'.{nearest(key, PAPER)}")
        try:
            shape[key] = coerce(text, int)
        except ValueError as error:
            raise BadInput(f"task '{FAMILY}': '{key}' must be {error}, got '{text[:40]}'.") from None
    return StarGraphTask(**shape, **options)
