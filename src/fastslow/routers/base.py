"""The router protocol and its registry."""

from __future__ import annotations

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
    router = ROUTERS.factory(name)(arguments, seed=seed)
    missing = [m for m in ("name", "route", "state_dict", "load_state_dict") if not hasattr(router, m)]
    if missing:
        raise BadInput(f"router '{spec}' lacks {', '.join(missing)}; see fastslow.routers.Router.")
    return router


def checked_route(router: Router, evidence: GroupEvidence) -> Route:
    """The router's decision. Raises FastSlowError where a router of the user's returns something else."""
    route = router.route(evidence)
    if not isinstance(route, Route):
        raise FastSlowError(
            f"router '{router.name}' returned {route!r} for example {evidence.example_id}; "
            "it must return a fastslow.types.Route."
        )
    return route
