"""Encodes small WebP pictures within a number of bytes: more pictures are made smaller and of lower quality."""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
"""``[H, W, 3]``, BGR, the channel order of OpenCV."""


class Preset(NamedTuple):
    """The bounding box of a picture and its WebP quality, 0 to 100."""

    width_px: int
    height_px: int
    quality: int


PRESETS = (
    Preset(192, 144, 75),
    Preset(192, 144, 60),
    Preset(176, 132, 50),
    Preset(160, 120, 40),
    Preset(128, 96, 35),
    Preset(112, 84, 20),
    Preset(96, 72, 10),
    Preset(64, 48, 5),
)
SMALL_PRESETS = (
    Preset(128, 96, 40),
    Preset(112, 84, 30),
    Preset(96, 72, 20),
    Preset(96, 72, 5),
    Preset(80, 60, 5),
    Preset(64, 48, 5),
    Preset(40, 30, 5),
)
"""From best to worst. Real clips fit with the first or second preset; noise needs the last."""


def decode_jpeg(jpeg: bytes) -> Image | None:
    """The picture, scaled down to the best preset; None where it cannot be decoded."""
    if not jpeg:
        return None
    try:
        image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:  # the header names more pixels than OpenCV accepts
        return None
    return None if image is None else shrink_to_fit(image.astype(np.uint8, copy=False), PRESETS[0])


def encode_within(images: Sequence[Image | None], max_bytes: int) -> list[bytes]:
    """WebP of each picture, all with one preset, at most `max_bytes` in all; empty where there is no picture.

    Where even the worst preset takes too much, the last pictures are left out.
    """
    encoded: list[bytes] = []
    for preset in PRESETS:
        encoded = [b"" if image is None else _webp(image, preset) for image in images]
        if sum(map(len, encoded)) <= max_bytes:
            return encoded
    sizes = np.cumsum([len(data) for data in encoded])
    return [data if size <= max_bytes else b"" for data, size in zip(encoded, sizes, strict=True)]


def encode_small(image: Image | None, max_bytes: int) -> bytes:
    """WebP of one picture of at most `max_bytes`; empty where even the worst preset takes more."""
    if image is not None:
        for preset in SMALL_PRESETS:
            data = _webp(image, preset)
            if len(data) <= max_bytes:
                return data
    return b""


def shrink_to_fit(image: Image, preset: Preset) -> NDArray[np.uint8]:
    """The picture scaled down to the preset's box, with its aspect ratio; a smaller picture is returned as it is."""
    height, width = image.shape[:2]
    scale = min(preset.width_px / width, preset.height_px / height)
    if scale >= 1:
        return image
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def _webp(image: Image, preset: Preset) -> bytes:
    _, data = cv2.imencode(".webp", shrink_to_fit(image, preset), [cv2.IMWRITE_WEBP_QUALITY, preset.quality])
    return data.tobytes()
