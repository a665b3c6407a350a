"""Names the colours that cover most of some pictures."""

import numpy as np
from numpy.typing import NDArray

BLACK_BELOW, WHITE_FROM = 48, 200
"""Largest of red, green and blue, of 255: of black pixels, and of white ones, which have little colour."""
GREY_BELOW = 0.15
"""Saturation as in HSV below which a pixel has no colour."""
BROWN_BELOW = 150
"""Largest of red, green and blue of an orange so dark that it is called brown."""
HUES = ((15, "red"), (42, "orange"), (68, "yellow"), (165, "green"), (195, "turquoise"), (258, "blue"), (300, "purple"))
"""Upper limits of hues, in degrees, with their names."""
LAST_HUES = ((345, "pink"), (360, "red"))
NAMES = ("black", "grey", "white", "brown", *dict.fromkeys(name for _, name in (*HUES, *LAST_HUES)))

LEAST_SHARE = 0.25
"""Of all pixels, for a colour to be named."""
LEAST_TOGETHER = 0.5
"""Of the colours that are named; else no colour covers most of the pictures."""
STEP_PX = 3
"""One pixel of so many in each direction is looked at."""


def main_colours(images: NDArray[np.uint8]) -> list[str]:
    """One or two names, the most frequent first; none where no colour covers much.

    Args:
        images: uint8 ``[N, H, W, 3]``, RGB.
    """
    counts = np.bincount(_codes(images[:, ::STEP_PX, ::STEP_PX].reshape(-1, 3)), minlength=len(NAMES))
    shares = counts / counts.sum()
    named = [int(code) for code in np.argsort(-shares, kind="stable")[:2] if shares[code] >= LEAST_SHARE]
    return [NAMES[code] for code in named] if shares[named].sum() >= LEAST_TOGETHER else []


def _codes(pixels: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The position in `NAMES` of each pixel's colour, ``[N]``."""
    red, green, blue = (pixels[:, channel].astype(np.float32) for channel in range(3))
    high, low = pixels.max(axis=1).astype(np.float32), pixels.min(axis=1).astype(np.float32)
    spread = np.maximum(high - low, 1e-6)
    hue = np.where(
        high == red,
        (green - blue) / spread % 6,
        np.where(high == green, (blue - red) / spread + 2, (red - green) / spread + 4),
    )
    limits = [limit for limit, _ in (*HUES, *LAST_HUES)]
    names = np.array([NAMES.index(name) for _, name in (*HUES, *LAST_HUES)])
    codes = names[np.minimum(np.searchsorted(limits, hue * 60, side="right"), len(names) - 1)]
    is_brown = (codes == NAMES.index("orange")) & (high < BROWN_BELOW)
    codes = np.where(is_brown, NAMES.index("brown"), codes)
    is_grey = spread < GREY_BELOW * high
    codes = np.where(is_grey, np.where(high >= WHITE_FROM, NAMES.index("white"), NAMES.index("grey")), codes)
    return np.where(high < BLACK_BELOW, NAMES.index("black"), codes)
