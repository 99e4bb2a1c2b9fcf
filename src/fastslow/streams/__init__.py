"""Streams: the order in which examples arrive. `STREAMS` is the registry of schedules.

- `epochs`: the protocol `Stream`, one task in shuffled epochs, and the lookahead.
- `schedules`: what a schedule is, `make_schedule` from a setting such as `mixture:0.5,0.5`, and `ScheduledStream`.
- `blocks`: `sequence`, `recur:ROUNDS`, `interleave:STEPS`: one task at a time. `overlap`: `overlap:SHARE`, a sequence
  whose neighbouring stages share examples.
- `dealt`: `mixture:WEIGHTS`, `drift`: each place of a batch is dealt to a task by weights.
- `arrival`: the lines of a file in their order. `streamed`: a data set larger than memory.
- `rehearsal`: a share of each batch from the past. `labels`: what the learner is told of an example's task.
- `arrivals`: which examples have arrived before a step.
- `settings`: the settings of this package.

A stream is a function of the step, and a schedule is one of step and slot, without state: `run.assemble` makes one, and
a run may continue at any step exactly.
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
