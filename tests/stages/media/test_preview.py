import io
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image, ImageSequence

from stages.media.preview import MAX_PREVIEW_FRAMES, encode_preview, select_preview_pts
from stages.tasks import Frames, Span

SPAN = Span(1000, 5000, Fraction(1, 1000))


def frames(count: int, *, height: int = 96) -> Frames:
    """Pictures twice a second from the start of the span, each lighter than the one before."""
    pts = np.arange(count, dtype=np.int64) * 500 + SPAN.start_pts
    images = np.stack([np.full((height, 64, 3), 20 + 20 * index, np.uint8) for index in range(count)])
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


@pytest.mark.parametrize("step", [1, 2, 4])
def test_encode_preview_plays_as_long_as_the_clip(step: int) -> None:
    whole = frames(8)
    taken = Frames(whole.pts[::step], whole.images[::step])
    pictures = decoded(encode_preview(split(taken), SPAN, height_px=48))
    assert [duration for _, duration in pictures] == [500 * step] * (8 // step)
    assert [grey for grey, _ in pictures] == pytest.approx([20 + 20 * index for index in range(0, 8, step)], abs=2)


def test_encode_preview_of_a_clip_of_years_is_bounded() -> None:
    span = Span(0, 1 << 62, Fraction(1, 1000))
    pictures = decoded(encode_preview([Frames(np.array([0, 1 << 60]), frames(2).images)], span, height_px=48))
    assert [duration for _, duration in pictures] == [1 << 21, 1 << 21]


@pytest.mark.parametrize(("fps", "step"), [(1.0, 2), (2.0, 1), (30.0, 1), (0.5, 4)])
def test_shown_times_takes_the_first_of_each_step(fps: float, step: int) -> None:
    times = frames(8).pts.tolist()
    assert select_preview_pts(times, SPAN, fps=fps) == times[::step]


def test_shown_times_spreads_what_is_too_much() -> None:
    times = select_preview_pts(range(0, 10**6, 100), Span(0, 10**6, Fraction(1, 100)), fps=1.0)
    assert len(times) == MAX_PREVIEW_FRAMES
    assert {after - before for before, after in pairwise(times)} <= {1900, 2000}


def test_shown_times_takes_the_nearest_of_the_shot() -> None:
    assert select_preview_pts([100], SPAN, fps=1.0) == [100]


@pytest.mark.parametrize(("height_px", "size"), [(48, (32, 48)), (96, (64, 96)), (240, (64, 96))])
def test_encode_preview_shrinks_and_never_enlarges(height_px: int, size: tuple[int, int]) -> None:
    data = encode_preview([frames(2)], SPAN, height_px=height_px)
    assert Image.open(io.BytesIO(data)).size == size


def test_encode_preview_of_one_picture_is_a_still() -> None:
    data = encode_preview([frames(1)], SPAN, height_px=48)
    assert getattr(Image.open(io.BytesIO(data)), "n_frames", 1) == 1


def test_encode_preview_rejects_no_picture() -> None:
    with pytest.raises(ValueError, match="at least one picture"):
        encode_preview([Frames(np.zeros(0, np.int64), np.zeros((0, 8, 8, 3), np.uint8))], SPAN, height_px=48)
