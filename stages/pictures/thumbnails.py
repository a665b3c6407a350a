"""Small pictures that together stay below a number of bytes: the more there are, the smaller and coarser each is."""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
"""``[H, W, 3]``, BGR, as OpenCV has it."""


class Step(NamedTuple):
    """The box that a picture fits in, and WebP's quality, 0 to 100."""

    width_px: int
    height_px: int
    quality: int


STEPS = (
    Step(192, 144, 75),
    Step(192, 144, 60),
    Step(176, 132, 50),
    Step(160, 120, 40),
    Step(128, 96, 35),
    Step(112, 84, 20),
    Step(96, 72, 10),
    Step(64, 48, 5),
)
SMALL_STEPS = (
    Step(128, 96, 40),
    Step(112, 84, 30),
    Step(96, 72, 20),
    Step(96, 72, 5),
    Step(80, 60, 5),
    Step(64, 48, 5),
    Step(40, 30, 5),
)
"""From best to worst. Pictures of real clips stop at the first or second; noise goes on to the end."""


def decode_jpeg(jpeg: bytes) -> Image | None:
    """The picture, no larger than the best step shows it; None where it does not decode."""
    if not jpeg:
        return None
    try:
        image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:  # a header that claims more pixels than OpenCV takes
        return None
    return None if image is None else shrunk(image.astype(np.uint8, copy=False), STEPS[0])


def encode_within(images: Sequence[Image | None], max_bytes: int) -> list[bytes]:
    """WebP of each picture, all of one quality, `max_bytes` together at most; empty where there is no picture.

    Where even the worst quality is too much, the last pictures are left out.
    """
    encoded: list[bytes] = []
    for step in STEPS:
        encoded = [b"" if image is None else _webp(image, step) for image in images]
        if sum(map(len, encoded)) <= max_bytes:
            return encoded
    sizes = np.cumsum([len(data) for data in encoded])
    return [data if size <= max_bytes else b"" for data, size in zip(encoded, sizes, strict=True)]


def encode_small(image: Image | None, max_bytes: int) -> bytes:
    """WebP of one picture in at most `max_bytes`; empty where it takes more even at its worst."""
    if image is not None:
        for step in SMALL_STEPS:
            data = _webp(image, step)
            if len(data) <= max_bytes:
                return data
    return b""


def shrunk(image: Image, step: Step) -> NDArray[np.uint8]:
    """The picture inside the step's box, in its own proportions; one that fits is not enlarged."""
    height, width = image.shape[:2]
    scale = min(step.width_px / width, step.height_px / height)
    if scale >= 1:
        return image
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def _webp(image: Image, step: Step) -> bytes:
    _, data = cv2.imencode(".webp", shrunk(image, step), [cv2.IMWRITE_WEBP_QUALITY, step.quality])
    return data.tobytes()
