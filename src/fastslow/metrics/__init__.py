"""Measures of runs, as pure functions of numbers, curves and matrices. docs/metrics.md has formulas and sources.

- `accuracy`: confidence interval of one accuracy. `intervals`: a number with its interval, and the interval of a mean.
- `bootstrap`: intervals of a measure over examples. `seeds`: those of any measure over few seeds.
- `curves`: efficiency, area under a curve, steps to a threshold. `asymptote`: the ceiling of a curve, by a sigmoid fit.
- `matched`: KL to the base at equal accuracy.
- `continual`: transfer and forgetting from an accuracy matrix. `streams`: the same for streams without stages.
- `routing`: a rule's routes against the measured gains of each route.
- `paired`: tests of two models on the same questions, `graded` those of graded rewards. `exact`: bounds that hold on
  few questions. `sequential`: bounds for several looks at growing data. `power`: how many questions a test needs.

`report`, `experiments`, `gate` and `cli` call these functions; they read no file and draw no picture.
"""

from fastslow.metrics.accuracy import accuracy_interval
from fastslow.metrics.asymptote import Asymptote, fit_asymptote
from fastslow.metrics.bootstrap import over_examples
from fastslow.metrics.continual import Continual, measure_continual
from fastslow.metrics.curves import Curve, Efficiency, area_under, efficiency, reach
from fastslow.metrics.intervals import Estimate, Interval, mean_interval
from fastslow.metrics.matched import MatchedKL, kl_at_matched_accuracy
from fastslow.metrics.seeds import over_seeds

__all__ = [
    "Asymptote",
    "Continual",
    "Curve",
    "Efficiency",
    "Estimate",
    "Interval",
    "MatchedKL",
    "accuracy_interval",
    "area_under",
    "efficiency",
    "fit_asymptote",
    "kl_at_matched_accuracy",
    "mean_interval",
    "measure_continual",
    "over_examples",
    "over_seeds",
    "reach",
]
