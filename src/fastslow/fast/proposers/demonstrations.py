"""Propose worked examples from answers that are known to be right, without a language model."""

from __future__ import annotations

import random
from dataclasses import dataclass

from fastslow.contexts.context import EXAMPLES, WorkedExample, dump_examples
from fastslow.core.errors import BadInput
from fastslow.fast.proposers.base import Edits, ProposalRequest, readable
from fastslow.fast.proposers.validate import normalised

FAILED_WEIGHT = 4.0
"""Weight of the answer to a question that the parent just failed, relative to any other example."""

EDIT_WEIGHTS = {"replace": 4.0, "drop": 1.0, "reorder": 1.0}
"""Weights of the edits of a full context: only a replacement brings in anything new."""

MAX_OWN_ANSWER_CHARS = 2000
"""Longest rollout of the policy's own that is shown, in characters: a longer one would fill the context."""


@dataclass
class _Source:
    """Hold one question with the answers known to be right, and its weight in the draw."""

    answers: list[WorkedExample]
    weight: float = 1.0


class DemonstrationsProposer:
    """Add, replace, drop or reorder worked examples, whatever component was asked for; with `edits="full"` draw all of
    them anew.

    The sources are verified training answers, the policy's own rollouts with full reward, and the failures of this
    minibatch: the verified answer to a question that the parent just failed is preferred. Held-out examples and
    unscored rollouts are not used. A question is a whole conversation, and comes only once in a context.
    """

    name = "demonstrations"

    def __init__(self, max_examples: int = 4, edits: Edits = "small"):
        if max_examples < 1:
            raise BadInput(f"the demonstrations proposer needs max_examples of at least 1, got {max_examples}.")
        self.max_examples = max_examples
        self.edits: Edits = edits

    def propose(self, request: ProposalRequest) -> dict[str, str]:
        """Return the edited `examples` component; {} without any source, or where no edit would change the
        component."""
        sources = _sources(request)
        if not sources or EXAMPLES not in request.parent.components:
            return {}
        current = list(request.parent.worked_examples)
        shown = {normalised(worked.question) for worked in current}
        fresh = {question: source for question, source in sources.items() if question not in shown}
        if self.edits == "full":
            edited = _draw(sources, request.rng.randint(min(2, self.max_examples), self.max_examples), request.rng)
        else:
            edited = self._edit(current, fresh, request.rng)
        return {} if edited == current else {EXAMPLES: dump_examples(edited)}

    def _edit(self, current: list[WorkedExample], fresh: dict[str, _Source], rng: random.Random) -> list[WorkedExample]:
        room = self.max_examples - len(current)
        if room > 0 and fresh:
            # One example rarely changes a small model, and an edit that changes nothing is never accepted.
            least = min(2, room) if not current else 1
            return current + _draw(fresh, rng.randint(least, room), rng)
        possible = {
            "replace": bool(fresh),
            "drop": len(current) > 1,
            "reorder": len(current) > 1,
        }
        edits = [edit for edit, applies in possible.items() if applies]
        if not edits:
            return current
        edit = rng.choices(edits, [EDIT_WEIGHTS[edit] for edit in edits])[0]
        return _apply(edit, current, fresh, rng)


def _apply(
    edit: str, current: list[WorkedExample], fresh: dict[str, _Source], rng: random.Random
) -> list[WorkedExample]:
    edited = list(current)
    if edit == "replace":
        edited[rng.randrange(len(edited))] = _draw(fresh, 1, rng)[0]
    elif edit == "drop":
        del edited[rng.randrange(len(edited))]
    else:
        i, j = rng.sample(range(len(edited)), 2)
        edited[i], edited[j] = edited[j], edited[i]
    return edited


def _draw(fresh: dict[str, _Source], count: int, rng: random.Random) -> list[WorkedExample]:
    """Draw up to `count` worked examples of different questions by weight, without replacement."""
    left = list(fresh.values())
    drawn = []
    while left and len(drawn) < count:
        i = rng.choices(range(len(left)), [source.weight for source in left])[0]
        drawn.append(rng.choice(left.pop(i).answers))
    return drawn


def _sources(request: ProposalRequest) -> dict[str, _Source]:
    """Return what may be shown, by normalised question, in the order given: a reproducible draw needs a fixed order."""
    sources: dict[str, _Source] = {}

    def add(worked: WorkedExample) -> None:
        sources.setdefault(normalised(worked.question), _Source([])).answers.append(worked)

    for worked in request.demonstrations:
        add(worked)
    verified = {question: list(source.answers) for question, source in sources.items()}
    for trace in filter(readable, [*request.traces, *request.experience]):
        answer = trace.completion.strip()
        if trace.verdict.reward == 1.0 and not trace.episode and 0 < len(answer) <= MAX_OWN_ANSWER_CHARS:
            add(WorkedExample(trace.example.question, answer))
    for trace in filter(readable, request.traces):
        question = normalised(trace.example.question)
        if question in verified and trace.verdict.reward != 1.0:
            sources[question] = _Source(verified[question], FAILED_WEIGHT)
    return sources
