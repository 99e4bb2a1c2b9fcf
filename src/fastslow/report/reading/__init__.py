"""From run directories to data, with a notice for whatever is missing or damaged in a file.

- `sources`: which runs a report is about. `data`: one run as `RunData`. `rows`: typed rows of a run's files.
  `contexts`: the contexts of a run or a bundle. `soft`: what the rows of soft ones are near. `values`: what a file may
  hold in the place of a number or a name.

Nothing here raises for what a file holds, but `contexts` for a population that cannot be read.
"""
