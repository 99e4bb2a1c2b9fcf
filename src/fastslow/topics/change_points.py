"""When did the mix of clusters change? One change at most since the last, judged by marginal likelihoods.

The batches since the last change came from one distribution over clusters, or from one and then another. Both have a
closed form under a Dirichlet prior (Jeffreys'), so their odds need no threshold on a distance. The prior is the rate of
changes that one is prepared for (Adams and MacKay 2007, arXiv 0710.3742, call it the hazard).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from scipy.special import gammaln, logsumexp

HAZARD = 0.01
"""Changes per batch that are expected: with none at all, about the rate of false alarms that is put up with."""

RECENT = 3
"""A change found later than this many batches after it is no longer announced."""

JEFFREYS = 0.5


def recent_change(counts_H_K: Int[np.ndarray, "H K"]) -> tuple[float, int]:
    """The probability that a change lies in the last RECENT of H batches, and how many batches ago it most likely was
    (1: the last batch is the first after it). `counts` are examples by batch and cluster."""
    batches, clusters = counts_H_K.shape
    total = counts_H_K.cumsum(0)
    before = np.concatenate([np.zeros((1, clusters), total.dtype), total[:-1]])  # up to batch j, j itself left out
    # j = 0 is no change: nothing before, all after.
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
    """Log-probability of sequences with these counts, their distribution unknown. One more category stands for what
    was never seen."""
    categories = counts_J_K.shape[1] + 1
    each = gammaln(counts_J_K + JEFFREYS) - gammaln(JEFFREYS)
    whole = gammaln(categories * JEFFREYS) - gammaln(counts_J_K.sum(1) + categories * JEFFREYS)
    return each.sum(1) + whole
