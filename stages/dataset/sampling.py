"""Which frames of a clip are read, and in which size. Exact arithmetic: no codec."""

import math
from dataclasses import dataclass
from fractions import Fraction
from numbers import Real
from typing import SupportsIndex

from stages.errors import ParamsError
from stages.tasks import Size, exact_fraction


@dataclass(frozen=True, slots=True)
class FrameSampling:
    """The frames of a clip that are read: `num_frames` of them, or `fps` a second, or every frame.

    Attributes:
        num_frames: the clip is divided into so many equal parts, and the frame shown in the middle of each is read.
        fps: the frames shown at 0, 1/fps, 2/fps, ... seconds of the clip are read.
        size: of the result; None for the size that the clip is displayed in.

    Raises:
        ParamsError: both are given, or one is not above 0, or the size is not.
    """

    num_frames: int | None = None
    fps: float | None = None
    size: Size | None = None

    def __post_init__(self) -> None:
        if self.num_frames is not None and self.fps is not None:
            raise ParamsError(
                f"num_frames or fps can be given, got both: {self.num_frames} and {self.fps}. Leave one out."
            )
        if self.num_frames is not None and not (isinstance(self.num_frames, SupportsIndex) and self.num_frames >= 1):
            raise ParamsError(f"num_frames must be a whole number of at least 1, got {self.num_frames!r}.")
        if self.fps is not None and not (isinstance(self.fps, Real) and 0 < self.fps < math.inf):
            raise ParamsError(f"fps must be above 0 and finite, got {self.fps!r}.")
        if self.size is not None and min(self.size.width, self.size.height) < 1:
            raise ParamsError(f"size must be at least 1 pixel high and wide, got {self.size.height, self.size.width}.")

    def times(self, duration: Fraction) -> list[Fraction] | None:
        """Seconds from the start of a clip at which frames are read, in order; None for every frame.

        At least one. Where two times fall into one frame, it is read twice, so that all clips have `num_frames`.
        """
        if self.num_frames is not None:
            return [(2 * part + 1) * duration / (2 * self.num_frames) for part in range(self.num_frames)]
        if self.fps is not None:
            fps = exact_fraction(self.fps)
            return [number / fps for number in range(max(1, math.ceil(duration * fps)))]
        return None


def covering_size(displayed: Size, wanted: Size) -> Size:
    """The smallest size in the proportions of `displayed` in which a picture of the size `wanted` fits."""
    scale = max(Fraction(wanted.width, displayed.width), Fraction(wanted.height, displayed.height))
    return Size(
        max(wanted.width, round(displayed.width * scale)),
        max(wanted.height, round(displayed.height * scale)),
    )
