"""Make the task that a name stands for. Importing this module imports every task family."""

from __future__ import annotations

import inspect
import logging
import os
from collections.abc import Callable, Mapping
from typing import Any

from fastslow.core import foreign
from fastslow.core.errors import BadInput
from fastslow.core.registry import importable, load_dotted, nearest
from fastslow.tasks.base import TASKS, Task
from fastslow.tasks.families import codeio, hf, hover, physics, polaris, reasoning_gym, star_graph
from fastslow.tasks.own import OwnTask
from fastslow.tasks.scoring import SCORERS
from fastslow.tasks.spec import FILES, Spec, coerce, parse_spec
from fastslow.tasks.splits import SPLITS

logger = logging.getLogger(__name__)

SINGLE = frozenset({"codeio", "hover", "hover_hard", "physics", "polaris", "star_graph"})
"""Families that are one task: their names are complete without a colon."""


def resolve_task(
    spec: str,
    *,
    train_size: int | None = None,
    validation_size: int | None = None,
    test_size: int | None = None,
    data_seed: int = 0,
) -> Task:
    """Return the task of this name. Raises BadInput, naming the unusable part and the nearest known name.

    A name is `family:rest?params` of a registered family, or `package.module:factory?params` for a factory of the
    user's. That factory is called with the parameters (converted by its annotations) and with those of the four options
    here that its signature names. Sizes left None are the family's own defaults.
    """
    parsed = parse_spec(spec)
    options: dict[str, Any] = {"train_size": train_size, "validation_size": validation_size, "test_size": test_size}
    options = {key: size for key, size in options.items() if size is not None} | {"data_seed": data_seed}
    if parsed.family in TASKS.names():
        if not parsed.rest and parsed.family not in SINGLE:
            raise BadInput(f"task '{spec}' says which family but not which task; see `fastslow tasks`.")
        return TASKS.factory(parsed.family)(parsed.rest, parsed.params, **options)
    return _resolve_own(spec, parsed, options)


def list_families() -> list[tuple[str, list[tuple[str, str]]]]:
    """Return a sentence on each family, the user's own data first, with name and one-line description of its tasks:
    everything that `resolve_task` knows."""
    own = [
        ("jsonl:PATH", "A JSONL file of your own; ?scorer=NAME, or package.module:name for a scorer of your own"),
        (
            f"{hf.FAMILY}:OWNER/NAME",
            "A data set of the hub, or a local folder or file; ?question=COLUMN&answer=COLUMN&scorer=NAME",
        ),
        ("package.module:factory", "A task of your own: any object with name, split, score and answer"),
    ]
    paper = [module.describe() for module in (codeio, hover, polaris, physics, star_graph)]
    return [
        ("Your own data and tasks. The name of a file is enough: questions.csv, .json, .jsonl or .parquet.", own),
        ("Tasks after the paper. All of them can be tried offline.", [line for lines in paper for line in lines]),
        (
            "Generators of reasoning-gym: as many questions as a run asks for, nothing to download, parameters that "
            "make them easier or harder.",
            reasoning_gym.describe(),
        ),
    ]


def list_tasks() -> list[tuple[str, str]]:
    """Return name and one-line description of everything that `resolve_task` knows."""
    return [line for _, lines in list_families() for line in lines]


def foreign_code(name: str) -> str:
    """Return what in a task's name asks for foreign code: "the task 'x'", "the scorer 'x'", or ''."""
    spec = parse_spec(name)
    scorer = spec.params.get("scorer")
    if spec.family not in TASKS.names():
        return f"the task '{spec.family}'"
    return f"the scorer '{scorer}'" if scorer not in (None, *SCORERS.names()) else ""


def _resolve_own(spec: str, parsed: Spec, options: Mapping[str, Any]) -> Task:
    if ":" not in parsed.head and os.path.isdir(parsed.head):
        raise BadInput(f"task '{spec}' is a folder; of data, its name is '{hf.FAMILY}:{spec}'.")
    if ":" not in parsed.head and os.path.isfile(parsed.head):
        raise BadInput(
            f"task '{spec}' is a file that cannot be read by its ending; save it as one of {', '.join(FILES)}."
        )
    if not importable(parsed.family.partition(".")[0]):
        _refuse_unknown(spec, parsed)
    factory = load_dotted(parsed.head, "task")
    if not callable(factory):
        raise BadInput(f"task '{spec}': '{parsed.head}' is not a function that returns a task.")
    arguments = _arguments(spec, factory, parsed.params, options)
    try:
        made = foreign.call(lambda: factory(**arguments), who=f"task '{spec}'", through=(BadInput,))
        task = OwnTask(made, spec)
    except foreign.Failed as fault:
        raise BadInput(f"task '{spec}': its factory raised {fault}.") from fault
    for split in SPLITS:  # checked now, so that no run begins with a task that has none
        found, setting = len(task.split(split)), f"{split}_size"
        size = options.get(setting)
        if size is not None and setting not in arguments and found > size:
            logger.warning(
                "task '%s': %s is %d and is not applied: '%s' has no parameter of that name, and its split '%s' has %d "
                "examples. Let the function take '%s: int'.", spec, setting, size, parsed.head, split, found, setting,
            )  # fmt: skip
    return task


def _refuse_unknown(spec: str, parsed: Spec) -> None:
    if ":" not in parsed.head:
        known = {name.partition(":")[2] for name, _ in reasoning_gym.describe()}
        if parsed.head in known:
            raise BadInput(f"task '{spec}' has no family. Did you mean '{reasoning_gym.FAMILY}:{spec}'?")
    raise BadInput(
        f"task '{spec}': unknown family '{parsed.family}', and no module of that name can be imported."
        f"{nearest(parsed.family, TASKS.names())} "
        "For a task of your own write package.module:factory, with its folder on PYTHONPATH."
    )


def _arguments(
    spec: str, factory: Callable[..., Any], params: Mapping[str, str], options: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the factory's arguments: the parameters of the name, and the options that its signature names."""
    try:
        signature = foreign.call(lambda: inspect.signature(factory, eval_str=True), who=f"task '{spec}'")
    except foreign.Failed:  # an annotation that exists for type checkers only
        try:
            signature = inspect.signature(factory)
        except (TypeError, ValueError) as error:
            raise BadInput(f"task '{spec}': {error}; name a function of your own.") from None
    open_ended = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in signature.parameters.values())
    arguments: dict[str, Any] = {key: value for key, value in options.items() if key in signature.parameters}
    for key, text in params.items():
        if key not in signature.parameters and not open_ended:
            known = nearest(key, signature.parameters) if signature.parameters else " It takes none."
            raise BadInput(f"task '{spec}': its factory has no parameter '{key}'.{known}")
        parameter = signature.parameters.get(key)
        arguments[key] = text if parameter is None else _convert(spec, key, text, parameter.annotation)
    try:
        signature.bind(**arguments)
    except TypeError as error:
        raise BadInput(f"task '{spec}': {error}; give it after the question mark.") from None
    return arguments


def _convert(spec: str, key: str, text: str, annotation: Any) -> Any:
    try:
        return coerce(text, annotation)
    except ValueError as error:
        raise BadInput(f"task '{spec}': '{key}' must be {error}, got '{text}'.") from None
    except TypeError:
        return text  # no annotation, or one that only the factory can read
