"""A clip's preview: an animated WebP made of its frames in the frame store."""

import io
from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import pairwise

import numpy as np
from PIL import Image

from stages import heartbeat
from stages.media.clip_tasks import evenly_spaced_indices
from stages.tasks import Frames, Span

WEBP_QUALITY = 75
MAX_PREVIEW_FRAMES = 512
"""Limit of frames per preview; of a longer clip, evenly spaced ones are taken."""
MAX_FRAME_DURATION_MS = 1 << 21
"""Limit of one frame's duration, some 35 minutes. WebP stores the total duration in 31 bits."""


def select_preview_pts(times: Sequence[int], span: Span, *, fps: float) -> list[int]:
    """PTS of the frames that a clip's preview shows.

    Args:
        times: PTS of the clip's sampled frames, rising.
        span: the clip's.
        fps: the first frame of each 1/fps seconds is selected.
    """
    selected: list[int] = []
    last_slot: int | None = None
    for pts in times:
        slot = int((pts - span.start_pts) * span.time_base * Fraction(fps))
        if last_slot is None or slot > last_slot:
            selected.append(pts)
            last_slot = slot
    return [selected[index] for index in evenly_spaced_indices(len(selected), MAX_PREVIEW_FRAMES)]


def encode_preview(parts: Iterable[Frames], span: Span, *, height_px: int) -> bytes:
    """Encode frames as an animated WebP that plays as long as the clip.

    Args:
        parts: the clip's frames in presentation order, at least one in all. Each part is scaled down before the next
            is taken from the iterable.
        span: the clip's.
        height_px: frames are scaled down to this height, never up.

    Raises:
        ValueError: `parts` holds no frame.
    """
    images: list[Image.Image] = []
    times: list[int] = []
    for frames in parts:
        images += [_scale_down(picture, height_px) for picture in frames.images]
        times += frames.pts.tolist()
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
    """Duration of each frame: until the next one; the first from the clip's start, the last to its end."""
    starts = [span.start_pts, *times[1:], span.end_pts]
    return [
        min(MAX_FRAME_DURATION_MS, max(1, round((after - before) * span.time_base * 1000)))
        for before, after in pairwise(starts)
    ]


def _scale_down(picture: np.ndarray, height_px: int) -> Image.Image:
    heartbeat.beat()
    image = Image.fromarray(picture)
    if image.height <= height_px:
        return image
    width = max(1, round(image.width * height_px / image.height))
    return image.resize((width, height_px), Image.Resampling.LANCZOS)
