"""Small real videos, each described by what it shows and where its cuts are."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]


def write_video(
    path: Path,
    pictures: list[Picture],
    *,
    rate: int = 25,
    codec: str = "libx264",
    pts: list[int] | None = None,
    options: dict[str, str] | None = None,
) -> Path:
    """Encode uint8 ``[H, W, 3]`` RGB pictures; `pts` in units of 1/rate makes the frame rate vary."""
    height, width = pictures[0].shape[:2]
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options=options or {})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.time_base = Fraction(1, rate)
        for index, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = pts[index] if pts else index
            frame.time_base = Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def noise_shot(seed: int, num_frames: int, *, width: int = 96, height: int = 64, speed: int = 1) -> list[Picture]:
    """A textured picture that slides by `speed` pixels a frame: one shot with motion, of a colour of its own."""
    random = np.random.default_rng(seed)
    tint = random.integers(40, 200, 3)
    small = random.integers(0, 56, (height // 8, width // 8, 3))
    texture = np.clip(np.kron(small, np.ones((8, 8, 1))) + tint, 0, 255).astype(np.uint8)
    return [np.roll(texture, index * speed, axis=1) for index in range(num_frames)]


def three_shots(path: Path, *, rate: int = 25) -> Path:
    """Three sliding shots of 75 frames: cuts at frames 75 and 150, 9 seconds at 25 fps."""
    pictures = [picture for seed in (1, 2, 3) for picture in noise_shot(seed, 75)]
    return write_video(path, pictures, rate=rate, options={"g": "50"})


Maker = Callable[[Path], Path]
