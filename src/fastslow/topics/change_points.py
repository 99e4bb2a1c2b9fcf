"""Detect a change of the mix of clusters by comparing marginal likelihoods.

Two hypotheses are compared for the batches since the last change: one distribution over clusters, or one distribution
followed by another. Both marginal likelihoods have a closed form under Jeffreys' Dirichlet prior, so that no threshold
on a distance is needed. The prior probability of a change per batch is the hazard of Adams and MacKay (2007, arXiv
0710.3742).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from scipy.special import gammaln, logsumexp

HAZARD = 0.01
"""Prior probability of a change at any batch; on a stream without changes, about the rate of false alarms."""

RECENT = 3
"""Batches within which a change must be detected: an older one is no longer announced."""

JEFFREYS = 0.5


def recent_change(counts_H_K: Int[np.ndarray, "H K"]) -> tuple[float, int]:
    """Locate a change among the last RECENT of H batches.

    Args:
        counts_H_K: number of examples of each batch in each of K clusters.

    Returns:
        The posterior probability that there is such a change, and how many batches ago its first batch most likely was:
        1 is the last batch. (0.0, 0) where H is too small.
    """
    batches, clusters = counts_H_K.shape
    total = counts_H_K.cumsum(0)
    before = np.concatenate([np.zeros((1, clusters), total.dtype), total[:-1]])  # up to batch j, j itself left out
    # j = 0 stands for 'no change': nothing before, everything after.
    log_odds = _marginal(before) + _marginal(total[-1] - before)
    log_odds[1:] += np.log(HAZARD)
    log_odds[0] += np.log1p(-HAZARD)
    first = max(1, batches - RECENT)
    recent = log_odds[first:]
    if not len(recent):
        return 0.0, 0
    probability = float(np.exp(logsumexp(recent) - logsumexp(log_odds)))
    return probability, batches - first - int(recent.argmax())


def _marginal(counts_J_K: Int[np.ndarray, "J K"]) -> Float[np.ndarray, " J"]:
    """Return the log marginal likelihood of a sequence with these counts under the Dirichlet prior. One category more
    than there are clusters stands for clusters not seen yet."""
    categories = counts_J_K.shape[1] + 1
    each = gammaln(counts_J_K + JEFFREYS) - gammaln(JEFFREYS)
    whole = gammaln(categories * JEFFREYS) - gammaln(counts_J_K.sum(1) + categories * JEFFREYS)
    return each.sum(1) + whole
