"""List the guards that `make mutations` removes, one at a time: a file of them for every part of the project."""

from __future__ import annotations

from guards import (
    adapters,
    alternatives,
    critic,
    data,
    distilling,
    engines,
    evidence,
    exports,
    faults,
    losses,
    models,
    planning,
    release,
    report,
    scale,
    scoring,
    serving,
    settings,
    sharding,
    showing,
    user_code,
)
from guards.base import Mutation

PARTS = (
    faults,
    scoring,
    data,
    models,
    settings,
    user_code,
    losses,
    critic,
    adapters,
    engines,
    scale,
    sharding,
    release,
    serving,
    exports,
    evidence,
    planning,
    alternatives,
    report,
    distilling,
    showing,
)
MUTATIONS: list[Mutation] = [mutation for part in PARTS for mutation in part.MUTATIONS]
