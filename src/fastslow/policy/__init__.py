"""The model that answers examples under contexts.

- `loading`: finds a model by name, folder or hub id, and loads it with its tokenizer.
- `gguf`: unpacks a GGUF file, once, into a folder that can be trained.
- `shards`: weights that are cut up between processes: gathered whole, or this process's share of them.
- `base_model`: gives access to the weights that training started from.
- `plain`: a model with adapters as the plain model that it computes like.
- `pairing`: makes a model and its tokenizer fit each other, and fit to be saved.
- `chat`: messages as the text and ids that a model reads, through its chat template.
- `policy`: renders contexts and questions, asks an engine for completions, scores them, and returns rollouts; of
  several processes each does its share.
- `conversations`: episodes of several turns, as tokens. `tool_calls`: tools in a model's own format.
- `soft_rows`: rows of soft contexts, beside a model's embedding. `soft_births`: the tokens that they are copied from.
- `thinking`: what a scorer reads of the answers of a model that thinks first.
- `dealing`: which process, or which server, makes which rollouts.
- `engines/`: sample completions; one engine a file.
- `tripwire`: compares the log-probabilities of an engine in another program with those of the model in training.
- `trials`: tries a model out before a run, so that no path is taken that would give other log-probabilities.
- `token_trees`: rows that share prefixes as one tree, so that each shared token is computed once.
- `tree_forward`: the forward pass over such trees, equal to that over the separate rows.
- `settings`: the settings of this package.

`loop`, `fast` and `evaluation` ask `policy` for rollouts; `slow` uses the token trees.
"""
