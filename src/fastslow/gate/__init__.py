"""A release gate: does a candidate keep what the baseline can, and gain what is asked, with a known error rate?

- `policy` reads what is asked for; `floor` is what a champion's policy asks of all later ones. `questions` chooses
  questions that nobody trained or selected on: `met` knows those that were.
- `sides` holds the two models; `general` has prose and neutral prompts, `samples` answers that another program scored.
- `gate`: `run_gate` asks both models the same questions, look by look, until `decide` has decided every check;
  `figures` adds what is not paired by question.
- `verdict` is the outcome, and `audit` recomputes it from what it holds. `terminal`, `junit` and `page` (with `assets`)
  show one; `plan` says beforehand how many questions it takes.

The statistics are in `metrics` (`paired`, `sequential`, `power`). `cli.gate` calls this package; `registry` reads
policies and verdicts, and needs no torch for it.
"""
