"""Pictures as EfficientNet-Lite0 takes them. Imports no torch, which a worker that only loads pictures does without."""

import cv2
import numpy as np
from numpy.typing import NDArray

INPUT_PX = 224
CROP_SHARE = INPUT_PX / (INPUT_PX + 32)
"""Side of the centre crop as a fraction of the shorter side, as in the authors' evaluation."""


def crop_square(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Centre crop of one RGB image, scaled to the network's input: uint8 ``[224, 224, 3]``."""
    height, width = image.shape[:2]
    side = max(1, round(min(height, width) * CROP_SHARE))
    top, left = (height - side) // 2, (width - side) // 2
    square = image[top : top + side, left : left + side]
    # INTER_AREA averages, so that downscaling does not alias.
    interpolation = cv2.INTER_AREA if side >= INPUT_PX else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(square, (INPUT_PX, INPUT_PX), interpolation=interpolation), np.uint8)


def crop_squares(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The same of several images, uint8 ``[N, H, W, 3]``."""
    return np.stack([crop_square(image) for image in images])
