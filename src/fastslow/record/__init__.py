"""What is written and shown while a run works.

- `recorder`: writes metrics, routes, contexts, rollouts and evaluations to the run directory, and keeps the tallies for
  summary.json.
- `display`: shows progress to a person, on a terminal or as plain lines.
- `trackers`: the project and the run of trackers (`report_to`) that a run directory belongs to.
- `tables`: prints a table, or on a narrow terminal its rows.
- `settings`: the settings of this package.

`loop` and `run` tell the recorder what happened; the recorder tells the display. Nothing here changes a run.
"""
