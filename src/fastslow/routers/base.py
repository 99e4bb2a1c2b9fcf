"""The router protocol and its registry."""

from __future__ import annotations

import json
import reprlib
from collections.abc import Sequence
from typing import Any, Protocol

from fastslow.core.errors import BadInput, FastSlowError
from fastslow.core.registry import Registry
from fastslow.core.types import GroupEvidence, Route


class Router(Protocol):
    """A rule from a group's evidence to a route: a pure function of the evidence and the router's own state.

    Three more attributes are optional. `observe(evidence, route)` is called once for every group after all of its step
    were decided, with the route that was really taken: the one place where a rule may learn. `explain(evidence)`
    returns a dict of plain numbers and words that goes into routes.jsonl. `control = True` exempts a rule from the
    smallest shares.
    """

    name: str

    def route(self, evidence: GroupEvidence) -> Route: ...

    def state_dict(self) -> dict[str, Any]:
        """State that JSON keeps as it is (keys are text, no tuples, no NaN), for checkpoints."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class StatelessRouter:
    """For rules that remember nothing."""

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        return None


ROUTERS: Registry[Router] = Registry("router")

DEEPEST = 200
"""Characters of the way into a state, in an error message: what holds itself has no end."""


def number_argument(router: str, arguments: str, *, default: float) -> float:
    """The one number in [0, 1] after the colon. Raises BadInput for anything else."""
    return number_arguments(router, arguments, defaults=(default,), limits=((0.0, 1.0),))[0]


def number_arguments(
    router: str, arguments: str, *, defaults: Sequence[float], limits: Sequence[tuple[float, float]]
) -> list[float]:
    """Numbers after the colon, in order; those left out have their defaults. Raises BadInput outside of `limits`."""
    given = arguments.split(",") if arguments else []
    try:
        numbers = [float(text) for text in given]
        within = all(low <= x <= high for x, (low, high) in zip(numbers, limits, strict=False))
    except ValueError:
        within, numbers = False, []
    if not within or len(given) > len(defaults):
        expected = " and ".join(f"a number from {low:g} to {high:g}" for low, high in limits)
        example = ",".join(f"{x:g}" for x in defaults)
        raise BadInput(f"router '{router}:{arguments}': give {expected}, as in {router}:{example}.")
    return [*numbers, *defaults[len(numbers) :]]


def make_router(spec: str, *, seed: int) -> Router:
    """`name` or `name:arguments` -> router. A dotted path, also with `:arguments`, names the user's own factory, which
    is called with `(arguments, seed=)`.

    Raises BadInput for an unknown name or arguments the rule does not take.
    """
    factory, arguments = ROUTERS.resolve(spec)
    try:
        router = factory(arguments, seed=seed)
        missing = [m for m in ("name", "route", "state_dict", "load_state_dict") if not hasattr(router, m)]
    except BadInput:
        raise
    except Exception as error:  # the user's own factory may raise anything
        raise BadInput(f"router '{spec}' cannot be made: {type(error).__name__}: {error}.") from error
    if missing:
        raise BadInput(f"router '{spec}' lacks {', '.join(missing)}; see fastslow.routers.Router.")
    try:
        checked_state(router)  # found out now, and not when the first checkpoint is to be written
    except FastSlowError as error:
        raise BadInput(f"router '{spec}' cannot be used: {error}") from error
    return router


def checked_route(router: Router, evidence: GroupEvidence) -> Route:
    """The router's decision. Raises FastSlowError where a router of the user's returns something else."""
    try:
        route = router.route(evidence)
    except Exception as error:
        problem = f"{type(error).__name__}: {error}"
        raise FastSlowError(f"router '{router.name}' raised {problem} for example {evidence.example_id}") from error
    if not isinstance(route, Route):
        raise FastSlowError(
            f"router '{router.name}' returned {route!r} for example {evidence.example_id}; "
            "it must return a fastslow.core.types.Route."
        )
    return route


def checked_state(router: Router) -> dict[str, Any]:
    """The router's state. Raises FastSlowError naming what of it a checkpoint would lose or change."""
    try:
        state = router.state_dict()
    except Exception as error:
        problem = f"{type(error).__name__}: {error}"
        raise FastSlowError(f"router '{router.name}' raised {problem} when asked for its state") from error
    changed = _not_json(state)
    if changed is not None:
        raise FastSlowError(
            f"the state of router '{router.name}' cannot be saved: {changed} does not come back from JSON as it is; "
            "use dicts with keys of text, lists, text, finite numbers, booleans and None."
        )
    return state


def _not_json(value: Any, at: str = "state") -> str | None:
    """The innermost part of `value` that JSON refuses or changes, and where it is; None where all comes back equal."""
    try:
        if json.loads(json.dumps(value, allow_nan=False)) == value:
            return None
    except Exception:  # what a user's own objects raise, and what is nested without end
        pass
    parts = value.items() if type(value) is dict else enumerate(value) if type(value) is list else ()
    inner = (_not_json(part, f"{at}[{key!r}]") for key, part in parts if len(at) < DEEPEST)
    return next((found for found in inner if found), None) or f"{at} = {reprlib.repr(value)}"
