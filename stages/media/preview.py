"""A clip's preview: an animated WebP made of its pictures in the frame store."""

import io
from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import pairwise

import numpy as np
from PIL import Image

from stages import heartbeat
from stages.media.clip_tasks import spread
from stages.tasks import Frames, Span

WEBP_QUALITY = 75
MAX_PICTURES = 512
"""Of one preview; of a clip with more they are spread evenly."""
LONGEST_MS = 1 << 21
"""That one picture is shown, some 35 minutes. WebP counts the whole in 31 bits."""


def shown_times(times: Sequence[int], span: Span, *, fps: float) -> list[int]:
    """Of the times of a clip's pictures those that its preview shows.

    Args:
        times: PTS, rising.
        span: the clip's.
        fps: of each 1/fps seconds the first picture is taken.
    """
    shown: list[int] = []
    last_slot: int | None = None
    for pts in times:
        slot = int((pts - span.start_pts) * span.time_base * Fraction(fps))
        if last_slot is None or slot > last_slot:
            shown.append(pts)
            last_slot = slot
    return [shown[place] for place in spread(len(shown), MAX_PICTURES)]


def encode_preview(parts: Iterable[Frames], span: Span, *, height_px: int) -> bytes:
    """The pictures as an animated WebP that plays as long as the clip.

    Args:
        parts: of the clip, in presentation order, at least one picture in all. Each is shrunk before the next is
            taken.
        span: the clip's.
        height_px: pictures are shrunk to it, never enlarged.

    Raises:
        ValueError: there is no picture.
    """
    images: list[Image.Image] = []
    times: list[int] = []
    for frames in parts:
        images += [_shrunk(picture, height_px) for picture in frames.images]
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
    """How long each picture is shown: until the next; the first from the clip's start, the last to its end."""
    starts = [span.start_pts, *times[1:], span.end_pts]
    return [
        min(LONGEST_MS, max(1, round((after - before) * span.time_base * 1000))) for before, after in pairwise(starts)
    ]


def _shrunk(picture: np.ndarray, height_px: int) -> Image.Image:
    heartbeat.beat()
    image = Image.fromarray(picture)
    if image.height <= height_px:
        return image
    width = max(1, round(image.width * height_px / image.height))
    return image.resize((width, height_px), Image.Resampling.LANCZOS)
