"""Run untrusted code in a process that can reach nothing but its own memory.

    run_python(source, call, arguments)          this process
        `-> supervisor                           own namespaces, empty root, no privileges; trusted
              `-> worker (pid 1 of its own)      + limits, Landlock, seccomp; runs the code; never trusted
              <-  bytes on a pipe, at most limits.output of them
        <-  one JSON report: a value, or why there is none

- `types`: `Limits`, `Result` and the exception. `run`: starts the supervisor and reads its report.
- `inside`: what runs in the other process, never imported by this one: `supervisor`, which walks through `identity`
  (namespaces, privileges), `root` (what files there are) and `worker` (`landlock`, `seccomp`, then the code).

docs/sandbox.md says what is promised, what is not, and what a forged result can and cannot be.
"""

from __future__ import annotations

from fastslow.sandbox.run import isolation, run_python
from fastslow.sandbox.types import Json, Kind, Limits, Result, SandboxUnavailable

__all__ = ["Json", "Kind", "Limits", "Result", "SandboxUnavailable", "isolation", "run_python"]
