"""Measure a run or a bundle: held-out accuracy under each kind of context, and the distance from the base model.

- `evaluator`: `Evaluator`, which measures the current weights and the base's, task by task.
- `accuracy`: what the evaluator measures first: the mean reward under each kind of context, with every answer.
- `drift`: what it measures next: the KL divergence to the base, and the entropy, under each single context.
- `bundle`: an evaluator made of a loaded bundle.
- `settings`: the settings of this package.

`run` asks during training, `cli.eval` asks for a bundle. The results are `core.measurement.Measurement`s; they go to
`record` and, from files, to `report`.
"""
