"""Reports: pure functions of run directories, also of unfinished and damaged ones. `cli.report` calls this package.

- `reading/`: from run directories to typed rows, with a notice for whatever is missing or damaged.
- `questions/`: what is asked of that data, one question a file; numbers come from `metrics`.
- `pages/`: the answers as text, rows, one HTML file or a picture.

Data flows in this order, and nothing is written back to a run.
"""
