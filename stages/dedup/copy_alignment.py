"""Whether one clip is a copy of another: their pictures are brought to one time and one frame, and compared.

A copy may be faster, begin elsewhere, and show a part of the picture. So the rate, the offset and the window are looked
for under which the pictures are most alike:

    time     t_right = rate * t_left + offset
    window   the part of the one clip's picture that is the whole picture of the other

Alike pictures do not make a copy: those of one place are alike at all times. In a copy the *changes* from picture to
picture are alike too, at this one offset. Only where nothing moves, pictures must be the same.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Pictures = NDArray[np.float32]
"""Luma, ``[N, S, S]``."""

CONTRAST_MIN = 2.0
"""Standard deviation of a picture's luma below which it shows nothing."""
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
PEAK_PIXELS = 12
LAG = 2
"""Pictures between two that are compared for change."""
WINDOW_STEPS = (0.04, 0.016)
ROUNDS_MAX = 5
"""Shares of a side by which windows are moved, and how often at most."""
PICTURES_FOR_WINDOWS = 6
LIKE_ENOUGH = 0.99
"""Pictures so alike are compared as they are."""
SHIFT_MAX = 0.08
"""By so much a window may lie outside of the picture."""


class Window(NamedTuple):
    """A part of a picture, in shares of its sides."""

    top: float = 0.0
    bottom: float = 1.0
    left: float = 0.0
    right: float = 1.0


WHOLE = Window()


@dataclass(frozen=True)
class ClipPictures:
    """Small pictures of one clip.

    Attributes:
        seconds: float64 ``[N]``, their times from the start of the clip; rises.
        luma: float32 ``[N, S, S]``.
    """

    seconds: NDArray[np.float64]
    luma: Pictures

    def __len__(self) -> int:
        return len(self.seconds)


class Alignment(NamedTuple):
    """How two clips lie to each other, and how alike they are then.

    Attributes:
        rate: of the right clip's time to the left one's.
        offset_s: time in the right clip at the start of the left one.
        left_window: part of the left clip's picture that is compared.
        right_window: part of the right clip's picture.
        likeness: mean correlation of pictures, -1 to 1.
        change_likeness: correlation of the changes from picture to picture.
        course_likeness: correlation of what each picture has beyond the mean picture of its clip.
        change: how much changes in the clip where less does, in contrasts of a picture.
        overlap: part of the shorter clip that the two share.
        num_pictures: that were compared.
        means: both mean pictures as they are compared, ``[S, S]``.
        difference_peak: share of their square difference that is in the `PEAK_PIXELS` pixels with the largest.
    """

    rate: float
    offset_s: float
    left_window: Window
    right_window: Window
    likeness: float
    change_likeness: float
    course_likeness: float
    change: float
    overlap: float
    num_pictures: int
    means: tuple[NDArray[np.float32], NDArray[np.float32]]
    difference_peak: float


@lru_cache(maxsize=4096)
def sampling(low: float, high: float, size: int) -> NDArray[np.float32]:
    """Matrix ``[size, size]`` that samples a line of `size` values at as many places from low to high, linearly."""
    places = (low + (high - low) * (np.arange(size) + 0.5) / size) * size - 0.5
    before = np.clip(np.floor(places).astype(int), 0, size - 2)
    share = np.clip(places - before, 0, 1)
    matrix = np.zeros((size, size), np.float32)
    matrix[np.arange(size), before] = 1 - share
    matrix[np.arange(size), before + 1] += share.astype(np.float32)
    return matrix


def seen_through(pictures: Pictures, window: Window) -> Pictures:
    """The part of each picture inside the window, at the size of the picture."""
    if window == WHOLE:
        return pictures
    size = pictures.shape[-1]
    down, across = sampling(window.top, window.bottom, size), sampling(window.left, window.right, size)
    return np.asarray(down @ pictures @ across.T, np.float32)


