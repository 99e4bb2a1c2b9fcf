"""Define the router protocol and its registry."""

from __future__ import annotations

import json
import reprlib
from collections.abc import Sequence
from typing import Any, Protocol

from fastslow.core import foreign
from fastslow.core.errors import BadInput, FastSlowError
from fastslow.core.registry import Registry
from fastslow.core.types import GroupEvidence, Plan, Route, Upcoming


class Router(Protocol):
    """Decide the route of a group: a pure function of the evidence and of the router's own state.

    Four more attributes are optional. `plan(upcoming)` is called before the rollouts of a step with one `Upcoming` for
    each example, and returns one `Plan` for each; without it every example gets G rollouts. `observe(evidence, route)`
    is called once for every group that was rolled out, after all groups of the step were decided, with the route that
    was taken: a rule may learn here and nowhere else. `explain(evidence)` returns a dict of plain numbers and words for
    routes.jsonl. `control = True` exempts a rule from the smallest shares.
    """

    name: str

    def route(self, evidence: GroupEvidence) -> Route: ...

    def state_dict(self) -> dict[str, Any]:
        """Return the state for checkpoints, in a form that JSON preserves: keys are text, no tuples, no NaN."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class StatelessRouter:
    """Base class of rules without state."""

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        return None


ROUTERS: Registry[Router] = Registry("router")

DEEPEST = 200
"""Longest path into a state in an error message, in characters: a state that contains itself has no end."""


def number_argument(router: str, arguments: str, *, default: float) -> float:
    """Return the one number in [0, 1] after the colon. Raises BadInput for anything else."""
    return number_arguments(router, arguments, defaults=(default,), limits=((0.0, 1.0),))[0]


def number_arguments(
    router: str, arguments: str, *, defaults: Sequence[float], limits: Sequence[tuple[float, float]]
) -> list[float]:
    """Return the numbers after the colon, in order, with defaults for missing ones. Raises BadInput for a number
    outside `limits`."""
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
    """Make the router of `name` or `name:arguments`. A dotted path, also with `:arguments`, names a factory of the
    user's, which is called with `(arguments, seed=)`.

    Raises BadInput for an unknown name, for arguments that the rule does not take, and for an object that is not a
    router.
    """
    factory, arguments = ROUTERS.resolve(spec)

    def made() -> tuple[Router, list[str]]:
        router = factory(arguments, seed=seed)
        return router, [m for m in ("name", "route", "state_dict", "load_state_dict") if not hasattr(router, m)]

    router, missing = ROUTERS.make(spec, made)
    if not missing and not isinstance(router.name, str):
        raise BadInput(f"router '{spec}': its name is {type(router.name).__name__}, not text.")
    if missing:
        raise BadInput(f"router '{spec}' lacks {', '.join(missing)}; see fastslow.routers.Router.")
    try:
        checked_state(router)  # checked now, so that the first checkpoint does not fail
    except FastSlowError as error:
        raise BadInput(f"router '{spec}' cannot be used: {error}") from error
    return router


def checked_route(router: Router, evidence: GroupEvidence) -> Route:
    """Return the router's decision. Raises FastSlowError where a router of the user's fails or returns anything but a
    Route."""
    try:
        route = foreign.call(router.route, evidence, who=f"router '{router.name}'")
    except foreign.Failed as fault:
        raise FastSlowError(f"router '{router.name}' raised {fault} for example {evidence.example_id}") from fault
    if not isinstance(route, Route):
        raise FastSlowError(
            f"router '{router.name}' returned {route!r} for example {evidence.example_id}; "
            "it must return a fastslow.core.types.Route."
        )
    return route


def checked_plans(router: Router, upcoming: Sequence[Upcoming]) -> list[Plan]:
    """Return what the router plans for the examples of a step: G rollouts each for a rule without `plan`.

    Raises FastSlowError where a router of the user's fails, returns anything but a Plan for each example, or plans for
    more rollouts than the step has room for: `Upcoming.rollouts` for each example, taken in whole groups.
    """
    if not plans_ahead(router):
        return [Plan(one.rollouts) for one in upcoming]
    planner: Any = router
    try:
        plans = foreign.call(lambda: list(planner.plan(list(upcoming))), who=f"router '{router.name}'")
    except foreign.Failed as fault:
        raise FastSlowError(f"router '{router.name}' raised {fault} when it planned a step") from fault
    if len(plans) != len(upcoming):
        raise FastSlowError(f"router '{router.name}' planned {len(plans)} examples of the {len(upcoming)} of a step.")
    for one, plan in zip(upcoming, plans, strict=True):
        _check_plan(router, one, plan)
    asked = sum(groups_of(plan.rollouts, one.rollouts) for one, plan in zip(upcoming, plans, strict=True))
    if asked > len(upcoming):
        raise FastSlowError(
            f"router '{router.name}' planned rollouts for {asked} groups in a step of {len(upcoming)}; whatever one "
            "example gets beyond its own group, another has to leave."
        )
    return plans


def plans_ahead(router: Router) -> bool:
    """Return whether the rule has a say before the rollouts."""
    return getattr(router, "plan", None) is not None


def groups_of(rollouts: int, group: int) -> int:
    """Return how many groups of the batch hold so many rollouts of an example."""
    return -(-rollouts // group)


def _check_plan(router: Router, one: Upcoming, plan: Any) -> None:
    said = f"router '{router.name}' planned {plan!r:.120} for example {one.example_id}; "
    if not isinstance(plan, Plan) or type(plan.rollouts) is not int or plan.rollouts < 0:
        raise FastSlowError(said + "it must plan a fastslow.core.types.Plan with a whole number of rollouts from 0 on.")
    if plan.route is not None and not isinstance(plan.route, Route):
        raise FastSlowError(said + "its route must be a fastslow.core.types.Route or None.")
    if not plan.rollouts and plan.route is not None and plan.route.slow:
        raise FastSlowError(said + "without rollouts the weights have nothing to learn from: take FAST or SKIP.")


def checked_state(router: Router) -> dict[str, Any]:
    """Return a copy of the router's state. Raises FastSlowError, naming the part that a checkpoint would lose or
    change."""
    try:
        state = foreign.call(lambda: foreign.fresh(router.state_dict()), who=f"router '{router.name}'")
    except foreign.Failed as fault:
        raise FastSlowError(f"router '{router.name}' raised {fault} when asked for its state") from fault
    changed = _not_json(state)
    if changed is not None:
        raise FastSlowError(
            f"the state of router '{router.name}' cannot be saved: {changed} does not come back from JSON as it is; "
            "use dicts with keys of text, lists, text, finite numbers, booleans and None."
        )
    return state


def _not_json(value: Any, at: str = "state") -> str | None:
    """Return the innermost part of `value` that JSON refuses or changes, with its place; None where all parts come back
    equal."""
    try:
        if json.loads(json.dumps(value, allow_nan=False)) == value:
            return None
    except Exception:  # objects of the user's raise many kinds of error, and a value may be nested without end
        pass
    parts = value.items() if type(value) is dict else enumerate(value) if type(value) is list else ()
    inner = (_not_json(part, f"{at}[{key!r}]") for key, part in parts if len(at) < DEEPEST)
    return next((changed for changed in inner if changed), None) or f"{at} = {reprlib.repr(value)}"
