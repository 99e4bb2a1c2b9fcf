"""One run, from settings to bundle.

- `train`: the whole run, called by `cli.train` and `cli.resume`: assemble, train, measure, write bundle and summary.
- `preflight`: refuses a run that disk or memory cannot hold, before anything is written.
- `assemble`: makes task, stream, fast channel, router and topics from the settings.
- `checkpoints`: decides when a checkpoint is written and which ones are kept.
- `resume`: chooses the checkpoint to continue from and cuts the files back to it.
- `wall_time`: ends a run in time, counted over all its resumes.
"""
