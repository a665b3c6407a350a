"""Frames at a constant rate: of each time, the frame that is shown then."""

import math
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

from stages.media.decode import DecodedFrame
from stages.tasks import Span


def span_at_rate(span: Span, fps: Fraction) -> Span:
    """A span of as many units of 1/fps as begin in this one, from 0."""
    seconds = (span.end_pts - span.start_pts) * span.time_base
    return Span(0, max(1, math.ceil(seconds * fps)), 1 / fps)


def at_constant_rate(frames: Iterator[DecodedFrame], span: Span, fps: Fraction) -> Iterator[DecodedFrame]:
    """The frames that a player shows at the start of the span and every 1/fps after it, with PTS in units of 1/fps.

    Args:
        frames: those of the span, in presentation order, at least one.
        span: with their time base.
        fps: frames a second.
    """
    number, num_frames = 0, span_at_rate(span, fps).end_pts
    step = 1 / (fps * span.time_base)
    shown = next(frames)
    for following in frames:
        while number < num_frames and span.start_pts + number * step < following.pts:
            yield replace(shown, pts=number)
            number += 1
        shown = following
    for last in range(number, num_frames):
        yield replace(shown, pts=last)
