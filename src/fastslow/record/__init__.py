"""What is written and shown while a run works.

- `recorder`: writes metrics, routes, contexts, rollouts and evaluations to the run directory, and keeps the tallies for
  summary.json.
- `live_file`: notes what a run does now, for whoever watches it from elsewhere.
- `progress`: how far a run has come, from the lines that it writes, and what is left. `view`: that in one line, or a
  few.
- `display`: shows progress to a person, on a terminal or as plain lines. `terminal`: one that may close.
- `watching`: the same from the files of a run in another process.
- `trackers`: the project and the run of trackers (`report_to`) that a run directory belongs to.
- `tables`: prints a table, or on a narrow terminal its rows.
- `settings`: the settings of this package.

`loop` and `run` tell the recorder what happened; the recorder tells the display. `cli.watch` needs no recorder. Nothing
here changes a run.
"""
