"""Test a difference of graded rewards: Student's t over questions, guarded against losses that are rare and whole.

Student's t trusts the variance that it sees. Where one question in twenty is lost entirely and all others show no
difference, a sample with few losses shows too small a loss and too small a variance at once, and the test passes far
too often. Two corrections, each only in the direction that makes passing harder: for the skewness that is seen, and for
the loss that was not seen at all.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri, stdtr

LARGEST = 40.0
"""z values are not told apart beyond."""


def graded_z(
    n: ArrayLike,
    mean: ArrayLike,
    deviation: ArrayLike,
    skewness: ArrayLike,
    against: ArrayLike,
) -> NDArray[np.float64]:
    """Return the z value of the hypothesis that the true mean difference is `against`, element by element.

    The evidence is Student's t, transformed for skewness (Hall 1992, Journal of the Royal Statistical Society B 54),
    and at most that of `n` questions among which no entirely lost one happens to be: beside others of the mean that was
    seen, a share w of them would bring the truth down to `against`, and none is seen with the probability (1 - w) ** n.

    Args:
        n: questions.
        mean, deviation, skewness: of the questions' mean differences, each from -1 to 1; a skewness of 0 where all are
            equal.
        against: the difference of the hypothesis.
    """
    n, mean, deviation, skewness, against = (
        np.asarray(value, dtype=np.float64) for value in (n, mean, deviation, skewness, against)
    )
    # Evidence that the truth lies below is that of the mirrored differences for above.
    side = np.sign(mean - against)
    apart, seen = np.abs(mean - against), side * mean
    lean = np.minimum(side * skewness, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = apart / deviation
        ratio = ratio + lean * ratio**2 / 3 + lean**2 * ratio**3 / 27 + lean / (6 * n)
        t = np.where(deviation > 0, np.sqrt(n) * np.maximum(ratio, 0), np.inf)
        z = -ndtri(stdtr(np.maximum(n - 1, 1), -t))
        limit = -ndtri(np.exp(n * np.log1p(-apart / (seen + 1))))
    z = np.minimum(np.minimum(z, np.maximum(limit, 0)), LARGEST)
    return np.where((side == 0) | (n < 2), 0.0, side * z)
