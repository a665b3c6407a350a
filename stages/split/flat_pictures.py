r"""Finds fades by the pictures of one colour that they pass, which the network often does not see.

    contrast   \                      /
                \                    /
                 \__________________/
               ramp    flat pictures   ramp

Where a picture stays dark but for a title, it is not flat, and the fade is found by the network alone.
"""

import numpy as np

from stages.split.frame_signals import Candidate, Floats, FrameSignals, runs
from stages.split.timeline import Timeline

FLAT_CONTRAST = 3.0
"""Grey levels; a picture with less has one colour, but for compression noise and grain."""
MAX_FLAT_S = 2.0
"""Pictures of one colour that last longer are a shot of their own."""
MIN_SLOPE_SHARE = 0.25
"""A ramp ends where contrast rises less than this share of its mean rise so far."""
MIN_RISE = 2.0
"""Contrast is multiplied by this in a ramp, at least; what jumps to its height is no ramp."""
RAMP_COHERENCE = 0.4
"""Median coherence of a ramp, at least: dark pictures change by few grey levels, rounded."""


def flat_candidates(signals: FrameSignals, timeline: Timeline) -> list[Candidate]:
    """Runs of pictures of one colour, with the ramps at both ends of each.

    Of runs that last long, the ramps alone; a run at an end of the stream without a ramp is no candidate.
    """
    longest = timeline.units(MAX_FLAT_S)
    found: list[Candidate] = []
    for start, end in runs(signals.contrast < FLAT_CONTRAST):
        first = start - _ramp(signals.contrast[:start][::-1], signals.coherence[:start][::-1], signals.step)
        last = end + _ramp(signals.contrast[end:], signals.coherence[end:], signals.step)
        is_black_end = (start == 0 or end == len(signals)) and (first, last) == (start, end)
        is_whole = timeline.at(end) - timeline.at(start) <= longest and not is_black_end
        edges = [(first, last)] if is_whole else [(first, start), (end, last)]
        found += [Candidate(a, b, signals.probability(a, b)) for a, b in edges if a < b]
    return found


def _ramp(contrast: Floats, coherence: Floats, step: int) -> int:
    """How many frames contrast goes on rising from a flat picture, and steadily; 0 where it jumps.

    Args:
        contrast: of the frames beside the flat picture, the nearest first.
        coherence: of the same frames.
        step: frames over which the rise is taken.
    """
    length = 0
    while length + step < len(contrast):
        rise = (contrast[length + step] - contrast[length]) / step
        mean_rise = (contrast[length] - contrast[0]) / max(1, length)
        if rise <= 0 or rise < MIN_SLOPE_SHARE * mean_rise:
            break
        length += 1
    if not length or float(np.median(coherence[:length])) < RAMP_COHERENCE:
        return 0
    return length if contrast[length] >= MIN_RISE * contrast[0] else 0
