"""The model that answers examples under contexts.

- `loading`: finds a model by name, folder or hub id, and loads it with its tokenizer.
- `policy`: renders contexts and questions, asks an engine for completions, scores them, and returns rollouts.
- `engines/`: sample completions; one engine a file.
- `token_trees`: rows that share prefixes as one tree, so that each shared token is computed once.
- `tree_forward`: the forward pass over such trees, equal to that over the separate rows.

`loop`, `fast` and `evaluation` ask `policy` for rollouts; `slow` uses the token trees.
"""
