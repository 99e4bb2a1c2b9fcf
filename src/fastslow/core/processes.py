"""Talk between the processes of one run: number the processes, share the work, gather the results.

Every function here also works without a process group, in a single process. Objects are pickled by torch between
processes of one job, and never reach a file.
"""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from fastslow.core.errors import ContractBroken, FastSlowError

T = TypeVar("T")


def count() -> int:
    """Return the number of processes that train together."""
    group = _group()
    return group.get_world_size() if group is not None else 1


def rank() -> int:
    """Return the number of this process, from 0."""
    group = _group()
    return group.get_rank() if group is not None else 0


def is_main() -> bool:
    """Return whether this is the process that writes files and talks to people."""
    return rank() == 0


def share_of(length: int) -> slice:
    """Return the places that this process works on when `length` items are dealt out in consecutive shares."""
    return slice(rank() * length // count(), (rank() + 1) * length // count())


def gather(items: Sequence[T]) -> list[T]:
    """Join the items of every process, in the order of the processes. Every process has to call this function.

    Raises ContractBroken where another process is at another place of the code.
    """
    return [item for items_of_one in _exchange("gather", list(items)) for item in items_of_one]


def from_main(make: Callable[[], T]) -> T:
    """Call `make` on the first process and return its result on all; what `make` raises, every process raises.

    Every process has to call this function. Raises ContractBroken where another process is at another place.
    """
    if count() == 1:
        return make()
    result: Any = None
    error: Exception | None = None
    if is_main():
        try:
            result = make()
        except Exception as problem:
            error = _sendable(problem)
    result, error = _exchange("from_main", (result, error))[0]
    if error is not None:
        raise error
    return result


def together(attempt: Callable[[], T]) -> list[T]:
    """Call `attempt` on every process and return all results, in the order of the processes; what one of them raises,
    every process raises. Every process has to call this function."""
    if count() == 1:
        return [attempt()]
    result: Any = None
    error: Exception | None = None
    try:
        result = attempt()
    except Exception as problem:
        error = _sendable(problem)
    everyone = _exchange("together", (result, error))
    for _, problem in everyone:
        if problem is not None:
            raise problem
    return [one for one, _ in everyone]


def wait() -> None:
    """Return when every process has come to this place."""
    _exchange("wait", None)


def check_same(what: str, value: object) -> None:
    """Raise ContractBroken on every process where `value`, by its repr, is not the same on all of them."""
    if count() == 1:
        return
    digest = hashlib.sha256(repr(value).encode("utf-8", "backslashreplace")).hexdigest()
    if len(set(_exchange(what, digest))) > 1:
        raise ContractBroken(f"the processes of this run disagree about {what}: {NOT_A_FUNCTION}")


NOT_A_FUNCTION = (
    "some router, scorer, stream or proposer of this run gives another answer in another process; it has to be a "
    "function of its arguments and seed"
)


def _exchange(purpose: str, own: T) -> list[T]:
    """Give every process what each one brought, in their order.

    All that processes say to each other passes here with its purpose: where their ways have parted, one of them comes
    with another purpose, and all of them end with an error instead of waiting for ever.
    """
    group = _group()
    if group is None:
        return [own]
    everyone: list[Any] = [None] * group.get_world_size()
    group.all_gather_object(everyone, (purpose, own))
    purposes = [other for other, _ in everyone]
    if len(set(purposes)) > 1:
        raise ContractBroken(f"the processes of this run are at different places ({purposes}): {NOT_A_FUNCTION}")
    return [brought for _, brought in everyone]


def _group() -> Any:
    """Return torch.distributed where a process group of several is up, else None."""
    from torch import distributed  # torch takes seconds to import, and `fastslow --help` should not wait for it

    joined = distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1
    return distributed if joined else None


def _sendable(error: Exception) -> Exception:
    """Return the error itself where it can be pickled and restored, else its message in an error of ours."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # an error of a user's code may hold anything
        return FastSlowError(f"{type(error).__name__}: {error}")
    return error
