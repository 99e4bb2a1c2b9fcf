"""Measures of runs, as pure functions of curves and matrices. docs/metrics.md gives formulas and sources.

curves.py      efficiency, area under a curve, steps to a threshold, intervals over seeds
asymptote.py   the ceiling a curve runs towards, by a sigmoid fit
continual.py   transfer and forgetting from an accuracy matrix
"""

from .asymptote import Asymptote, fit_asymptote
from .continual import Continual, measure_continual
from .curves import Curve, Efficiency, area_under, efficiency, reach

__all__ = [
    "Asymptote",
    "Continual",
    "Curve",
    "Efficiency",
    "area_under",
    "efficiency",
    "fit_asymptote",
    "measure_continual",
    "reach",
]
