"""Hashes of the pictures by which clips are looked for and found."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Landmarks:
    """Hashes of some pictures of many clips.

    Attributes:
        clip: int64 ``[N]``, the clip of each picture, by number.
        hashes: uint8 ``[N, V, 32]``, of each of V views.
    """

    clip: NDArray[np.int64]
    hashes: NDArray[np.uint8]
