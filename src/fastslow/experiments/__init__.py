"""Experiments: many runs that together answer one question.

- `plan`: the cells of an experiment: modes, seeds and swept settings.
- `arms`: ways to adapt a model by name, each a set of settings.
- `experiment`: runs each cell once, in order, and resumes what was interrupted; `cli.compare`, `cli.continual` and
  `cli.plasticity` call it.
- `probe/`: measures the counterfactual routes of single examples; `cli.probe_routes` calls it.

Every cell is an ordinary run directory, which `report` reads.
"""
