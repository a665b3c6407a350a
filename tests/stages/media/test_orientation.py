"""Pictures that a display matrix lays on their sides, and such that the stream crops.

The ffmpeg command gives the same pictures as the arithmetic here: seen for all eight matrices, of MP4 files with square
and with wide pixels, of even and of odd sizes, for the frames as `UprightScaler` makes them and for encoded and copied
clips (mean difference 0.0 for frames and copies).
"""

import itertools
from fractions import Fraction
from pathlib import Path
from typing import Literal, cast

import av
import numpy as np
import pytest
from av.bitstream import BitStreamFilterContext
from av.video.stream import VideoStream
from numpy.typing import NDArray

from stages.media.container import open_video, video_stream
from stages.media.cut import CutJob, cut_clip
from stages.media.decode import decode_frames
from stages.media.encode import Encoding
from stages.media.orientation import Orientation
from stages.media.probing import probe
from stages.media.upright import displayed_size, upright
from stages.tasks import Size, Span
from tests.videos import Picture, write_video

RED, GREEN, BLUE, WHITE = (230, 20, 20), (20, 230, 20), (20, 20, 230), (235, 235, 235)
CORNERS = {(0, 0): RED, (1, 0): GREEN, (0, 1): BLUE, (1, 1): WHITE}
"""Colour by place (right, down) in the coded picture."""
ONE = 1 << 16
MATRICES = [
    [*row, 0, 1 << 30]
    for a, b in itertools.product((ONE, -ONE), repeat=2)
    for row in ([a, 0, 0, 0, b, 0, 0], [0, a, 0, b, 0, 0, 0])
]
"""The eight display matrices that keep the grid; the last row has no effect."""


SIZE = Size(96, 64)


