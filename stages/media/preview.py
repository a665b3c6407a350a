"""A clip's preview: an animated WebP made of its pictures in the frame store."""

import io
from collections.abc import Iterable
from fractions import Fraction
from itertools import pairwise

import numpy as np
from PIL import Image

from stages import heartbeat
from stages.tasks import Frames, Span

WEBP_QUALITY = 75


def encode_preview(parts: Iterable[Frames], span: Span, *, fps: float, height_px: int) -> bytes:
    """The pictures as an animated WebP that plays as long as the clip, at most `fps` pictures a second.

    Args:
        parts: of the clip, in presentation order, at least one picture in all. Of each part only the pictures that
            are shown are kept, shrunk, before the next is taken.
        span: the clip's.
        fps: where the store has more pictures, the first of each 1/fps seconds is taken.
        height_px: pictures are shrunk to it, never enlarged.

    Raises:
        ValueError: there is no picture.
    """
    images: list[Image.Image] = []
    times: list[int] = []
    last_slot = -1
    for frames in parts:
        for pts, picture in zip(frames.pts.tolist(), frames.images, strict=True):
            slot = int((pts - span.start_pts) * span.time_base * Fraction(fps))
            if slot > last_slot or not images:
                images.append(_shrunk(picture, height_px))
                times.append(pts)
                last_slot = slot
    if not images:
        raise ValueError("parts must hold at least one picture, got none.")
    buffer = io.BytesIO()
    images[0].save(
        buffer,
        "WEBP",
        save_all=True,
        append_images=images[1:],
        duration=_durations_ms(times, span),
        loop=0,
        quality=WEBP_QUALITY,
    )
    return buffer.getvalue()


def _durations_ms(times: list[int], span: Span) -> list[int]:
    """How long each picture is shown: until the next; the first from the clip's start, the last to its end."""
    starts = [span.start_pts, *times[1:], span.end_pts]
    return [max(1, round((after - before) * span.time_base * 1000)) for before, after in pairwise(starts)]


def _shrunk(picture: np.ndarray, height_px: int) -> Image.Image:
    heartbeat.beat()
    image = Image.fromarray(picture)
    if image.height <= height_px:
        return image
    width = max(1, round(image.width * height_px / image.height))
    return image.resize((width, height_px), Image.Resampling.LANCZOS)
