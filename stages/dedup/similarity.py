"""Cosine similarity of two vectors, exact to a rounding.

Products in float32 depend in their last digits on sizes and threads. So they find candidates only, with a margin;
similarities near the threshold are summed again in float64 and rounded. Decisions then do not depend on the order of
rows, nor on who computed them.
"""

import numpy as np
from numpy.typing import NDArray

from stages.dedup.arrays import DECIMALS, Vectors

MARGIN = 1e-5
"""Larger than the error of a float32 sum over some thousand products of unit vectors."""


def similarity_threshold(eps: float) -> float:
    """Smallest cosine similarity of near-duplicates."""
    return round(1.0 - eps, DECIMALS)


def exact_similarity(left: Vectors, right: Vectors) -> NDArray[np.float64]:
    """Float64 ``[M]``, rounded: cosine similarity of each row of `left` to the same row of `right`, both ``[M, D]``."""
    dots = np.empty(len(left))
    for start in range(0, len(left), 4096):
        a, b = (side[start : start + 4096].astype(np.float64) for side in (left, right))
        lengths = np.sqrt(np.einsum("ij,ij->i", a, a) * np.einsum("ij,ij->i", b, b))
        dots[start : start + 4096] = np.einsum("ij,ij->i", a, b) / np.maximum(lengths, 1e-300)
    return np.round(dots, DECIMALS)
