"""Each question that a report answers, as pure functions of what `reading` returns.

- `compare`, `series`: arms side by side, and curves over seeds. `controls`, `verdict`: whether the training paid.
  `alone`: what a single run learned.
- `continual`, `streams`, `course`: several tasks: stages, streams without stages, one run from inside.
- `plasticity`, `costs`, `lineage`, `contexts`, `routes`, `examples`: one question each. `pages` shows the answers.
"""
