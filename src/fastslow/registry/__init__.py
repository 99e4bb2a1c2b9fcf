"""A registry of released models: a folder of immutable bundles, and a log of what was released when and why.

- `log`: the append-only log, each line chained to the one before by its hash: the one place where state is kept.
- `versions`: copies of bundles, sealed by a manifest and never written again.
- `registry`: `ModelRegistry`, which adds, promotes and rolls back; `resolve`, which finds a bundle by its name.
- `champions`: what the log says of champions: which led to the present one, and which were rolled back from.
- `inspection`: what `verify` compares: the folder with its log.
- `promotion`: the rules by which a promotion is refused.
- `mlflow`: a mirror in MLflow's model registry.

`cli.registry` and `cli.gate` call this package. It loads no model and needs no torch.
"""
