"""The command line: one command a file, words in, exit code out. `fastslow --help` lists them.

- `main`: finds the command, runs it, and turns errors into one line and an exit code.
- `train`, `resume`: one run. `watch`: shows one that another process works on. `eval`: measures a bundle
  (`eval_notes`: what its table does not say). `ask`: one answer of it. `report`: shows run directories. `contexts`:
  their contexts.
- `distill`: trains contexts into the weights. `export`: writes a folder that stock servers load. `serve`: answers
  requests.
- `compare`, `continual`, `plasticity`: many runs as one experiment. `probe_routes`: what each route would have gained.
- `gate`: a candidate against a baseline. `registry`: versions of released models.
- `tasks`: lists, shows and checks tasks. `doctor`: checks the installation; `costs`: its page of what a recipe would
  cost. `engine`: prepares what servers serve.
- `released`: what was gated of a version. `flags`: what commands share. `closing`: what a person reads at a run's end.
  `called`: how a person calls a command again.

A command imports what it needs when it runs, so that `--help` is fast.
"""
