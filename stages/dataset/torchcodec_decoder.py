"""Decodes the wanted frames of a clip's file with torchcodec, which reaches a frame from the keyframe before it.

torchcodec is no dependency: it needs shared libraries of FFmpeg on the machine, which PyPI does not bring.
"""

import importlib
import math
from collections.abc import Sequence
from dataclasses import fields
from fractions import Fraction
from functools import cache
from typing import Any

from stages.dataset.clip_frames import ClipFrames, FrameCollector, FrameCountMismatch
from stages.errors import UnreadableSource
from stages.tasks import Size

LOAD_ERRORS = (ImportError, OSError, RuntimeError)
"""What importing torchcodec raises where it is missing, or finds no FFmpeg that it fits."""


@cache
def load_torchcodec() -> Any:
    """The module ``torchcodec.decoders``.

    Raises:
        ImportError: it is missing, or of a version that does not turn frames upright.
        OSError: a library that it needs is missing.
        RuntimeError: it finds no FFmpeg that it fits.
    """
    module = importlib.import_module("torchcodec.decoders")
    if "rotation" not in {field.name for field in fields(module.VideoStreamMetadata)}:
        raise ImportError("torchcodec must be of a version that turns frames upright, 0.13 for example")
    return module


def decode_with_torchcodec(
    data: bytes, location: str, times: Sequence[Fraction] | None, *, size: Size | None, num_frames: int
) -> ClipFrames:
    """The frames that are shown at some times, or every frame; as `decode_with_pyav` finds them.

    Raises:
        SourceError: the file is no video, or breaks.
        FrameCountMismatch: it has fewer frames, or more.
    """
    try:
        decoder = load_torchcodec().VideoDecoder(data, dimension_order="NHWC", num_ffmpeg_threads=1, device="cpu")
        if len(decoder) != num_frames:
            raise FrameCountMismatch(num_frames, len(decoder))
        start_s, end_s = decoder.metadata.begin_stream_seconds, decoder.metadata.end_stream_seconds
        if times is None:
            batch = decoder.get_frames_in_range(0, num_frames)
        else:
            last_s = math.nextafter(end_s, -math.inf)  # the last frame has no end here, but one in torchcodec
            batch = decoder.get_frames_played_at([min(start_s + float(time), last_s) for time in times])
    except (RuntimeError, ValueError, IndexError) as error:
        raise UnreadableSource(location, f"torchcodec must decode the video, got {error}: {location}.") from error
    images, times_s = batch.data.numpy(), batch.pts_seconds.numpy() - start_s
    collector = FrameCollector(len(images), _displayed_size(decoder.metadata, images.shape), size)
    for image, time_s in zip(images, times_s, strict=True):
        collector.add(image, time_s, 1)
    return collector.frames()


def _displayed_size(metadata: Any, shape: tuple[int, ...]) -> Size:
    """The size of frames with pixels made square; they are upright already."""
    height, width = shape[1:3]
    aspect = metadata.pixel_aspect_ratio or Fraction(1)
    if round((metadata.rotation or 0) / 90) % 2:
        return Size(width, max(1, round(height * aspect)))
    return Size(max(1, round(width * aspect)), height)
