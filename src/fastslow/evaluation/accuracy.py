"""Measure held-out accuracy under each kind of context, with every answer that the accuracy is the mean of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

from fastslow.contexts.context import Context
from fastslow.contexts.population import Population
from fastslow.core.measurement import Answer, Choice, Measurement, Weights
from fastslow.core.seeding import derive_seed
from fastslow.core.types import Example, Split
from fastslow.metrics import accuracy_interval, mean_interval
from fastslow.policy.engines.base import SamplingParams
from fastslow.policy.policy import Job, Policy
from fastslow.topics.topics import CHOOSING, Topics

Answers = Sequence[Sequence[Answer]]
"""The answers to each example."""

Told = Callable[[int, int], None]
"""Called as an evaluation goes on, with the answers that it has and those that it will have."""


def tell_nobody(made: int, asked: int) -> None:
    """Do nothing: an evaluation that nobody follows."""


@dataclass(frozen=True)
class Accuracy:
    """Mean over examples of the mean reward of their scored answers (mean@n), with a 95% interval; `best` is the mean
    over examples of their best sample (best@n), `fully_right` that of the share of their scored answers with a reward
    of 1. `unscored` answers are counted, never averaged in."""

    accuracy: float | None
    fully_right: float | None
    low: float | None
    high: float | None
    best: float | None
    n: int
    samples: int
    unscored: int


@dataclass(frozen=True)
class Sampling:
    """How examples are answered: `samples` completions of each, from seeds that depend on `seed`, context and example
    only, so that two sets of weights are compared under the same random numbers."""

    params: SamplingParams
    samples: int
    seed: int


def measure_population(
    policy: Policy,
    population: Population,
    examples: Sequence[Example],
    kinds: Sequence[str],
    sampling: Sampling,
    *,
    task: str,
    split: Split,
    weights: Weights,
    topics: Topics | None = None,
    told: Told = tell_nobody,
) -> list[Measurement]:
    """Measure the examples of one task under each kind of context, without KL and entropy.

    Kinds: `seed`, `lead`, and `mean` over the contexts in use; `all` makes a measurement for each of those; `cluster`
    and `nearest` choose by the question among the contexts that `topics` holds. An example is answered once under a
    context, even where several kinds measure that context.
    """
    dealt = [pair for kind in kinds for pair in _contexts(population, kind, examples, topics)]
    answers = _answers_of_pairs(
        policy, [pair for _, contexts in dealt for pair in _pairs(contexts, examples)], sampling, told
    )
    measurements: list[Measurement] = []
    answers_of: dict[str, Answers] = {}
    for kind, contexts_of in dealt:
        # In a mean over K contexts, every context answers every question: K times as many samples of each example.
        of_examples = [
            [answer for context in contexts for answer in answers[context.id, example.id]]
            for contexts, example in zip(contexts_of, examples, strict=True)
        ]
        answers_of[kind] = of_examples
        ids = {context.id for contexts in contexts_of for context in contexts}
        accuracy = accuracy_of(of_examples, sampling.samples)
        if kind == "mean":
            accuracy = replace(accuracy, best=None)  # the number of samples depends on the size of the population
        measurements.append(
            Measurement(
                **asdict(accuracy),
                context=kind,
                context_id=ids.pop() if len(ids) == 1 and kind not in ("mean", *CHOOSING) else None,
                task=task,
                split=split,
                weights=weights,
                choice=Choice(dict(Counter(c[0].id for c in contexts_of))) if kind in CHOOSING else None,
                answers=tuple(answer for row in of_examples for answer in row),
            )
        )
    return [_with_gain(one, topics, examples, answers_of) for one in measurements]


def answer_examples(
    policy: Policy, context: Context, examples: Sequence[Example], sampling: Sampling
) -> list[list[Answer]]:
    """Answer every example under one context; returns the answers to each, in the order of its samples."""
    jobs = [
        Job(context, example, derive_seed(sampling.seed, "eval", context.id, example.id, i))
        for example in examples
        for i in range(sampling.samples)
    ]
    rollouts = policy.rollouts(jobs, sampling.params)
    answers = [
        Answer(
            r.example_id,
            at % sampling.samples,
            context.id,
            r.verdict.reward,
            r.tokens,
            r.text,
            job.example.question,
        )
        for at, (job, r) in enumerate(zip(jobs, rollouts, strict=True))
    ]
    return [answers[i * sampling.samples : (i + 1) * sampling.samples] for i in range(len(examples))]


def prompt_tokens(
    policy: Policy, population: Population, kind: str, examples: Sequence[Example], topics: Topics | None = None
) -> float:
    """Return the tokens of the prompts of these examples under a kind of context that is one of each, on average."""
    ((_, contexts_of),) = _contexts(population, kind, examples, topics)
    lengths = [len(policy.prompt_ids(contexts[0], e)) for contexts, e in zip(contexts_of, examples, strict=True)]
    return sum(lengths) / len(lengths)


def accuracy_of(answers: Answers, samples: int) -> Accuracy:
    """Average the answers to each example; `samples` is the number of samples of each example under one context."""
    scored = [[a.reward for a in row if a.reward is not None] for row in answers]
    known = [row for row in scored if row]
    interval = accuracy_interval(scored)
    return Accuracy(
        accuracy=sum(sum(row) / len(row) for row in known) / len(known) if known else None,
        fully_right=sum(row.count(1.0) / len(row) for row in known) / len(known) if known else None,
        low=interval[0] if interval else None,
        high=interval[1] if interval else None,
        best=sum(map(max, known)) / len(known) if known else None,
        n=len(answers),
        samples=samples,
        unscored=sum(a.reward is None for row in answers for a in row),
    )


def right_topic(topics: Topics, examples: Sequence[Example]) -> float | None:
    """Return the share of examples whose topic consists mostly of their own task.

    An example of a task that no topic holds has no right choice and does not count; None where no example counts.
    """
    owners, met = topics.owners(), topics.met()
    right = [owners.get(topics.entry_name(e) or "") == e.task for e in examples if e.task in met]
    return sum(right) / len(right) if right else None


def _with_gain(
    one: Measurement, topics: Topics | None, examples: Sequence[Example], answers_of: dict[str, Answers]
) -> Measurement:
    """Complete the choice of a measurement that has one, with `right_topic` and the gain over the lead context."""
    if one.choice is None or topics is None:
        return one
    pairs = [(_mean(c), _mean(at)) for c, at in zip(answers_of[one.context], answers_of.get("lead", ()), strict=False)]
    gain = mean_interval([c - at for c, at in pairs if c is not None and at is not None])
    choice = replace(one.choice, right_topic=right_topic(topics, examples))
    if gain is not None and gain.interval is not None:  # one example does not give an interval
        choice = replace(choice, gain=gain.value, gain_low=gain.low, gain_high=gain.high)
    return replace(one, choice=choice)


def _contexts(
    population: Population, kind: str, examples: Sequence[Example], topics: Topics | None
) -> list[tuple[str, list[list[Context]]]]:
    """Yield (name, contexts of each example) for every measurement of this kind."""
    if kind == "all":
        return [("member", [[c]] * len(examples)) for c in population.members]
    if kind in CHOOSING:
        assert topics is not None, "only a population with an archive can be chosen from"
        return [(kind, [[topics.choose(kind, population, e)] for e in examples])]
    by_kind = {"seed": [population.seed], "lead": [population.lead], "mean": population.members}
    return [(kind, [by_kind[kind]] * len(examples))]


def _mean(answers: Sequence[Answer]) -> float | None:
    scored = [a.reward for a in answers if a.reward is not None]
    return sum(scored) / len(scored) if scored else None


def _pairs(contexts_of: Sequence[Sequence[Context]], examples: Sequence[Example]) -> list[tuple[Context, Example]]:
    return [(c, e) for contexts, e in zip(contexts_of, examples, strict=True) for c in contexts]


def _answers_of_pairs(
    policy: Policy, pairs: Sequence[tuple[Context, Example]], sampling: Sampling, told: Told
) -> dict[tuple[str, str], list[Answer]]:
    """Answer each pair once, context by context."""
    asked: dict[str, tuple[Context, dict[str, Example]]] = {}
    for context, example in pairs:
        asked.setdefault(context.id, (context, {}))[1][example.id] = example
    found: dict[tuple[str, str], list[Answer]] = {}
    wanted = sum(len(of_context) for _, of_context in asked.values())
    told(0, wanted * sampling.samples)
    for context, of_context in asked.values():
        answers = answer_examples(policy, context, list(of_context.values()), sampling)
        found.update(((context.id, example), row) for example, row in zip(of_context, answers, strict=True))
        told(len(found) * sampling.samples, wanted * sampling.samples)
    return found
