"""Measures, for single examples, what each route would have gained.

- `prober`: loads a finished run, trains one arm per route from the same state, and measures the change of success.
- `results`: the measured example (`Probe`) and the file of probes, which is appended line by line and resumed.
"""
