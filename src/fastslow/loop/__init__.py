"""The cycle that couples both channels, one verb a stage.

- `cycle`: evolve contexts once per cycle; then for each step assign contexts to slots, roll out, route the groups, and
  hand the rows that may change the weights to `slow`.
- `rollout_cache`: rollouts of the fast phase that fill matching slots of the next slow steps.

`run` starts the loop; the loop asks `streams`, `topics`, `policy`, `fast`, `routers` and `evaluation`, and tells
`record` what happened.
"""
