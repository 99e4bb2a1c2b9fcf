"""Talk between the processes of one run: number the processes, share the work, gather the results.

Every function here also works without a process group, in a single process. Objects are pickled by torch between
processes of one job, and never reach a file.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from fastslow.core.errors import FastSlowError

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
    """Join the items of every process, in the order of the processes. Every process has to call this function."""
    group = _group()
    if group is None:
        return list(items)
    everyone: list[Any] = [None] * group.get_world_size()
    group.all_gather_object(everyone, list(items))
    return [item for items_of_one in everyone for item in items_of_one]


def from_main(make: Callable[[], T]) -> T:
    """Call `make` on the first process and return its result on all; what `make` raises, every process raises.

    Every process has to call this function.
    """
    group = _group()
    if group is None:
        return make()
    box: list[Any] = [None, None]
    if is_main():
        try:
            box[0] = make()
        except Exception as error:
            box[1] = _sendable(error)
    group.broadcast_object_list(box, src=0)
    if box[1] is not None:
        raise box[1]
    return box[0]


def wait() -> None:
    """Return when every process has reached this call."""
    group = _group()
    if group is not None:
        group.barrier()


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
