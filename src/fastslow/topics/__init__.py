"""Which examples belong together, and which contexts belong to them.

- `topics`: `Topics`, which the loop, the fast phase and evaluations ask; by label, by cluster, or not at all.
- `embedders`: from a question to a vector. `clusters`: groups the vectors as they arrive. `change_points`: notices when
  the mix of clusters changes.
- `shelf`: answers that the stream has shown, retrieved for similar questions.
- `archive`: the contexts that scored best on each topic.
- `settings`: the settings of this package.

Examples come in through `Topics.observe`, scores through `Topics.keep` and `Topics.note`.
"""
