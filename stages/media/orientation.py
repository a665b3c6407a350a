"""How a decoded picture must be mirrored and turned to stand upright, by its display matrix."""

import math
from dataclasses import dataclass
from typing import Any, Self

import av
import numpy as np
from av.sidedata.sidedata import SideDataContainer, Type
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Orientation:
    """One of the eight ways to lay a picture on its grid: rows and columns swapped first, then the flips.

    Attributes:
        transpose: rows become columns, so that width and height change places.
        hflip: left and right change places, after `transpose`.
        vflip: top and bottom change places, after `transpose`.
    """

    transpose: bool = False
    hflip: bool = False
    vflip: bool = False

    @classmethod
    def of(cls, frame: av.VideoFrame) -> Self:
        """The orientation that the frame's display matrix asks for; a frame without one is upright."""
        # frame.side_data would make a reference cycle: decoded frames would then stay until the garbage collector runs.
        container: Any = SideDataContainer(frame)  # type: ignore[call-arg] - stub
        matrix = container.get(Type.DISPLAYMATRIX)
        return cls() if matrix is None else cls.of_matrix(np.frombuffer(matrix, np.int32)[:9].tolist())

    @classmethod
    def of_matrix(cls, matrix: list[int]) -> Self:
        """The orientation nearest to a display matrix.

        The matrix maps a decoded (x, y):

            x' = m[0] x + m[3] y + m[6]        y' = m[1] x + m[4] y + m[7]

        The same choice as FFmpeg's own autorotation makes: the angle says whether the axes change places, the signs say
        what is mirrored. A matrix without an angle (zeros) asks for nothing.
        """
        first, second = math.hypot(matrix[0], matrix[3]), math.hypot(matrix[1], matrix[4])
        if not first or not second:
            return cls()
        if abs(matrix[1]) / second > abs(matrix[0]) / first:
            return cls(True, matrix[3] < 0, matrix[1] < 0)
        return cls(False, matrix[0] < 0, matrix[4] < 0)

    @property
    def is_mirrored(self) -> bool:
        """The picture is mirrored, which no turn would do."""
        return self.transpose ^ self.hflip ^ self.vflip

    @property
    def degrees(self) -> int:
        """The turn counter-clockwise, -180, -90, 0 or 90; a mirrored picture is mirrored left to right before it."""
        # Mirrored left to right before a transpose is mirrored top to bottom after it.
        hflip = self.hflip ^ (self.is_mirrored and not self.transpose)
        vflip = self.vflip ^ (self.is_mirrored and self.transpose)
        if self.transpose:
            return 90 if vflip else -90
        return -180 if hflip else 0

    def apply(self, picture: NDArray[Any]) -> NDArray[Any]:
        """A view of the picture ``[H, W]`` or ``[H, W, C]``, upright."""
        if self.transpose:
            picture = picture.swapaxes(0, 1)
        return picture[:: -1 if self.vflip else 1, :: -1 if self.hflip else 1]
