"""Take one run from settings to bundle.

- `train`: the whole run, or the rest of one; called by `cli.train` and `cli.resume`.
- `costing`: what the costs of a run depend on, read off its settings; `cli.doctor` and `preflight` ask.
- `preflight`: refuses a run that disk or memory cannot hold, before anything is written.
- `trainer`: `FastSlowTrainer`, both channels of a run assembled; listens to what happens between the steps.
- `assemble`: makes task, stream, fast channel, router, topics and steering from the settings. `measuring`: makes the
  policy, the base and the evaluator.
- `carry`: what a run takes over from a finished one.
- `checkpoints`: decides when a checkpoint is written, which ones are kept, and goes back to one. `mirror`: copies them
  to a second place.
- `signals`: ends a run after its step.
- `closing`: bundle, last measurements and summary.
- `resume`: chooses the checkpoint to continue from and cuts the files back to it.
- `distill`: trains the contexts of a bundle into its weights; called by `cli.distill`. `pairs`: the questions of that,
  each under the student's and the teacher's context.
- `wall_time`: ends a run in time, counted over all its resumes.
"""
