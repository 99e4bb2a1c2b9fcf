"""Where contexts come from: the parent of each context, the edit that made it, and the gains of each proposer."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import Any

from fastslow.contexts.soft import SOFT, SOFT_TURN, SoftText
from fastslow.report.reading.data import RunData
from fastslow.report.reading.rows import ContextRow, ProposalRow, context_row
from fastslow.report.reading.soft import described, nearest_tokens
from fastslow.report.reading.values import mapping, mean_score, names, text

# A longer context is cut in the page; contexts.jsonl has the whole text.
LONGEST_TEXT = 2_500
# Most words of one line that are compared: texts that share nothing cost the square of their length.
MOST_PAIRS = 40_000
NEAR = 2  # unchanged lines shown around a change

Segment = tuple[str, str]
"""`same`, `ins`, `del` or `gap`, and the text."""


@dataclass
class Node:
    """One accepted context, or the seed. Scores are means; None where there is none."""

    id: str
    components: Mapping[str, Any]
    parents: list[str] = field(default_factory=list)
    proposer: str = "seed"
    step: int | None = None
    component: str = ""
    before: float | None = None
    after: float | None = None
    anchor: float | None = None  # of the last fast phase for contexts in use, else of the phase that made the context
    rank: int | None = None
    depth: int = 0

    @property
    def short(self) -> str:
        return self.id[:8]

    @property
    def gain(self) -> float | None:
        """On the minibatch, against the parent."""
        return None if self.before is None or self.after is None else self.after - self.before


@dataclass
class Earned:
    """The sum of the edits of one proposer."""

    proposer: str
    proposed: int = 0
    refused: int = 0
    accepted: int = 0
    gain: float = 0.0


@dataclass(frozen=True)
class Lineage:
    """`nodes` in the order of the tree, parents before children; the files hold `left_out` more."""

    nodes: list[Node]
    left_out: int
    known: Mapping[str, Node]
    members: list[str]


def lineage(run: RunData, limit: int) -> Lineage:
    """Return at most `limit` contexts: those in use and their ancestors first, then the latest."""
    nodes = _nodes(run)
    members = [one for one in names(run.population.get("members") or run.summary.get("population")) if one in nodes]
    for rank, name in enumerate(members):
        nodes[name].rank = rank
        latest_score = mean_score(mapping(run.population.get("scores")).get(name))
        nodes[name].anchor = nodes[name].anchor if latest_score is None else latest_score
    wanted = list(dict.fromkeys(name for member in members for name in _line_of(member, nodes)))
    latest = sorted(nodes.values(), key=lambda node: -1 if node.step is None else node.step, reverse=True)
    wanted += [node.id for node in latest if node.id not in set(wanted)]
    shown = set(wanted[:limit])
    return Lineage(_in_order(nodes, shown), len(nodes) - len(shown), nodes, members)


def earned(runs: Iterable[RunData]) -> list[Earned]:
    """Add up the gains by proposer, over several runs; the largest gain first."""
    by_name: dict[str, Earned] = {}
    for row in (row for run in runs for row in run.contexts if row.proposer != SOFT):  # born, and not proposed
        name = row.proposer or "unknown"
        one = by_name.setdefault(name, Earned(name))
        one.proposed += 1
        one.refused += row.after is None
        if row.accepted:
            one.accepted += 1
            one.gain += row.after - row.before if row.after is not None and row.before is not None else 0.0
    return sorted(by_name.values(), key=lambda one: -one.gain)


def readable(components: Mapping[str, Any]) -> list[str]:
    """Write a context as lines that a person can read: worked examples as questions and answers instead of JSON."""
    lines: list[str] = []
    for name, value in components.items():
        if not isinstance(value, str):
            lines.append(f"{text(name, 'a component')}: (not text)")
            continue
        examples = _worked(value) if name == "examples" else None
        if examples is not None:
            lines += [line for one in examples for line in one]
        elif value.strip() or name == "instruction":
            lines += [f"{text(name, '')}: {value}" if value.strip() else f"{name}: (empty)"][0].splitlines()
    shown, size = [], 0
    for line in lines:
        if size + len(line) > LONGEST_TEXT:
            return [*shown, line[: max(0, LONGEST_TEXT - size)] + " … (cut here; contexts.jsonl has the whole text)"]
        shown.append(line)
        size += len(line)
    return shown


def difference(before: Sequence[str], after: Sequence[str]) -> list[list[Segment]]:
    """Return lines of segments: removed, added, and a little of the unchanged text around them."""
    lines: list[list[Segment]] = []
    blocks = SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
    for at, (kind, a, b, c, d) in enumerate(blocks):
        if kind == "equal":
            lines += _around(before[a:b], first=at == 0, last=at == len(blocks) - 1)
        elif kind == "replace" and b - a == d - c:
            lines += [_words(old, new) for old, new in zip(before[a:b], after[c:d], strict=True)]
        else:
            lines += [[("del", line)] for line in before[a:b]] + [[("ins", line)] for line in after[c:d]]
    return lines


def _around(lines: Sequence[str], *, first: bool, last: bool) -> list[list[Segment]]:
    head, tail = 0 if first else NEAR, 0 if last else NEAR
    if len(lines) <= head + tail + 1:
        return [[("same", line)] for line in lines]
    gap = len(lines) - head - tail
    same = [[("same", line)] for line in lines]
    return [*same[:head], [("gap", f"{gap} unchanged lines")], *same[len(lines) - tail :]]


def _words(old: str, new: str) -> list[Segment]:
    a, b = (re.findall(r"\s+|\w+|[^\w\s]", line) for line in (old, new))
    head = _shared(a, b)
    tail = _shared(a[head:][::-1], b[head:][::-1])
    middle = a[head : len(a) - tail], b[head : len(b) - tail]
    segments: list[Segment] = [("same", "".join(a[:head]))]
    if len(middle[0]) * len(middle[1]) > MOST_PAIRS:
        segments += [("del", "".join(middle[0])), ("ins", "".join(middle[1]))]
    else:
        for kind, i, j, k, m in SequenceMatcher(None, *middle, autojunk=False).get_opcodes():
            if kind == "equal":
                segments.append(("same", "".join(middle[0][i:j])))
            else:
                segments += [("del", "".join(middle[0][i:j])), ("ins", "".join(middle[1][k:m]))]
    segments.append(("same", "".join(a[len(a) - tail :])))
    return [segment for segment in segments if segment[1]]


def _shared(a: Sequence[str], b: Sequence[str]) -> int:
    """Count the items that two sequences have in common at their start."""
    return next((at for at, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def _worked(value: str) -> list[list[str]] | None:
    """Return the lines of each worked example, or None where the text is not a list of worked examples."""
    if not value.strip():
        return []
    try:
        rows = json.loads(value)
    except (ValueError, RecursionError):
        return None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        return None
    return [
        [*f"Q: {text(row.get('question'), '?')}".splitlines(), *f"A: {text(row.get('answer'), '?')}".splitlines()]
        for row in rows
    ]


def _nodes(run: RunData) -> dict[str, Node]:
    archive = run.population.get("archive")
    known = [*(archive if isinstance(archive, list) else []), run.summary.get("lead_context")]
    rows: list[ContextRow] = [context_row(mapping(row)) for row in known]
    nodes: dict[str, Node] = {}
    nearest = nearest_tokens(run.summary.get("soft"))
    for row in [*rows, *(row for row in run.contexts if row.accepted)]:
        if not row.id:
            continue
        node = nodes.setdefault(row.id, Node(row.id, _in_words(row.components, nearest.get(row.id))))
        node.parents = row.parents or node.parents
        node.proposer = row.proposer or node.proposer
        if isinstance(row, ProposalRow):
            node.step, node.component = row.step, row.component
            node.before, node.after, node.anchor = row.before, row.after, row.anchor
    return nodes


def _in_words(components: Mapping[str, Any], nearest: Sequence[tuple[str, float]] | None) -> Mapping[str, Any]:
    """Return components with what rows are near in the place of the rows' names."""
    words = dict(components)
    for name in (name for name in (SOFT, SOFT_TURN) if isinstance(words.get(name), str)):
        with suppress(ValueError):
            words[name] = "\n".join(described(SoftText.parse(words[name]), nearest))
    return words


def _line_of(name: str, nodes: Mapping[str, Node]) -> list[str]:
    """Return a context and all its ancestors; files may hold circles."""
    seen, queue = [], [name]
    while queue:
        one = queue.pop(0)
        if one in nodes and one not in seen:
            seen.append(one)
            queue += nodes[one].parents
    return seen


def _in_order(nodes: Mapping[str, Node], shown: set[str]) -> list[Node]:
    """Order depth first from the roots: the contexts whose first known parent is not shown."""
    children: dict[str | None, list[str]] = {}
    for name in (name for name in nodes if name in shown):
        parent = next((p for p in nodes[name].parents if p in shown and p != name), None)
        children.setdefault(parent, []).append(name)
    order: list[Node] = []
    done: set[str] = set()
    # Contexts in a circle have no root: they are appended at the end.
    stack = [(name, 0) for name in reversed([*children.get(None, []), *sorted(shown)])]
    while stack:
        name, depth = stack.pop()
        if name in done:
            continue
        done.add(name)
        nodes[name].depth = depth
        order.append(nodes[name])
        stack += [(child, depth + 1) for child in reversed(children.get(name, []))]
    return order
