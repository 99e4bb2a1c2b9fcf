"""Engines sample completions of prompts. One engine a file.

- `base`: the protocol `Sampler` that every engine follows, and what goes in and comes out.
- `make`: makes the engine of a run or of an evaluation.
- `transformers`: samples with the model that is being trained, and computes each prefix that prompts share only once.
- `rows`: continues the rows of a batch, in the way that the model's cache allows.
"""
