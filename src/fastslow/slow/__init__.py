"""The slow channel: the weights, updated by RL through TRL. The only package that overrides TRL's trainers.

- `channel`: `SlowChannel`, the only interface that other packages use: train, fit, evaluate, weights, parts of a
  checkpoint.
- `hooks`: the protocols of the caller: `StepSource.next_step` returns a `StepBatch`, a `Listener` is called between the
  steps.
- `adapters/`: what of the weights is trained: all of them, or an adapter of some kind; one kind a file.
- `trainer`: the one subclass of TRL's `GRPOTrainer`. `replay`: rollouts made elsewhere as TRL's rollout and reward
  functions.
- `rehearsal`: two steps of a stand-in, by which settings that the libraries refuse late are refused before a run.
- `batches`: which rows can change the weights, and how much each counts. `split`: these rows as micro-batches.
  `cuts`: where rows are cut into forwards.
- `advantages`: how good each row is, where that is not TRL's to say. `teacher`: rows drawn to what the model itself
  says under another prompt.
- `critic`: what a token is worth, estimated from hidden states, in place of comparing rollouts. `uncertain`: the tokens
  that the model is least sure of.
- `soft`: the rows of soft contexts, trained by the same loss with an optimiser of their own.
- `padding`: rows padded so that the model computes each as if it were alone. `trials`: the model tried out with the
  trainer, forwards and back.
- `steering`: what limits the update: the KL coefficient by `kl_budget`, the floors of `retention`, rehearsal.
- `sharding`: how weights and optimiser are cut up between processes, and what of that is refused. `zero`: what
  DeepSpeed's engine does out of our sight.
- `limits`: what a model cannot be trained with.
- `state`: optimiser, counters and random states as parts of a checkpoint.
- `distill`: the one subclass of TRL's `SDFTTrainer`, which trains a student on a teacher that sees a context.
  `run.distill` calls it, outside of any run.
- `settings`: the settings of this package.

`loop.cycle` is the source of steps, `run.trainer` the listener; TRL runs the optimiser.
"""
