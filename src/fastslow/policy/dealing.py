"""Deal rollouts out to the processes of a run, or to servers, so that each context stays where its tokens were
computed."""

from __future__ import annotations

from collections.abc import Hashable, Sequence


class Dealer:
    """Give every process an equal share of the jobs, and a context to as few processes as that allows.

    What holds for processes holds for the servers of an engine too.

    An engine computes the tokens of a context once and keeps them until the weights change. A process that answered
    under a context before is therefore given its next jobs. Each process has a dealer of its own; all deal alike
    because they see the same jobs.
    """

    def __init__(self) -> None:
        self._homes: dict[Hashable, list[int]] = {}

    def forget(self) -> None:
        """Forget who answered under which context; call it where engines drop what they have computed."""
        self._homes.clear()

    def deal(self, contexts_N: Sequence[Hashable], processes: int) -> list[list[int]]:
        """Return the places of each process's jobs, given the context of every job."""
        count = len(contexts_N)
        room = [(process + 1) * count // processes - process * count // processes for process in range(processes)]
        places: dict[Hashable, list[int]] = {}
        for place, context in enumerate(contexts_N):
            places.setdefault(context, []).append(place)
        dealt: list[list[int]] = [[] for _ in room]

        def give(context: Hashable, process: int) -> None:
            taken, places[context] = places[context][: room[process]], places[context][room[process] :]
            room[process] -= len(taken)
            dealt[process] += taken
            homes = self._homes.setdefault(context, [])
            if taken and process not in homes:
                homes.append(process)

        for context in places:
            for process in list(self._homes.get(context, ())):
                give(context, process)
        for context in sorted(places, key=lambda context: -len(places[context])):
            while places[context]:
                give(context, max(range(processes), key=room.__getitem__))
        return [sorted(own) for own in dealt]
