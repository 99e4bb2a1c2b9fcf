"""Couple both channels in a cycle, one verb a stage.

- `cycle`: `Cycle`, which `slow` asks for one step after another: evolve contexts once per cycle; then for each step
  make groups, route them, and hand over what the weights learn from.
- `groups`: the groups of a step: what the router plans, contexts dealt to slots, rollouts, and the batch's rows.
- `weighing`: what all rollouts say of the contexts, and the lead, members and archive that follow it.
- `births`: soft contexts that enter the population from texts.
- `teaching`: what the model sees as a teacher of itself, in modes that have one.
- `state`: what the cycle carries from step to step, a part of every checkpoint.
- `rollout_cache`: rollouts of the fast phase that fill matching slots of the next slow steps.

`run` assembles the cycle; the cycle asks `streams`, `topics`, `policy`, `fast` and `routers`, and tells `record` what
happened. The cycle knows neither TRL nor the optimiser.
"""
