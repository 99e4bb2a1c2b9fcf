"""Measures a run or a bundle: held-out accuracy under each kind of context, and the distance from the base model.

- `accuracy`: rollouts of a split under contexts, their mean reward, and the KL divergence to the base.
- `evaluator`: asks for these measures during a run, and for the four quadrants at its end.

`loop` and `run` ask during training, `cli.eval` asks for a bundle. The rows go to `record` and, from files, to
`report`.
"""
