"""Tasks: sources of examples with a scorer. In the order in which data flows:

- `spec` takes a task name, `family:rest?key=value`, apart; `names` shortens names for people.
- `resolve` makes the task of a name, and is the only module that imports all families.
- `families/` has one family a file: generators (`reasoning_gym`, `star_graph`), recorded programs (`codeio`), claims
  over a knowledge base (`hover`, with `retrieval`), and rows of data (`rows`, read by `sources`: `jsonl` and `hf` for
  the user's own files, `polaris` and `physics` with the samples in `samples/`).
- `damage` finds what a file format made of a text; `doubts` collects what in questions and answers was hardly meant.
- `splits` divides questions into train, validation and test; `task_set` joins several tasks to one.
- `scoring/` has scorers by name; `screen` in `families/` keeps hostile text from the scorers of reasoning-gym.
- `own` holds a task of the user's to the protocol. `verdicts` words the feedback; `check` tests a user's task for
  `fastslow tasks check`.
- `episodes`: environments, whose replies depend on what the model says. `tools`: those whose methods the model calls.
- `draft` makes a task of data for `fastslow tasks new`, with a scorer from `skeletons/`, by what the answers are
  (`answer_kinds`); `first_try` writes the recipe of a first run.
- `settings`: the settings of this package.

`base` has the protocol `Task`; everything outside this package knows only that protocol. Importing the package imports
no family.
"""

from fastslow.tasks.base import TASKS, Task

__all__ = ["TASKS", "Task"]
