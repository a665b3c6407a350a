"""Finds where a still picture gives way to another one, however slowly, and however little they differ."""

import numpy as np

from stages.split.frame_signals import Candidate, FrameSignals
from stages.split.settling import REST
from stages.split.slow_change_meter import FRAMES

MIN_SHARE = 0.9
"""Of all changes those of pixels that settle, at least: else something moves."""
MIN_AREA = 0.25
"""Share of the picture over which they lie, at least: a title or a caption lies over less."""
HARD_SHARE = 0.6
"""If one frame has so much of all change, it is a cut."""
TRIMMED_SHARE = 0.03
"""A transition begins and ends where this share of its change lies outside."""


def settled_candidates(signals: FrameSignals, threshold: float) -> list[Candidate]:
    """Changes between still pictures that differ by at least `threshold` grey levels; start == end where at a cut."""
    fed = signals.fed
    change, share, area, length = (
        each[fed]
        for each in (signals.settled_change, signals.settled_share, signals.settled_area, signals.settled_length)
    )
    rest = REST * FRAMES
    found: list[tuple[int, int]] = []
    samples = np.flatnonzero((change >= threshold) & (share >= MIN_SHARE) & (area >= MIN_AREA))
    for sample in samples[np.argsort(-change[samples], kind="stable")].tolist():
        end = sample + 1 - rest
        start = end - int(length[sample])
        # Windows that lie nearer than a rest are parts of one change, or hold the same one.
        if all(end + rest <= first or last + rest <= start for first, last in found):
            found.append((start, end))
    return [_trimmed(start, end, signals) for start, end in sorted(found)]


def _trimmed(first: int, last: int, signals: FrameSignals) -> Candidate:
    """The frames of a window that change, beyond the noise of the still pictures beside them.

    Args:
        first: of the frames that the network got, the first in the window.
        last: the one after the window.
        signals: of the video.
    """
    fed = signals.fed
    before, start, end, after = (
        int(fed[min(max(0, sample), len(fed) - 1)])
        for sample in (first - REST * FRAMES, first - FRAMES, last + FRAMES, last + REST * FRAMES)
    )
    sides = signals.change[before:start], signals.change[end + 1 : after + 1]
    noise = max((float(np.median(side)) for side in sides if len(side)), default=0.0)
    change = np.maximum(0, signals.change[start : end + 1] - noise)
    total = float(change.sum())
    probability = signals.probability(start, end + 1)
    if not total:
        return Candidate(start, end, probability)
    if float(change.max()) >= HARD_SHARE * total:
        frame = start + int(change.argmax())
        return Candidate(frame, frame, probability)
    passed = np.cumsum(change) / total
    begun = start + int(np.searchsorted(passed, TRIMMED_SHARE))
    done = start + int(np.searchsorted(passed, 1 - TRIMMED_SHARE))
    return Candidate(begun, done + 1, probability)
