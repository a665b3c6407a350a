"""Samples the frames of a video at a constant rate, in exact time. Pure arithmetic: no codec."""

from fractions import Fraction
from typing import NamedTuple

from stages.tasks import exact_fraction


class Selection(NamedTuple):
    """Frames that the sampler selects after a `NearestSampler.push`.

    Attributes:
        previous: true if the frame pushed before is selected.
        current: true if the frame just pushed is selected.
    """

    previous: bool
    current: bool


class NearestSampler:
    """Selects, in one pass, the frames nearest to t0, t0 + 1/fps, t0 + 2/fps, ...; ties go to the earlier frame.

    Sample times end half a step after the last frame, so that the last frame is selected where a sample time is close
    to it. No frame is selected twice.

    Args:
        fps: samples per second.
        time_base: seconds per unit of PTS.
    """

    def __init__(self, fps: float, time_base: Fraction) -> None:
        rate = exact_fraction(fps) * time_base
        # A time of the stream, from the first frame on, is due where time * per_pts >= number * per_step. Integers:
        # arithmetic of fractions costs more than a measure of a frame.
        self._per_pts, self._per_step = rate.numerator, rate.denominator
        self._origin = 0
        self._previous: int | None = None
        self._previous_taken = False
        self._next = 0
        self._due_pts = 0

    def push(self, pts: int) -> Selection:
        """Add the next frame; PTS must rise.

        Raises:
            ValueError: the PTS does not rise.
        """
        if self._previous is None:
            self._origin, self._previous, self._previous_taken, self._next = pts, pts, True, 1
            self._due_pts = self._first_pts_due()
            return Selection(False, True)
        if pts <= self._previous:
            raise ValueError(f"pts must rise, got {pts} after {self._previous}.")
        if pts < self._due_pts:  # most frames
            self._previous, self._previous_taken = pts, False
            return Selection(False, False)
        twice_middle = self._previous + pts - 2 * self._origin
        take_previous = self._due(twice_middle) and not self._previous_taken
        self._next = max(self._next, self._steps_until(twice_middle))
        twice_current = 2 * (pts - self._origin)
        take_current = self._due(twice_current)
        self._next = max(self._next, self._steps_until(twice_current))
        self._due_pts = self._first_pts_due()
        self._previous, self._previous_taken = pts, take_current
        return Selection(take_previous, take_current)

    def finish(self) -> bool:
        """End the stream; true if the last frame is selected by sample times after it."""
        if self._previous is None or self._previous_taken:
            return False
        return (2 * self._next - 1) * self._per_step < 2 * (self._previous - self._origin) * self._per_pts

    def _first_pts_due(self) -> int:
        return self._origin - (-self._next * self._per_step // self._per_pts)  # rounded up

    def _due(self, twice_time: int) -> bool:
        return 2 * self._next * self._per_step <= twice_time * self._per_pts

    def _steps_until(self, twice_time: int) -> int:
        """Index of the first sample time after this time."""
        return twice_time * self._per_pts // (2 * self._per_step) + 1