def colourful(size: Size = SIZE) -> Picture:
    picture = np.zeros((size.height, size.width, 3), np.uint8)
    for (right, down), colour in CORNERS.items():
        rows = slice(size.height // 2, None) if down else slice(size.height // 2)
        columns = slice(size.width // 2, None) if right else slice(size.width // 2)
        picture[rows, columns] = colour
    return picture


def with_matrix(source: Path, path: Path, matrix: list[int], aspect: Fraction | None = None) -> Path:
    """The same stream in a container with a display matrix."""
    with av.open(str(source)) as reader, av.open(str(path), "w") as writer:
        track = cast(VideoStream, writer.add_stream_from_template(reader.streams.video[0], opaque=True))
        track.set_display_matrix(matrix)
        if aspect:
            track.codec_context.sample_aspect_ratio = aspect
        for packet in reader.demux(video=0):
            if packet.size:
                packet.stream = track
                writer.mux(packet)
    return path


def shown_corners(matrix: list[int]) -> dict[tuple[int, int], tuple[int, int, int]]:
    """Colour by place (right, down) in the displayed picture, by the arithmetic of the matrix."""
    found = {}
    for (right, down), colour in CORNERS.items():
        x, y = 2 * right - 1, 2 * down - 1
        place = (matrix[0] * x + matrix[3] * y > 0, matrix[1] * x + matrix[4] * y > 0)
        found[int(place[0]), int(place[1])] = colour
    return found


def assert_corners(picture: NDArray[np.generic], expected: dict[tuple[int, int], tuple[int, int, int]]) -> None:
    height, width = picture.shape[:2]
    for (right, down), colour in expected.items():
        y, x = height * (1 + 2 * down) // 4, width * (1 + 2 * right) // 4
        part = picture[y - 4 : y + 4, x - 4 : x + 4].reshape(-1, 3).mean(axis=0)
        assert part == pytest.approx(colour, abs=4), (right, down)


def first_picture(path: Path) -> tuple[NDArray[np.uint8], av.VideoFrame]:
    """The first frame of a file upright in its displayed size, and as decoded."""
    with open_video(str(path)) as container:
        stream = video_stream(container)
        frame = next(decode_frames(container)).frame
        return upright(frame, displayed_size(frame, stream.sample_aspect_ratio)), frame


def cut(path: Path, mode: Literal["copy", "encode"], num_frames: int = 3) -> Path:
    """The whole of a video of 25 frames a second as a clip."""
    with open_video(str(path)) as container:
        time_base = video_stream(container).time_base or Fraction(1)
    span = Span(0, int(num_frames / 25 / time_base), time_base)
    target = path.with_name(f"{mode}_{path.name}")
    cut_clip(CutJob(str(path), span, num_frames, True, mode, Encoding("h264", 1)), str(target))
    return target


@pytest.mark.parametrize("size", [Size(96, 64), Size(97, 65)], ids=str)
@pytest.mark.parametrize("matrix", MATRICES, ids=str)
def test_each_display_matrix_is_obeyed(tmp_path: Path, matrix: list[int], size: Size) -> None:
    plain = write_video(tmp_path / "a.mp4", [colourful(size)] * 3, pixel_format="yuv444p", options={"crf": "5"})
    path = with_matrix(plain, tmp_path / "b.mp4", matrix, Fraction(3, 2))
    expected = shown_corners(matrix)
    wide = Size(round(size.width * 1.5), size.height)
    shown = Size(wide.height, wide.width) if matrix[1] else wide
    picture, _ = first_picture(path)
    assert picture.shape[:2] == (shown.height, shown.width)
    assert_corners(picture, expected)
    facts = probe(str(path))
    assert (facts["width"], facts["height"]) == (shown.width, shown.height)
    encoded, frame = first_picture(cut(path, "encode"))
    assert Orientation.of(frame) == Orientation()
    assert encoded.shape[1] / encoded.shape[0] == pytest.approx(shown.width / shown.height, rel=0.02)
    assert_corners(encoded, expected)
    copied, frame = first_picture(cut(path, "copy"))
    assert copied.shape == picture.shape
    assert Orientation.of(frame) == Orientation.of_matrix(matrix)
    assert_corners(copied, expected)


@pytest.mark.parametrize("matrix", MATRICES, ids=str)
def test_degrees_and_mirror_say_the_orientation(matrix: list[int]) -> None:
    orientation = Orientation.of_matrix(matrix)
    picture = colourful()
    mirrored = picture[:, ::-1] if orientation.is_mirrored else picture
    assert (np.rot90(mirrored, orientation.degrees // 90) == orientation.apply(picture)).all()
    assert orientation.is_mirrored == (matrix[0] * matrix[4] - matrix[1] * matrix[3] < 0)


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ([0] * 9, Orientation()),
        ([ONE // 2, 0, 0, 0, 2 * ONE, 0, 0, 0, 1 << 30], Orientation()),
        ([ONE, ONE // 9, 0, -ONE // 9, ONE, 0, 0, 0, 1 << 30], Orientation()),
        ([ONE // 9, ONE, 0, -ONE, ONE // 9, 0, 0, 0, 1 << 30], Orientation(transpose=True, hflip=True)),
    ],
)
def test_other_matrices_have_the_nearest_orientation(matrix: list[int], expected: Orientation) -> None:
    assert Orientation.of_matrix(matrix) == expected


def cropped_at_the_left(path: Path) -> Path:
    """H.264 of 112 x 64, of which the stream says to cut 12 columns at either side, which are magenta."""
    picture = np.full((64, 112, 3), (255, 0, 255), np.uint8)
    picture[:, 12:100] = colourful(Size(88, 64))
    plain = write_video(path.with_name("uncropped.h264"), [picture] * 3, options={"crf": "5"})
    with av.open(str(plain)) as reader, path.open("wb") as writer:
        crop = BitStreamFilterContext("h264_metadata=crop_left=12:crop_right=12", reader.streams.video[0])
        for packet in reader.demux(video=0):
            for cropped in crop.filter(packet if packet.size else None):
                writer.write(bytes(cropped))
    return path


def test_what_the_stream_crops_is_not_shown(tmp_path: Path) -> None:
    path = cropped_at_the_left(tmp_path / "a.h264")
    picture, _ = first_picture(path)
    assert picture.shape == (64, 88, 3)
    assert_corners(picture, CORNERS)
    assert np.abs(picture[:, [1, -2]].astype(int) - colourful(Size(88, 64))[:, [1, -2]]).mean() < 12
