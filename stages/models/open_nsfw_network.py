"""Yahoo's Open NSFW in ONNX.

Pictures are prepared as its authors do (``classify_nsfw.py`` of yahoo/open_nsfw): the whole picture to 256 x 256,
bilinear, through a JPEG, the middle 224 x 224 of it, as BGR less a mean. The network was trained on such JPEGs.
"""

import functools
import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stages import heartbeat
from stages.models.nsfw import WANTED_BY
from stages.models.onnx_sessions import open_session

RESIZED_PX = 256
CROP_PX = 224
MEAN_BGR = np.array([104, 117, 123], np.float32)


class OpenNsfw:
    """The network on one device."""

    def __init__(self, path: str, device: str, num_threads: int) -> None:
        self._session = open_session(path, device, num_threads, wanted_by=WANTED_BY)
        self._input = self._session.get_inputs()[0].name

    def probabilities(
        self, images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8], first: int = 8, largest: int = 8
    ) -> NDArray[np.float32]:
        """Float32 ``[N]`` of RGB images, uint8 ``[H, W, 3]``, in calls of at most `largest`."""
        found: list[NDArray[np.float32]] = []
        for start in range(0, len(images), largest):
            heartbeat.beat()
            batch = np.stack([prepared(image) for image in images[start : start + largest]])
            found.append(np.asarray(self._session.run(None, {self._input: batch})[0])[:, 1])
        return np.concatenate(found)


def prepared(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Float32 ``[224, 224, 3]``, BGR less its mean, of an RGB image, uint8 ``[H, W, 3]``."""
    file = io.BytesIO()
    resized = Image.fromarray(image).resize((RESIZED_PX, RESIZED_PX), Image.Resampling.BILINEAR)
    resized.save(file, format="JPEG")
    with Image.open(file) as decoded:
        pixels = np.asarray(decoded.convert("RGB"), np.float32)
    margin = (RESIZED_PX - CROP_PX) // 2
    inside = pixels[margin : margin + CROP_PX, margin : margin + CROP_PX]
    return inside[:, :, ::-1] - MEAN_BGR


@functools.lru_cache(maxsize=2)
def load(path: str, device: str, num_threads: int) -> OpenNsfw:
    """The network on this device, one copy per process.

    Raises:
        ParamsError: the file is damaged.
    """
    return OpenNsfw(path, device, num_threads)
