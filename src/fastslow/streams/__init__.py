"""Streams over several tasks, and over a file in its own order. `STREAMS` is their registry.

    base.py       what a schedule is; `make_schedule` from a setting such as `mixture:0.5,0.5`; `ScheduledStream`
    blocks.py     `sequence`, `recur:ROUNDS`, `interleave:STEPS`: one task at a time
    dealt.py      `mixture:WEIGHTS`, `drift`: every place of a batch dealt to a task by weights
    overlap.py    `overlap:SHARE`: a sequence whose neighbouring stages share examples
    arrival.py    `arrival`: the lines of a file as they stand

A schedule says from which task, and from which place in that task's own order, each place of a batch is filled. It
knows nothing of examples, holds no state, and answers for any step at once: a stream can be cut anywhere and go on
exactly.
"""

from fastslow.streams import blocks, dealt, overlap
from fastslow.streams.arrival import ARRIVAL, ArrivalStream
from fastslow.streams.schedules import SEQUENCE, STREAMS, Schedule, ScheduledStream, Setting, has_stages, make_schedule

__all__ = [
    "ARRIVAL",
    "SEQUENCE",
    "STREAMS",
    "ArrivalStream",
    "Schedule",
    "ScheduledStream",
    "Setting",
    "blocks",
    "dealt",
    "has_stages",
    "make_schedule",
    "overlap",
]
