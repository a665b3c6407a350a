"""How long the last frame of a stream lasts, of which no other follows."""

MIN_STEPS = 8
"""With fewer steps from frame to frame it is not known whether they are even."""
EVEN_SHARE = 0.9
"""Share of steps like the one before from which on a stream has a constant rate, and of lengths from which on they are
those of the steps."""
RIGHT_SHARE = 0.5
"""Share of lengths like the steps below which lengths are wrong."""
TOLERANCE = 0.1
"""Steps, and a step and a length, are alike if they differ by at most this share, or one unit."""


class FrameLengths:
    """Looks at the lengths that a container tells of frames, while they are decoded, and says how long the last one is.

    At a constant rate lengths are those of the steps; where most of them are not, the header's length of a frame is
    wrong and the step holds. At a variable rate nothing but the container knows. Some tell the distances of decoding
    times, which are others where frames are reordered; then the last frame lasts until the header's end of the stream.
    """

    def __init__(self) -> None:
        self._pts: int | None = None
        self._length = self._step = self._even_step = self._longest = 0
        self._num_steps = self._num_even = self._num_right = 0

    def add(self, pts: int, length: int | None) -> None:
        """Add the next frame.

        Args:
            pts: larger than the last one's.
            length: as the container tells it, in the same unit; 0 or None where it does not.
        """
        if self._pts is not None:
            step = pts - self._pts
            self._num_steps += 1
            if _are_alike(step, self._step):
                self._num_even += 1
                self._even_step = step
            self._num_right += _are_alike(step, self._length)
            self._step, self._longest = step, max(step, self._longest)
        self._pts, self._length = pts, length or 0

    def last(self, default: int, declared_end: int | None = None) -> int:
        """Length of the frame that was added last, at least 1.

        Args:
            default: where neither a length nor a step tells it.
            declared_end: PTS where the stream ends by its header; None where it does not tell, or times begin again.
        """
        is_known = self._num_steps >= MIN_STEPS
        is_wrong = is_known and self._num_right < RIGHT_SHARE * self._num_steps
        if is_wrong and self._num_even >= EVEN_SHARE * (self._num_steps - 1):
            return self._even_step
        rest = 0 if declared_end is None or self._pts is None else declared_end - self._pts
        # A longer rest is a stream that was cut off.
        if self._num_right < EVEN_SHARE * self._num_steps and 0 < rest <= self._longest:
            return rest
        return max(1, self._length or self._step or default)


def _are_alike(step: int, other: int) -> bool:
    return abs(step - other) <= max(1, TOLERANCE * step)
