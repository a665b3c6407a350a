"""How the times of two clips go together: rates and offsets are tried, and scored by how alike pictures are then.

    t_right = rate * t_left + offset

The best of a coarse grid are tried again on a fine one.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stages.dedup.copy_pictures import Pictures, changes, normalized

RATES = tuple(float(rate) for rate in np.exp(np.linspace(-np.log(2.05), np.log(2.05), 19)))
"""Speeds that are tried first, 8 % apart; 1 is among them."""
FINE_RATES = (0.955, 0.97, 0.985, 1.0, 1.015, 1.03, 1.045)
FINE_SHIFTS_S = (-0.06, -0.03, 0.0, 0.03, 0.06)
REFINED = 4
"""What is tried around the best few."""
OFFSET_STEP_S = 1 / 8
OVERLAP_MIN = 0.4
"""Least part of the shorter clip that the two share, in its own time."""
OVERLAP_WEIGHT = 0.3
"""Of the overlap, beside both correlations."""


class Hypotheses(NamedTuple):
    """Rates and offsets to try, and the places of the left clip's pictures in the right one under each.

    Attributes:
        rate: ``[H]``.
        offset_s: ``[H]``.
        before: int64 ``[H, N]``, the right picture at or before the place.
        share: ``[H, N]``, of the way to the next one.
        valid: bool ``[H, N]``, the place lies inside the right clip.
    """

    rate: NDArray[np.float64]
    offset_s: NDArray[np.float64]
    before: NDArray[np.int64]
    share: NDArray[np.float32]
    valid: NDArray[np.bool_]

    def best(self, order: NDArray[np.intp]) -> "Hypotheses":
        """Some of them."""
        return Hypotheses(
            self.rate[order], self.offset_s[order], self.before[order], self.share[order], self.valid[order]
        )


def hypotheses(left: NDArray[np.float64], right: NDArray[np.float64], pairs: NDArray[np.float64]) -> Hypotheses:
    """The places for pairs ``[H, 2]`` of rate and offset, of clips with pictures at these seconds."""
    times = pairs[:, :1] * left[None] + pairs[:, 1:]
    margin = 0.5 * OFFSET_STEP_S
    valid = (times >= right[0] - margin) & (times <= right[-1] + margin)
    place = np.interp(times.ravel(), right, np.arange(len(right))).reshape(times.shape)
    before = np.clip(np.floor(place).astype(np.int64), 0, max(0, len(right) - 2))
    return Hypotheses(pairs[:, 0], pairs[:, 1], before, (place - before).astype(np.float32), valid)


def all_pairs(left: NDArray[np.float64], right: NDArray[np.float64], rates: tuple[float, ...]) -> NDArray[np.float64]:
    """Pairs of rate and offset under which the clips share at least `OVERLAP_MIN` of the shorter one."""
    found = []
    for rate in rates:
        length_left, length_right = rate * (left[-1] - left[0]), right[-1] - right[0]
        least = OVERLAP_MIN * min(length_left, length_right)
        step = OFFSET_STEP_S if abs(rate - 1) > 1e-6 else OFFSET_STEP_S / 2
        # Multiples of the step, so that a copy with the same times is met exactly.
        first, last = np.ceil((least - length_left) / step), np.floor((length_right - least) / step)
        offsets = np.arange(first, max(first, last) + 1) * step
        found.append(np.column_stack([np.full(len(offsets), rate), offsets]))
    return np.concatenate(found)


def _coarse_scores(tried: Hypotheses, left: Pictures, right: Pictures) -> NDArray[np.float32]:
    """As `_scores`, with the right picture nearest to each place."""
    places = np.minimum(tried.before + (tried.share > 0.5), len(right) - 1) + np.arange(len(left)) * len(right)
    vectors = [normalized(each)[0] for each in (left, right)]
    moved = [changes(each) for each in (left, right)]
    squares = (moved[1] ** 2).sum(axis=1)
    alike = _sums(vectors[0] @ vectors[1].T, places, tried.valid)
    products = _sums(moved[0] @ moved[1].T, places, tried.valid)
    energy = tried.valid @ (moved[0] ** 2).sum(axis=1)
    energy *= _sums(np.broadcast_to(squares, (len(left), len(right))), places, tried.valid)
    score = alike / np.maximum(tried.valid.sum(axis=1), 1) + products / np.sqrt(np.maximum(energy, 1e-12))
    return score + _overlap_bonus(tried, len(right))


def _sums(products: NDArray[np.float32], places: NDArray[np.int64], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
    return np.where(valid, products.ravel()[places], 0).sum(axis=1)


def _scores(tried: Hypotheses, left: Pictures, right: Pictures) -> NDArray[np.float32]:
    """How alike pictures and changes are under each hypothesis, ``[H]``: the sum of both correlations."""
    alike = _interpolated(tried, *(normalized(each)[0] for each in (left, right)))[0]
    counts = np.maximum(tried.valid.sum(axis=1), 1)
    score = (alike * tried.valid).sum(axis=1) / counts
    changes_left, changes_right = (changes(each) for each in (left, right))
    products, squares = _interpolated(tried, changes_left, changes_right, is_unit=False)
    own = (changes_left**2).sum(axis=1)[None]
    energy = np.sqrt((own * tried.valid).sum(axis=1) * (squares * tried.valid).sum(axis=1))
    return score + (products * tried.valid).sum(axis=1) / np.maximum(energy, 1e-6) + _overlap_bonus(tried, len(right))


def _overlap_bonus(tried: Hypotheses, num_right: int) -> NDArray[np.float64]:
    """Of two equally good alignments, that with more in common is the likely one."""
    return OVERLAP_WEIGHT * np.minimum(1, tried.valid.sum(axis=1) / min(tried.valid.shape[1], num_right))


def _interpolated(
    tried: Hypotheses, left: NDArray[np.float32], right: NDArray[np.float32], *, is_unit: bool = True
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Products of left vectors with the right ones at their places, ``[H, N]``; squared lengths of the latter."""
    after = np.minimum(tried.before + 1, len(right) - 1)
    products = left @ right.T
    rows = np.arange(len(left))[None]
    near, far = products[rows, tried.before], products[rows, after]
    squares = (right**2).sum(axis=1)
    neighbours = np.append((right[:-1] * right[1:]).sum(axis=1), 0)
    share = tried.share
    length = (
        (1 - share) ** 2 * squares[tried.before]
        + share**2 * squares[after]
        + 2 * share * (1 - share) * neighbours[tried.before]
    )
    product = (1 - share) * near + share * far
    if is_unit:
        product = product / np.sqrt(np.maximum(length, np.float32(1e-6)))
    return np.asarray(product, np.float32), np.asarray(length, np.float32)


