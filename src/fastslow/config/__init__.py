"""The settings of a run as one flat class, `FastSlowConfig`.

- `settings`: the fields, with defaults, bounds and one-line help.
- `parsing`: from a YAML recipe and flags to a `FastSlowConfig`. `cli` calls it.
- `checks`: the rules that no single field can state, each refused with a message that says how to mend it.

Every package below this one gets the values that it needs and does not import this package.
"""
