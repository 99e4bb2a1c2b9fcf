"""Join the settings of a run in one flat class, `FastSlowConfig`.

- `settings`: `FastSlowConfig`, which joins the `settings` of every package in front of TRL's GRPOConfig.
- `run_settings`: the settings of `run` and `loop`, which stand above this package.
- `parsing`: from a YAML recipe and flags to a `FastSlowConfig`. `cli` calls it.
- `dump`: from a `FastSlowConfig` to the text of config.yaml.
- `checks`: the rules that no single field can state, each refused with a message that says how to mend it.

Every package below this one gets the values that it needs and does not import this package.
"""
