"""Shared inputs made after public reports; what is right is what the ffmpeg command shows of each."""

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from stages.media.container import open_video, video_stream
from stages.media.decode import decode_frames
from stages.media.deinterlacing import deinterlaced_frame
from stages.media.interlace import Fields, measure_fields
from stages.media.probing import probe
from stages.media.upright import displayed_size, upright

CORNERS = ((230, 20, 20), (20, 230, 20), (20, 20, 230), (235, 235, 235))
"""Above at the left and right, below at the left and right."""
HDR_CORNERS = ((229, 29, 16), (0, 235, 0), (34, 15, 232), (244, 232, 235))
"""The same in frame 40 of the HDR case, by ``zscale=t=bt709:p=bt709:m=gbr:r=full:npl=203``: its codec shifts them."""


@pytest.fixture
def cases(shared_media: Path) -> Path:
    return shared_media.parent / "cases"


def picture(path: Path, index: int) -> NDArray[np.uint8]:
    """A frame upright, in its displayed size."""
    with open_video(str(path)) as container:
        stream = video_stream(container)
        frame = next(islice(decode_frames(container), index, None)).frame
        return upright(frame, displayed_size(frame, stream.sample_aspect_ratio))


def cell(image: NDArray[np.uint8], row: int, column: int) -> NDArray[np.floating]:
    """Mean colour of the middle of a cell of 16 x 9."""
    height, width = image.shape[:2]
    rows = slice(int((row + 0.3) * height / 9), int((row + 0.7) * height / 9))
    columns = slice(int((column + 0.3) * width / 16), int((column + 0.7) * width / 16))
    return image[rows, columns].reshape(-1, 3).mean(axis=0)


@pytest.mark.parametrize(
    ("case", "size", "corners"),
    [
        ("mirrored_matrix", (320, 180), CORNERS),
        ("cropped_at_the_left", (328, 180), CORNERS),
        ("hdr10", (320, 180), HDR_CORNERS),
    ],
)
def test_corners_have_the_colours_that_ffmpeg_shows(
    cases: Path, case: str, size: tuple[int, int], corners: tuple[tuple[int, int, int], ...]
) -> None:
    path = cases / case / "input.mp4"
    facts = probe(str(path))
    assert (facts["width"], facts["height"]) == size
    image = picture(path, 40)
    found = [cell(image, *place) for place in ((0, 0), (0, 15), (8, 0), (8, 15))]
    assert np.array(found) == pytest.approx(np.array(corners), abs=3)


def test_cropped_columns_are_not_shown(cases: Path) -> None:
    left = picture(cases / "cropped_at_the_left" / "input.mp4", 40)[24:150, :4].astype(int)
    red, green, blue = left.reshape(-1, 3).mean(axis=0)
    assert green > 0.4 * min(red, blue), "magenta has no green"


def test_interlaced_case_is_seen_and_mended(cases: Path) -> None:
    with open_video(str(cases / "interlaced_h264" / "input.ts")) as container:
        frames = [decoded.frame for decoded in islice(decode_frames(container), 12)]
    assert all(frame.interlaced_frame for frame in frames)
    found = [measure_fields(*triple) for triple in zip(frames, frames[1:], frames[2:], strict=False)]
    assert set(found) <= {Fields.TOP_FIRST, Fields.UNKNOWN}
    assert found.count(Fields.TOP_FIRST) >= 5
    before, after = frames[5], deinterlaced_frame(frames[4], frames[5], frames[6], Fields.TOP_FIRST)
    combing = [
        np.abs(np.diff(frame.to_ndarray(format="gray").astype(int), 2, axis=0)).mean() for frame in (before, after)
    ]
    assert combing[1] < 0.4 * combing[0]
