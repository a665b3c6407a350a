"""The eight ways in which a picture can lie: upright, turned by quarters, and mirrored."""

import itertools
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

S = TypeVar("S", bound=np.generic)


class Turn(NamedTuple):
    """What is done to square pictures, in this order.

    Attributes:
        is_transposed: rows become columns.
        is_upside_down: the last row becomes the first one.
        is_mirrored: the last column becomes the first one.
    """

    is_transposed: bool = False
    is_upside_down: bool = False
    is_mirrored: bool = False

    def back(self) -> "Turn":
        """The turn that undoes this one."""
        if not self.is_transposed:
            return self
        return Turn(True, is_upside_down=self.is_mirrored, is_mirrored=self.is_upside_down)


UPRIGHT = Turn()
TURNS = tuple(Turn(*each) for each in itertools.product((False, True), repeat=3))
"""All eight; the first changes nothing."""


def turned(pictures: NDArray[S], turn: Turn) -> NDArray[S]:
    """Pictures ``[..., S, S]`` as they lie after a turn."""
    if turn.is_transposed:
        pictures = np.swapaxes(pictures, -1, -2)
    if turn.is_upside_down:
        pictures = pictures[..., ::-1, :]
    if turn.is_mirrored:
        pictures = pictures[..., ::-1]
    return pictures
