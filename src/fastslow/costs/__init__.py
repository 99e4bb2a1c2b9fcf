"""What a run will cost, as arithmetic: memory, seconds, disk and money, before anything is rented.

- `shape`: the numbers of a model that costs depend on, from its configuration alone; `models/` has configurations of
  models that recipes name.
- `machines`: GPUs with their data sheets, and how many of them.
- `work`: what a run does, in rows and tokens, and the cases (low, typical, high) of what nobody knows beforehand.
- `memory`: bytes of a training process and of a server by part, under FSDP2's rule of sharding.
- `seconds`: generation (throughput and tail), training, fast phase, evaluation, transport of the weights.
- `published`: measurements of others, from which the efficiencies are derived and which hold the formulas to account.
- `disk`: checkpoints and bundle. `prices`: money; prices.yaml has the defaults, dated and with their sources.
- `estimate`: all of it for one run, in three cases. `table`: the estimate as lines with formulas and sources.
- `pilot`: lengths and shares measured in a run.

`run.preflight` compares a part of these numbers with this machine, `run.costing` reads them off a run's settings, and
`fastslow doctor` prints them. Nothing here loads weights or asks a network.
"""
