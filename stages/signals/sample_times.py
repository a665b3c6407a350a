"""Times at which a measure looks at a video, whatever its frame rate."""

from fractions import Fraction

GOLDEN_SHARE = 0.6180339887498949


class SampleTimes:
    """Selects frames at a mean rate: the first at or after each time.

    The times are spread unevenly, by multiples of the golden ratio: at even times, frames that were repeated to reach a
    higher rate would be met at the same place of their rhythm each time. They depend on nothing but the rate and the
    first frame, so that two measures of one rate look at the same frames.

    Args:
        rate: times a second.
        time_base: seconds per unit of PTS.
    """

    def __init__(self, rate: float, time_base: Fraction) -> None:
        self._rate = rate
        self._seconds_per_pts = float(time_base)
        self._origin: int | None = None
        self._count = 0

    def is_due(self, pts: int) -> bool:
        """True where a time has come since the last frame that was selected; the caller then takes this frame."""
        if self._origin is None:
            self._origin = pts
        position = (pts - self._origin) * self._seconds_per_pts * self._rate + 1e-6
        if position < self._next_position():
            return False
        self._count = max(self._count, int(position))
        while self._next_position() <= position:  # twice at most
            self._count += 1
        return True

    def _next_position(self) -> float:
        return self._count + self._count * GOLDEN_SHARE % 1
