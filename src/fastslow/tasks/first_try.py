"""Write the recipe of a first try of a drafted task: as small as those of examples/, not the defaults of a run, which
would take days on two cores."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

MINUTES, TOKENS = 8, 32
"""Minutes that examples/orders took on one shared core, with room for so many tokens in an answer."""
DISK = "5 GB of disk while it runs, 0.5 GB of which stay"
"""Three checkpoints and the bundle of that model."""
SPLITS = {"validation_size": 16, "test_size": 16}
"""Validation questions of a first try are answered four times under every context. As many are kept for a test: the
default of 64 would leave a small file next to none to validate on."""
EXAMPLES, MOST_EXAMPLES = 3, 8
"""Worked examples of a context: with labels one of each, up to so many."""
PLAIN = {
    "exact": "Answer the question with the answer alone.",
    "number": "Answer the question with a number alone.",
    "choice": "Answer the question with the letter of the right option alone.",
    "json": "Answer with a JSON value alone.",
}
"""Kind of answers -> a plain prompt that says what is wanted."""

RECIPE = """\
# A first try of {name}, made by `fastslow tasks new`: {minutes}. Change what you like.
# With larger numbers: docs/configuration.md.
task: {task}
output_dir: {output_dir}
{sizes}
# What the model is told before the search begins, and what its prompts are measured against: the plain prompt. Say in
# it what is wanted: without this line the model gets the question alone, and is hardly ever right.
seed_instruction: {prompt}

population_size: 4
slow_steps_per_cycle: 3
anchor_size: 12
fast_metric_calls: 96
max_worked_examples: {examples}

problems_per_step: 6
num_generations: 8
max_steps: 6
max_completion_length: {room}
warmup_steps: 1
beta: 0.0
eval_samples: 4
eval_temperature: 0.6
eval_top_p: 0.95
"""


def first_recipe(
    name: str, task: str, *, kind: str, labels: Sequence[str], room: int, prompt: str = "", settings: Mapping[str, Any]
) -> str:
    """Return the text of the recipe, whose instruction is `prompt` or a plain one. `settings` are further ones (model,
    sizes of splits), None where not given."""
    sizes = SPLITS | {key: value for key, value in settings.items() if value is not None}
    return RECIPE.format(
        name=name,
        minutes=how_long(room),
        task=_word(task),
        output_dir=_word(f"runs/{name}"),
        sizes="".join(f"{key}: {_word(value)}\n" for key, value in sizes.items()),
        prompt=_word(prompt or plain_prompt(kind, labels)),
        examples=min(MOST_EXAMPLES, max(EXAMPLES, len(labels))) if kind == "labels" else EXAMPLES,
        room=room,
    )


def plain_prompt(kind: str, labels: Sequence[str]) -> str:
    """Return the instruction of a first try, which says what is wanted."""
    return f"Reply with one of: {', '.join(labels)}." if kind == "labels" else PLAIN[kind]


def how_long(room: int) -> str:
    """Say roughly how long a first try takes, and what room on the disk."""
    minutes = max(5, round(MINUTES * room / TOKENS))
    return f"6 steps, roughly {minutes} minutes of one core with smollm2-135m and short questions, and {DISK}"


def _word(value: Any) -> str:
    """Return a value as YAML reads it: JSON, in one line, where all of it can be shown."""
    if isinstance(value, str) and not value.isprintable():  # YAML refuses what JSON leaves as it is
        return yaml.safe_dump(value, default_style='"', width=math.inf).strip()
    return json.dumps(value, ensure_ascii=False)
