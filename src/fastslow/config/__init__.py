"""Join the settings of a run in one flat class, `FastSlowConfig`.

- `groups`: the `settings` of every package, joined in front of TRL's GRPOConfig.
- `settings`: `FastSlowConfig`, these fields with their rules and with what follows from them.
- `run_settings`: the settings of `run` and `loop`, which stand above this package.
- `parsing`: from a YAML recipe and flags to a `FastSlowConfig`. `cli` calls it. `recipe`: a YAML file with its texts
  as they are written. `reading`: the value that a text is, by the type of its setting.
- `dump`: from a `FastSlowConfig` to the text of config.yaml.
- `inherited`: bounds of TRL's and transformers' numbers that no group declares.
- `checks`: the rules that no single field can state, each refused with a message that says how to mend it.
  `soft_checks`: those of soft contexts.

Every package below this one gets the values that it needs and does not import this package.
"""
