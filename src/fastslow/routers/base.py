"""The router protocol and its registry."""

from __future__ import annotations

import json
from typing import Any, Protocol

from ..errors import BadInput, FastSlowError
from ..registry import Registry
from ..types import GroupEvidence, Route


class Router(Protocol):
    """A rule from a group's evidence to a route: a pure function of the evidence and the router's own state."""

    name: str

    def route(self, evidence: GroupEvidence) -> Route: ...

    def state_dict(self) -> dict[str, Any]:
        """JSON-able state, kept in checkpoints."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


ROUTERS: Registry[Router] = Registry("router")


def make_router(spec: str, *, seed: int) -> Router:
    """`name` or `name:arguments` -> router. A dotted path names the user's own factory, called with
    `(arguments, seed=)`.

    Raises BadInput for an unknown name or arguments the rule does not take.
    """
    name, _, arguments = spec.partition(":")
    if name not in ROUTERS.names() and ("." in name or arguments.isidentifier()):
        name, arguments = spec, ""  # package.module.factory or module:factory
    factory = ROUTERS.factory(name)
    try:
        router = factory(arguments, seed=seed)
    except BadInput:
        raise
    except Exception as error:  # the user's own factory may raise anything
        raise BadInput(f"router '{spec}' cannot be made: {type(error).__name__}: {error}.") from error
    missing = [m for m in ("name", "route", "state_dict", "load_state_dict") if not hasattr(router, m)]
    if missing:
        raise BadInput(f"router '{spec}' lacks {', '.join(missing)}; see fastslow.routers.Router.")
    try:
        json.dumps(router.state_dict())
    except Exception as error:  # found out now, and not when the run's results are to be saved
        raise BadInput(f"the state of router '{spec}' is no JSON: {type(error).__name__}: {error}.") from error
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
            "it must return a fastslow.types.Route."
        )
    return route
