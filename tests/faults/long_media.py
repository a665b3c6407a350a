"""Long videos at the cost of a short one: a minute is encoded once, then its packets are repeated."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.video.stream import VideoStream
from numpy.typing import NDArray

SHOT_S = 6
"""Seconds between two cuts."""


def sliding_minute(path: Path, *, width: int = 1280, height: int = 720, rate: int = 25) -> Path:
    """One minute of sliding textures with a cut, and a keyframe, every `SHOT_S` seconds."""
    with av.open(str(path), "w") as container:
        options = {"preset": "ultrafast", "g": str(rate * SHOT_S), "sc_threshold": "0"}
        stream = cast(VideoStream, container.add_stream("libx264", rate=rate, options=options))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for index, picture in enumerate(_pictures(width, height, rate)):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def _pictures(width: int, height: int, rate: int) -> Iterator[NDArray[np.uint8]]:
    for seed in range(60 // SHOT_S):
        random = np.random.default_rng(seed)
        small = random.integers(0, 56, (height // 8, width // 8, 3)) + random.integers(40, 200, 3)
        texture = np.kron(small, np.ones((8, 8, 1))).clip(0, 255).astype(np.uint8)
        for index in range(rate * SHOT_S):
            yield np.roll(texture, 2 * index, axis=1)


def repeat_video(source: Path, path: Path, times: int) -> Path:
    """Write the video `times` times in a row by stream copy of its packets."""
    with av.open(str(source)) as first, av.open(str(path), "w") as writer:
        track = writer.add_stream_from_template(first.streams.video[0], opaque=True)
        length = first.streams.video[0].duration or 0
        for number in range(times):
            with av.open(str(source)) as reader:
                for packet in reader.demux(video=0):
                    if packet.size and packet.pts is not None and packet.dts is not None:
                        packet.pts, packet.dts = packet.pts + number * length, packet.dts + number * length
                        packet.stream = track
                        writer.mux(packet)
    return path
