"""Engines sample completions of prompts. One engine a file.

- `base`: the protocol `Engine` that every engine follows, and what goes in and comes out.
- `make`: makes the engine of a run or of an evaluation.
- `transformers`: samples with the model that is being trained, and computes each prefix that prompts share only once.
- `rows`: continues the rows of a batch, in the way that the model's cache allows.
- `vllm`: samples on vLLM servers over HTTP, and brings them the weights.
- `transport`: the two ways in which weights reach a server: whole by disk, or as adapters.
- `servers`: what is asked of one vLLM server, in its HTTP dialect; its answers are checked, not trusted.
- `servable`: the folder that a server is started on, and the weights that are written for it.
- `calls`: concurrent calls over HTTP, to their end or until one fails.
"""