def normalized(pictures: Pictures) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Pictures ``[N, S * S]`` of mean 0 and length 1, and the contrast of each."""
    flat = pictures.reshape(len(pictures), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    length = np.linalg.norm(flat, axis=1)
    return flat / np.maximum(length, 1e-3)[:, None], length / np.float32(np.sqrt(flat.shape[1]))


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
    changes = [_changes(each) for each in (left, right)]
    squares = (changes[1] ** 2).sum(axis=1)
    alike = _sums(vectors[0] @ vectors[1].T, places, tried.valid)
    products = _sums(changes[0] @ changes[1].T, places, tried.valid)
    energy = tried.valid @ (changes[0] ** 2).sum(axis=1)
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
    changes_left, changes_right = (_changes(each) for each in (left, right))
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


def _changes(pictures: Pictures) -> NDArray[np.float32]:
    """Change around each picture, in contrasts, ``[N, S * S]``."""
    vectors, contrast = normalized(pictures)
    values = vectors * contrast[:, None]
    index = np.arange(len(values))
    before, after = np.maximum(index - LAG // 2, 0), np.minimum(index + LAG // 2, len(values) - 1)
    typical = max(float(np.median(contrast)), CONTRAST_MIN)
    return np.asarray((values[after] - values[before]) / np.float32(typical * np.sqrt(values.shape[1])), np.float32)


def align(left: ClipPictures, right: ClipPictures, windows: tuple[tuple[Window, Window], ...]) -> Alignment | None:
    """The most likely alignment; None where one of the clips shows nothing.

    Args:
        left: a clip.
        right: another clip.
        windows: pairs of windows of left and right to begin with; both `WHOLE` should be among them.
    """
    if min(len(left), len(right)) < 2 or not _shows_something(left) or not _shows_something(right):
        return None
    best: tuple[float, Hypotheses, tuple[Window, Window]] | None = None
    for pair in windows:
        seen = [seen_through(clip.luma, window) for clip, window in zip((left, right), pair, strict=True)]
        score, found = _in_time(left.seconds, right.seconds, *seen)
        if best is None or score > best[0]:
            best = score, found, pair
    return _refined(best[1], best[2], left, right) if best is not None else None


def _shows_something(clip: ClipPictures) -> bool:
    return float(np.median(clip.luma.reshape(len(clip), -1).std(axis=1))) >= CONTRAST_MIN


def _in_time(
    left_s: NDArray[np.float64], right_s: NDArray[np.float64], left: Pictures, right: Pictures
) -> tuple[float, Hypotheses]:
    """The best score, and its hypothesis alone."""
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


def _at(tried: Hypotheses, right: Pictures) -> Pictures:
    """The right pictures at the places of the left ones that have one."""
    valid = tried.valid[0]
    before, share = tried.before[0][valid], tried.share[0][valid][:, None, None]
    after = np.minimum(before + 1, len(right) - 1)
    return (1 - share) * right[before] + share * right[after]


def _refined(found: Hypotheses, windows: tuple[Window, Window], left: ClipPictures, right: ClipPictures) -> Alignment:
    """The alignment with windows that were moved until pictures are most alike."""
    alignment = compare(found, left, right, *windows)
    if alignment.likeness >= LIKE_ENOUGH or not alignment.num_pictures:
        return alignment
    valid = found.valid[0]
    chosen = np.unique(np.linspace(0, valid.sum() - 1, PICTURES_FOR_WINDOWS).astype(int))
    moved = best_windows(left.luma[valid][chosen], _at(found, right.luma)[chosen], *windows)
    return compare(found, left, right, *moved)


def best_windows(left: Pictures, right: Pictures, start: Window, end: Window) -> tuple[Window, Window]:
    """The windows at which pictures ``[N, S, S]`` of both sides are most alike, near those given."""
    windows = [start, end]
    for side in sorted((0, 1), key=lambda each: windows[each] == WHOLE):
        sides = [left, right]
        fixed = normalized(seen_through(sides[1 - side], windows[1 - side]))[0]
        best = _likeness(sides[side], windows[side], fixed)
        for step in WINDOW_STEPS:
            for _ in range(ROUNDS_MAX):
                before = best
                for trial in _neighbours(windows[side], step):
                    value = _likeness(sides[side], trial, fixed)
                    if value > best + 1e-4:
                        best, windows[side] = value, trial
                if best == before:
                    break
    return windows[0], windows[1]


def _likeness(pictures: Pictures, window: Window, fixed: NDArray[np.float32]) -> float:
    """Mean correlation with normalized pictures ``[N, S * S]``."""
    seen = seen_through(pictures, window).reshape(len(pictures), -1)
    squares = np.einsum("ij,ij->i", seen, seen) - seen.sum(axis=1) ** 2 / seen.shape[1]
    return float((np.einsum("ij,ij->i", seen, fixed) / np.sqrt(np.maximum(squares, 1e-3))).mean())


def _neighbours(window: Window, step: float) -> list[Window]:
    top, bottom, left, right = window
    moves = [
        (top + a * step, bottom + b * step, left + c * step, right + d * step)
        for a, b, c, d in (
            (1, 0, 0, 0), (-1, 0, 0, 0), (0, 1, 0, 0), (0, -1, 0, 0), (0, 0, 1, 0), (0, 0, -1, 0), (0, 0, 0, 1),
            (0, 0, 0, -1), (1, 1, 0, 0), (-1, -1, 0, 0), (0, 0, 1, 1), (0, 0, -1, -1), (1, -1, 1, -1), (-1, 1, -1, 1),
        )
    ]  # fmt: skip
    return [
        Window(*(round(each, 3) for each in move))
        for move in moves
        if min(move) >= -SHIFT_MAX
        and max(move) <= 1 + SHIFT_MAX
        and move[1] - move[0] >= 0.4
        and move[3] - move[2] >= 0.4
    ]


def compare(
    found: Hypotheses, left: ClipPictures, right: ClipPictures, left_window: Window, right_window: Window
) -> Alignment:
    """How alike the clips are under one hypothesis and these windows."""
    valid = found.valid[0]
    lefts = seen_through(left.luma, left_window)[valid]
    rights = _at(found, seen_through(right.luma, right_window))
    vectors_left, contrast_left = normalized(lefts)
    vectors_right, contrast_right = normalized(rights)
    weight = np.minimum(contrast_left, contrast_right)
    alike = (vectors_left * vectors_right).sum(axis=1)
    changes = [_changes(each) for each in (lefts, rights)]
    energy = [float((each**2).sum()) for each in changes]
    product = float((changes[0] * changes[1]).sum())
    rate = float(found.rate[0])
    length_left, length_right = (float(each.seconds[-1] - each.seconds[0]) for each in (left, right))
    shared = float(np.ptp(left.seconds[valid])) if valid.any() else 0.0
    shorter = min(length_left, length_right / rate)
    count = int(valid.sum())
    means = [normalized(each.mean(axis=0, keepdims=True))[0][0] for each in (lefts, rights)]
    squares = np.sort((means[0] - means[1]) ** 2)[::-1] * len(means[0])
    return Alignment(
        rate=rate,
        offset_s=float(found.offset_s[0]),
        left_window=left_window,
        right_window=right_window,
        likeness=float((alike * weight).sum() / max(float(weight.sum()), 1e-6)),
        change_likeness=product / max(float(np.sqrt(energy[0] * energy[1])), 1e-9),
        course_likeness=_correlation(*(_course(each) for each in (lefts, rights))),
        change=float(np.sqrt(min(energy) / max(count, 1))),
        overlap=min(1.0, shared / max(shorter, 1e-6)),
        num_pictures=count,
        means=(lefts.mean(axis=0), rights.mean(axis=0)),
        difference_peak=float(squares[:PEAK_PIXELS].sum() / max(float(squares.sum()), 1e-9)),
    )


def _course(pictures: Pictures) -> NDArray[np.float32]:
    """What each picture has beyond the mean of all, in contrasts."""
    vectors, contrast = normalized(pictures)
    values = vectors * contrast[:, None]
    return values - values.mean(axis=0)


def _correlation(left: NDArray[np.float32], right: NDArray[np.float32]) -> float:
    return float((left * right).sum() / max(float(np.linalg.norm(left) * np.linalg.norm(right)), 1e-9))
