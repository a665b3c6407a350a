import io
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image, ImageSequence

from stages.media.preview import encode_preview
from stages.tasks import Frames, Span

SPAN = Span(1000, 5000, Fraction(1, 1000))


def frames(count: int, *, height: int = 96) -> Frames:
    """Pictures twice a second from the start of the span, each lighter than the one before."""
    pts = np.arange(count, dtype=np.int64) * 500 + SPAN.start_pts
    images = np.stack([np.full((height, 64, 3), 20 + 20 * place, np.uint8) for place in range(count)])
    return Frames(pts, images)


def split(whole: Frames) -> Iterator[Frames]:
    """The same pictures in parts of three."""
    for first in range(0, len(whole), 3):
        yield Frames(whole.pts[first : first + 3], whole.images[first : first + 3])


def decoded(data: bytes) -> list[tuple[int, int]]:
    """Mean grey and duration in ms of each picture."""
    image = Image.open(io.BytesIO(data))
    assert image.format == "WEBP"
    return [
        (round(float(np.asarray(picture.convert("L")).mean())), picture.info["duration"])
        for picture in ImageSequence.Iterator(image)
    ]


@pytest.mark.parametrize(("fps", "count", "step_ms"), [(1.0, 4, 1000), (2.0, 8, 500), (30.0, 8, 500), (0.5, 2, 2000)])
def test_encode_preview_plays_as_long_as_the_clip(fps: float, count: int, step_ms: int) -> None:
    pictures = decoded(encode_preview(split(frames(8)), SPAN, fps=fps, height_px=48))
    assert [duration for _, duration in pictures] == [step_ms] * count
    assert [grey for grey, _ in pictures] == pytest.approx(
        [20 + 20 * place for place in range(0, 8, 8 // count)], abs=2
    )


@pytest.mark.parametrize(("height_px", "size"), [(48, (32, 48)), (96, (64, 96)), (240, (64, 96))])
def test_encode_preview_shrinks_and_never_enlarges(height_px: int, size: tuple[int, int]) -> None:
    data = encode_preview([frames(2)], SPAN, fps=2, height_px=height_px)
    assert Image.open(io.BytesIO(data)).size == size


def test_encode_preview_of_one_picture_is_a_still() -> None:
    data = encode_preview([frames(1)], SPAN, fps=1, height_px=48)
    assert getattr(Image.open(io.BytesIO(data)), "n_frames", 1) == 1


def test_encode_preview_rejects_no_picture() -> None:
    with pytest.raises(ValueError, match="at least one picture"):
        encode_preview([Frames(np.zeros(0, np.int64), np.zeros((0, 8, 8, 3), np.uint8))], SPAN, fps=1, height_px=48)
