"""Fast weights as values: contexts and the population of them. Nothing here calls a model.

- `context`: one context and its components.
- `soft`: the names of rows beside the embedding, for contexts that are no text.
- `rendering`: from a context and a question to messages, one function for each kind of component.
- `population`: the contexts in use with their scores, the Pareto frontier, the lead.
- `evidence`: what all rollouts together say of each context, with its uncertainty.
- `slots`: which slots of a group each context gets, evenly or by that evidence.
- `storage`: the population as a file of a bundle.
- `settings`: the settings of this package.

The fast channel replaces the population once per cycle; `policy` renders contexts for every rollout; `topics` chooses
among contexts; `bundles` and checkpoints write the population as JSON.
"""
