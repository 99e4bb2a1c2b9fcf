"""From run directories to data, with a notice for whatever a file does not say.

- `sources`: which runs a report is about. `data`: one run as `RunData`. Nothing here raises for what a file holds.
"""
