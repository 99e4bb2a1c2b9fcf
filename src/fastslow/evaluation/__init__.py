"""Held-out accuracy and drift, for a run while it trains and for a bundle afterwards.

evaluator.py   `Evaluator`: the current weights and the base's, task by task
accuracy.py    what it asks first: accuracy under each kind of context, with every answer
drift.py       and then: KL to the base and entropy, under each single context
bundle.py      an evaluator made of a loaded bundle

What comes out are the `Measurement`s of `fastslow.core.measurement`.
"""
