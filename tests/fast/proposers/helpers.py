"""Requests and traces for the proposer tests."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from fastslow.contexts.context import Context, WorkedExample, dump_examples
from fastslow.core.types import Example, Split, Trace, Verdict
from fastslow.fast.proposers import ProposalRequest, ProposerInputs
from fastslow.fast.reflection.costs import Usage


def example(question: str, split: Split = "train", answer: str | None = None, turns: int = 1) -> Example:
    payload = {} if answer is None else {"answer": answer}
    messages = [{"role": "user", "content": "an earlier turn"}] * (turns - 1) + [{"role": "user", "content": question}]
    return Example(id=question, task="toy", split=split, messages=tuple(messages), payload=payload)


def trace(question: str, completion: str, reward: float | None, feedback: str = "", **kwargs: Any) -> Trace:
    verdict = Verdict.unscored("scorer down") if reward is None else Verdict(reward, feedback)
    return Trace(example(question, **kwargs), "c0", completion, verdict)


def parent(*worked: tuple[str, str], instruction: str = "Answer briefly.") -> Context:
    examples = dump_examples([WorkedExample(q, a) for q, a in worked])
    return Context({"instruction": instruction, "examples": examples})


def request(
    context: Context,
    *,
    component: str = "examples",
    traces: Sequence[Trace] = (),
    experience: Sequence[Trace] = (),
    demonstrations: Sequence[tuple[str, str]] = (),
    seed: int = 0,
) -> ProposalRequest:
    worked = [WorkedExample(q, a) for q, a in demonstrations]
    return ProposalRequest(context, component, traces, experience, worked, random.Random(seed))


class SilentLM:
    """A reflection LM that answers nothing."""

    def __init__(self) -> None:
        self.usage = Usage()

    def complete(self, prompt: str, *, seed: int) -> str:
        self.usage.calls += 1
        return ""


def inputs(max_worked_examples: int = 4, edits: Any = "small", make_reflection_lm: Any = SilentLM) -> ProposerInputs:
    return ProposerInputs(max_worked_examples, edits, make_reflection_lm)
