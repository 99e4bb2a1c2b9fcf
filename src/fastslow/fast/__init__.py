"""The fast channel: one GEPA phase over the population, with the live policy doing the rollouts.

- `phase`: `FastChannel.evolve`, called by `loop` once per cycle: population in, population and an account out.
- `gepa`: the only module that knows gepa: its adapter, the carried contexts, and the budget of metric calls.
- `effort`: how much of that budget a phase gets, after what the last ones brought.
- `proposers/`: how a child context is made from its parent, and what a child must pass before it costs a rollout.
- `reflection/`: the language models that proposers may ask.
- `settings`: the settings of this package.

Data flows from `phase` through `gepa` to a proposer and back; rollouts are made by `policy`.
"""
