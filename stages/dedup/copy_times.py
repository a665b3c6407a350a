"""How the times of two clips go together: rates and offsets are tried, and scored by how alike pictures are then.

    t_right = rate * t_left + offset

The best of a coarse grid are tried again on a fine one.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stages.dedup.copy_pictures import Pictures, TimedPictures, around, in_contrasts, normalized

Reals = NDArray[np.floating[Any]]

RATES = tuple(float(rate) for rate in np.exp(np.linspace(-np.log(2.05), np.log(2.05), 19)))
"""Speeds that are tried first, 8 % apart; 1 is among them."""
FINE_RATES = (0.955, 0.97, 0.985, 1.0, 1.015, 1.03, 1.045)
FINE_SHIFTS = (-0.48, -0.24, 0.0, 0.24, 0.48)
REFINED = 4
"""What is tried around the best few; shifts in steps of offsets."""
OFFSET_STEP_S = 1 / 8
FAST_STEP_S = 1 / 30
"""Between the offsets that are tried first; of fast motion, where pictures are as near as that."""
OVERLAP_MIN = 0.4
"""Least part of the shorter clip that the two share, in its own time."""
OVERLAP_WEIGHT = 0.3
"""Of the overlap, beside both correlations."""


class Hypotheses(NamedTuple):
    """Rates and offsets to try, and the places of one clip's pictures, the left ones, in the other under each.

    Attributes:
        rate: ``[H]``.
        offset_s: ``[H]``.
        before: int64 ``[H, N]``, the right picture at or before the place.
        share: ``[H, N]``, of the way to the next one.
        valid: bool ``[H, N]``, the place lies inside the right clip.
        num_shorter: hashed pictures of the clip that has fewer.
    """

    rate: NDArray[np.float64]
    offset_s: NDArray[np.float64]
    before: NDArray[np.int64]
    share: NDArray[np.float32]
    valid: NDArray[np.bool_]
    num_shorter: int

    def best(self, order: NDArray[np.intp]) -> "Hypotheses":
        """Some of them."""
        return self._replace(
            rate=self.rate[order],
            offset_s=self.offset_s[order],
            before=self.before[order],
            share=self.share[order],
            valid=self.valid[order],
        )


def hypotheses(
    left: NDArray[np.float64], right: NDArray[np.float64], pairs: NDArray[np.float64], num_shorter: int
) -> Hypotheses:
    """The places for pairs ``[H, 2]`` of rate and offset, of clips with pictures at these seconds."""
    times = pairs[:, :1] * left[None] + pairs[:, 1:]
    margin = 0.5 * OFFSET_STEP_S
    valid = (times >= right[0] - margin) & (times <= right[-1] + margin)
    place = np.interp(times.ravel(), right, np.arange(len(right))).reshape(times.shape)
    before = np.clip(np.floor(place).astype(np.int64), 0, max(0, len(right) - 2))
    return Hypotheses(pairs[:, 0], pairs[:, 1], before, (place - before).astype(np.float32), valid, num_shorter)


def all_pairs(left: NDArray[np.float64], right: NDArray[np.float64], step_s: float) -> NDArray[np.float64]:
    """Pairs of rate and offset under which the clips share at least `OVERLAP_MIN` of the shorter one."""
    found = []
    for rate in RATES:
        length_left, length_right = rate * (left[-1] - left[0]), right[-1] - right[0]
        least = OVERLAP_MIN * min(length_left, length_right)
        step = step_s if abs(rate - 1) > 1e-6 else max(step_s / 2, FAST_STEP_S)
        # Multiples of the step, so that a copy with the same times is met exactly.
        first, last = np.ceil((least - length_left) / step), np.floor((length_right - least) / step)
        offsets = np.arange(first, max(first, last) + 1) * step
        found.append(np.column_stack([np.full(len(offsets), rate), offsets]))
    return np.concatenate(found)


class _Grams(NamedTuple):
    """Products of pictures as vectors.

    Attributes:
        alike: ``[N, M]``, of left and right ones, each of length 1.
        joint: float64 ``[N, M]``, of left and right ones in contrasts, whose differences may be very small.
        own: float64 ``[M, M]``, of the right ones among each other, likewise.
        own_alike: ``[M, M]``, of these of length 1.
        energy: ``[N]``, squared length of the change around each left picture.
    """

    alike: NDArray[np.float32]
    joint: NDArray[np.float64]
    own: NDArray[np.float64]
    own_alike: NDArray[np.float32]
    energy: NDArray[np.float64]


def _grams(left: Pictures, right: Pictures) -> _Grams:
    vectors = [normalized(each)[0] for each in (left, right)]
    values = [in_contrasts(each).astype(np.float64) for each in (left, right)]
    ahead, behind = around(len(left))
    return _Grams(
        vectors[0] @ vectors[1].T,
        values[0] @ values[1].T,
        values[1] @ values[1].T,
        vectors[1] @ vectors[1].T,
        ((values[0][ahead] - values[0][behind]) ** 2).sum(axis=1),
    )


class _Places(NamedTuple):
    """Places among the right pictures, ``[H, N]``.

    Attributes:
        before, after: the pictures between which they lie.
        share: of the way between; None where they are those before.
    """

    before: NDArray[np.int64]
    after: NDArray[np.int64]
    share: NDArray[np.float32] | None

    def of(self, index: NDArray[np.int64]) -> "_Places":
        """The places of some of the left pictures."""
        share = None if self.share is None else self.share[:, index]
        return _Places(self.before[:, index], self.after[:, index], share)

    def products(self, gram: Reals, rows: NDArray[np.int64]) -> Reals:
        """Of left pictures with what the right clip shows at the places."""
        if self.share is None:
            return gram[rows, self.before]
        return (1 - self.share) * gram[rows, self.before] + self.share * gram[rows, self.after]

    def own_products(self, gram: Reals, other: "_Places") -> Reals:
        """Of what the right clip shows at these and at other places."""
        if self.share is None or other.share is None:
            return gram[self.before, other.before]
        first = (1 - other.share) * gram[self.before, other.before] + other.share * gram[self.before, other.after]
        last = (1 - other.share) * gram[self.after, other.before] + other.share * gram[self.after, other.after]
        return (1 - self.share) * first + self.share * last


def _scores(tried: Hypotheses, grams: _Grams, *, is_coarse: bool) -> NDArray[np.float64]:
    """How alike pictures and changes are under each hypothesis, ``[H]``: the sum of both correlations.

    Args:
        tried: the hypotheses.
        grams: of both clips.
        is_coarse: the right picture nearest to a place counts for what is seen there.
    """
    count, last = tried.valid.shape[1], len(grams.own) - 1
    places = _Places(tried.before, np.minimum(tried.before + 1, last), tried.share)
    if is_coarse:
        nearest = np.where(tried.share > 0.5, places.after, places.before)
        places = _Places(nearest, nearest, None)
    rows = np.arange(count)
    lengths = np.sqrt(np.maximum(places.own_products(grams.own_alike, places), np.float32(1e-6)))
    alike = (places.products(grams.alike, rows) / lengths * tried.valid).sum(axis=1)
    ahead, behind = around(count)
    after, before = places.of(ahead), places.of(behind)
    joint = after.products(grams.joint, ahead) - before.products(grams.joint, ahead)
    joint += before.products(grams.joint, behind) - after.products(grams.joint, behind)
    own = after.own_products(grams.own, after) + before.own_products(grams.own, before)
    own -= 2 * after.own_products(grams.own, before)
    energy = (grams.energy * tried.valid).sum(axis=1) * (np.maximum(own, 0) * tried.valid).sum(axis=1)
    moved = (joint * tried.valid).sum(axis=1) / np.sqrt(np.maximum(energy, 1e-12))
    return alike / np.maximum(tried.valid.sum(axis=1), 1) + moved + _overlap_bonus(tried)


def _overlap_bonus(tried: Hypotheses) -> NDArray[np.float64]:
    """Of two equally good alignments, that with more in common is the likely one."""
    return OVERLAP_WEIGHT * np.minimum(1, tried.valid.sum(axis=1) / tried.num_shorter)


def best_in_time(left: TimedPictures, right: TimedPictures, num_right: int) -> tuple[float, Hypotheses]:
    """The best score, and its hypothesis alone.

    Args:
        left: hashed pictures of one clip, as they are seen through its window.
        right: all pictures of the other one, likewise.
        num_right: how many of these are hashed.
    """
    step_s = OFFSET_STEP_S if num_right == len(right.seconds) else FAST_STEP_S
    num_shorter = min(len(left.seconds), num_right)
    grams = _grams(left.luma, right.luma)
    tried = hypotheses(left.seconds, right.seconds, all_pairs(left.seconds, right.seconds, step_s), num_shorter)
    order = np.argsort(-_scores(tried, grams, is_coarse=True), kind="stable")[:REFINED]
    fine = [
        (tried.rate[place] * rate, tried.offset_s[place] + (1 - rate) * tried.rate[place] * middle + shift * step_s)
        for place in order
        for middle in [float(left.seconds[tried.valid[place]].mean())]
        for rate in FINE_RATES
        for shift in FINE_SHIFTS
    ]
    finer = hypotheses(left.seconds, right.seconds, np.array(fine), num_shorter)
    scores = _scores(finer, grams, is_coarse=False)
    best = np.argmax(scores)
    return float(scores[best]), finer.best(np.array([best]))


def pictures_at(tried: Hypotheses, right: Pictures) -> Pictures:
    """The right pictures at the places of the left ones that have one."""
    valid = tried.valid[0]
    before, share = tried.before[0][valid], tried.share[0][valid][:, None, None]
    after = np.minimum(before + 1, len(right) - 1)
    return (1 - share) * right[before] + share * right[after]
