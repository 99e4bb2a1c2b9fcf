"""The slow channel: the weights, updated by RL through TRL. The only package that overrides TRL's trainer.

- `trainer`: the subclass of TRL's `GRPOTrainer`, which computes the loss on token trees.
- `batches`: from routed rollouts to micro-batches: which rows can change the weights, and their advantages.
- `steering`: what limits the update: the KL coefficient by `kl_budget`, the floors of `retention`, rehearsal.
- `state`: what a checkpoint holds of all this.

`loop` supplies the rollouts of each step; TRL runs the optimiser.
"""
