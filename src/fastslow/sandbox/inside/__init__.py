"""The code that runs in the processes of the sandbox, with the standard library alone.

- `supervisor` starts first: it takes `identity` (namespaces, no privileges) and `root` (an empty file system), then
  starts the worker and reads its answer.
- `worker` limits itself with `landlock` and `seccomp` (its system calls by number are in `syscalls`), then runs
  the code.
- `kernel`: system calls that Python has no function for.

These processes start anew for every run, so that every import costs time: `typing` alone would add one sixth. Imports
for the type checker stand under `TYPE_CHECKING = False`, which type checkers take for true.
Modules here import each other by relative imports: in these processes the package is called `inside`.
"""
