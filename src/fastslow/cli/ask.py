"""`fastslow ask RUN "QUESTION"`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console

from fastslow.cli.flags import Parser
from fastslow.core.errors import BadInput

if TYPE_CHECKING:
    from fastslow.core.types import Example, Split, Verdict


def run(argv: Sequence[str]) -> int:
    """Print one greedy answer of a run's weights, under the context that it ships for the question."""
    options = _options(argv)
    Console(stderr=True).print("[dim]loading model ...[/dim]")
    import torch

    from fastslow.bundles.bundle import open_bundle
    from fastslow.bundles.contexts import open_contexts
    from fastslow.cli.released import gated_contexts
    from fastslow.cli.train import quiet_libraries
    from fastslow.contexts.rendering import question_alone
    from fastslow.evaluation.bundle import bundle_policy, compute_type
    from fastslow.policy.engines.base import SamplingParams
    from fastslow.policy.policy import Job
    from fastslow.registry.registry import resolve

    quiet_libraries()
    folder, kind = resolve(options.path), options.context or gated_contexts(options.path)
    context = open_contexts(folder, trusted=options.trust_task).choose(options.question, kind)
    bundle = open_bundle(folder, trusted=options.trust_task)
    params = SamplingParams(max_new_tokens=int(bundle.settings["max_completion_length"]), temperature=0.0)
    dtype = getattr(torch, compute_type(bundle.settings))
    policy = bundle_policy(bundle, bundle.model, _NoTask(), params, dtype)
    policy.refresh(0)
    example = question_alone(options.question)
    if not policy.fits(context, example):
        raise BadInput(f"the context and the question do not fit the model's window ({policy.window} tokens).")
    [rollout] = policy.rollouts([Job(context, example, 0)])
    if options.json:
        answer = {"answer": rollout.text, "context": context.id, "tokens": rollout.tokens}
        print(json.dumps(answer, ensure_ascii=False))
    else:
        _write(rollout.text)
        if rollout.tokens >= params.max_new_tokens:
            Console(stderr=True).print(f"[dim]cut at {params.max_new_tokens} tokens (max_completion_length)[/dim]")
    return 0


class _NoTask:
    """A task of no examples: nobody knows the right answer to a question of the user's."""

    name = "ask"

    def split(self, name: Split) -> Sequence[Example]:
        return ()

    def score(self, example: Example, completion: str) -> Verdict:
        from fastslow.core.types import Verdict

        return Verdict.unscored("no task")

    def answer(self, example: Example) -> str | None:
        return None


def _write(text: str) -> None:
    """Print what the model wrote, as a terminal does not obey it."""
    if sys.stdout.isatty():
        text = "".join(c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text)
    print(text)


def _options(argv: Sequence[str]) -> argparse.Namespace:
    parser = Parser(
        prog="fastslow ask",
        description="Print one greedy answer of a run's trained weights, under the context that it ships.",
    )
    parser.add_argument("path", metavar="RUN", help="a run directory, a bundle folder, or REGISTRY@champion")
    parser.add_argument("question", help="one question, as it would stand in the data")
    parser.add_argument(
        "--context", metavar="ID",
        help="lead, seed, an id or its beginning, or by the question: cluster, nearest, retrieved (default: what was "
        "gated of a registry's version, else what the run ships: by the question where it chose so, else the lead, or "
        "in mode consolidate the seed)",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="answer, id of the context and tokens, as JSON")
    parser.add_argument("--trust_task", action="store_true", help="run the embedder that the bundle names")
    options = parser.parse_args(list(argv))
    if not options.question.strip():
        raise BadInput('give a question: fastslow ask RUN "What is 6 * 7?"')
    if options.context is not None and not options.context.strip():
        raise BadInput("--context is empty; name one of fastslow contexts RUN, or leave it out.")
    return options
