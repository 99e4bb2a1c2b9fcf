"""Measures of runs, as pure functions of curves and matrices. docs/metrics.md gives formulas and sources.

accuracy.py    how sure one accuracy is
intervals.py   a number with its interval; the interval of a mean
bootstrap.py   how sure any other measure over seeds or examples is
curves.py      efficiency, area under a curve, steps to a threshold, intervals over seeds
asymptote.py   the ceiling a curve runs towards, by a sigmoid fit
matched.py     KL to the base at equal accuracy
continual.py   transfer and forgetting from an accuracy matrix
"""

from fastslow.metrics.accuracy import accuracy_interval
from fastslow.metrics.asymptote import Asymptote, fit_asymptote
from fastslow.metrics.bootstrap import over_examples, over_seeds
from fastslow.metrics.continual import Continual, measure_continual
from fastslow.metrics.curves import Curve, Efficiency, area_under, efficiency, reach
from fastslow.metrics.intervals import Estimate, Interval, mean_interval
from fastslow.metrics.matched import MatchedKL, kl_at_matched_accuracy

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
