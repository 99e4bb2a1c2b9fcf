"""Engines sample completions of prompts. One engine a file; `policy.policy.Sampler` is their protocol.

- `transformers`: samples with the model that is being trained, and computes each prefix that prompts share only once.
"""
