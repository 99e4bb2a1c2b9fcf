"""Fast weights as values: contexts and the population of them. Nothing here calls a model.

- `context`: one context, its components, and how it is rendered before a question (`render`).
- `population`: the contexts in use with their scores, the Pareto frontier, the lead, and which slots of a group each
  context gets.

The fast channel replaces the population once per cycle; `policy` renders contexts for every rollout; `topics` chooses
among contexts; `bundles` and checkpoints write the population as JSON.
"""