def best_in_time(
    left_s: NDArray[np.float64], right_s: NDArray[np.float64], left: Pictures, right: Pictures
) -> tuple[float, Hypotheses]:
    """The best score, and its hypothesis alone.

    Args:
        left_s: float64 ``[N]``, times of the left clip's pictures.
        right_s: float64 ``[M]``, of the right one's.
        left: float32 ``[N, S, S]``, what the left clip shows through its window.
        right: float32 ``[M, S, S]``.
    """
    tried = hypotheses(left_s, right_s, all_pairs(left_s, right_s, RATES))
    order = np.argsort(-_coarse_scores(tried, left, right), kind="stable")[:REFINED]
    fine = [
        (tried.rate[place] * rate, tried.offset_s[place] + (1 - rate) * tried.rate[place] * middle + shift)
        for place in order
        for middle in [float(left_s[tried.valid[place]].mean())]
        for rate in FINE_RATES
        for shift in FINE_SHIFTS_S
    ]
    finer = hypotheses(left_s, right_s, np.array(fine))
    scores = _scores(finer, left, right)
    best = np.argmax(scores)
    return float(scores[best]), finer.best(np.array([best]))


def pictures_at(tried: Hypotheses, right: Pictures) -> Pictures:
    """The right pictures at the places of the left ones that have one."""
    valid = tried.valid[0]
    before, share = tried.before[0][valid], tried.share[0][valid][:, None, None]
    after = np.minimum(before + 1, len(right) - 1)
    return (1 - share) * right[before] + share * right[after]
