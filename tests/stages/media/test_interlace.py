"""Interlace: fields of frames, measured and taken apart.

FFmpeg's idet and its flags say the same of the files that are made here and of those in docs/quality.md.
"""

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from stages.media.container import open_video, video_stream
from stages.media.cut import CutJob, cut_clip
from stages.media.decode import DecodedFrame, decode_frames
from stages.media.deinterlacing import deinterlaced
from stages.media.encode import Encoding
from stages.media.frames import rebuild_store
from stages.media.interlace import Fields, measure_fields, to_deinterlace
from stages.media.stream_copy import NotCopyable
from stages.storage import Storage
from stages.tasks import Span
from tests.videos import Picture, noise_shot, write_video

WIDTH, HEIGHT, NUM_FRAMES = 160, 96, 12


def moments(speed: int = 3) -> list[Picture]:
    """Two moments a frame of a sliding texture."""
    return noise_shot(5, 2 * NUM_FRAMES, width=WIDTH, height=HEIGHT, speed=speed)


def woven(first: int) -> list[Picture]:
    """Frames of two moments each; `first` is the line on which the earlier begins."""
    frames: list[Picture] = []
    for earlier, later in zip(moments()[0::2], moments()[1::2], strict=True):
        frame = later.copy()
        frame[first::2] = earlier[first::2]
        frames.append(frame)
    return frames


def noisy(frames: list[Picture]) -> list[Picture]:
    random = np.random.default_rng(3)
    return [np.clip(frame + random.normal(0, 4, frame.shape), 0, 255).astype(np.uint8) for frame in frames]


KINDS: dict[Fields, list[Picture]] = {
    Fields.PROGRESSIVE: moments()[::2],
    Fields.TOP_FIRST: woven(0),
    Fields.BOTTOM_FIRST: woven(1),
}


def interlaced(path: Path, frames: list[Picture], *, is_flagged: bool = False, crf: int = 10) -> Path:
    """H.264 of these frames, coded as fields where that is what the file says of itself."""
    options = {"crf": str(crf), "g": "6", "bf": "0"}
    if is_flagged:
        options |= {"x264-params": "tff=1", "flags": "+ildct+ilme"}
    return write_video(path, frames, options=options)


def decode(path: Path) -> list[DecodedFrame]:
    with open_video(str(path)) as container:
        return list(decode_frames(container))


def combing(picture: NDArray[np.generic]) -> float:
    """Mean difference of a line from the mean of its neighbours, in levels."""
    lines = picture.astype(float)
    return float(np.abs(lines[1:-1] - (lines[:-2] + lines[2:]) / 2).mean())


def difference(decoded: DecodedFrame, picture: Picture) -> float:
    return float(np.abs(decoded.frame.to_ndarray(format="rgb24").astype(int) - picture).mean())


def measured(path: Path) -> list[Fields]:
    frames = [decoded.frame for decoded in decode(path)]
    return [measure_fields(*frames[index - 1 : index + 2]) for index in range(1, len(frames) - 1)]


@pytest.mark.parametrize("fields", list(KINDS), ids=lambda fields: fields.name)
@pytest.mark.parametrize("crf", [10, 30])
def test_fields_are_measured(tmp_path: Path, fields: Fields, crf: int) -> None:
    path = interlaced(tmp_path / "a.mp4", noisy(KINDS[fields]) if crf == 10 else KINDS[fields], crf=crf)
    found = measured(path)
    assert found.count(fields) >= len(found) - 2
    assert set(found) <= {fields, Fields.UNKNOWN}


@pytest.mark.parametrize("crf", [10, 30])
def test_fields_of_a_still_picture_are_not_interlaced(tmp_path: Path, crf: int) -> None:
    still = moments()[:1] * NUM_FRAMES
    found = measured(interlaced(tmp_path / "a.mp4", noisy(still) if crf == 10 else still, crf=crf))
    assert set(found) <= {Fields.PROGRESSIVE, Fields.UNKNOWN}


@pytest.mark.parametrize("pixel_format", ["yuv422p10le", "yuyv422", "bgr0"])
def test_fields_are_measured_in_any_format(tmp_path: Path, pixel_format: str) -> None:
    codec = {"yuyv422": "rawvideo"}.get(pixel_format, "ffv1")
    path = write_video(tmp_path / "a.mkv", woven(0), codec=codec, pixel_format=pixel_format)
    assert set(measured(path)) == {Fields.TOP_FIRST}


def test_a_change_of_size_tells_nothing(tmp_path: Path) -> None:
    large = decode(interlaced(tmp_path / "a.mp4", woven(0)))[0].frame
    small = decode(write_video(tmp_path / "b.mp4", noise_shot(1, 2)))[0].frame
    assert measure_fields(small, large, large) == Fields.UNKNOWN


@pytest.mark.parametrize("first", [0, 1])
def test_deinterlaced_frames_show_the_first_moment(tmp_path: Path, first: int) -> None:
    frames = decode(write_video(tmp_path / "a.mkv", woven(first), codec="ffv1", pixel_format="yuv444p"))
    fields = Fields.TOP_FIRST if first == 0 else Fields.BOTTOM_FIRST
    result = list(deinterlaced(frames, fields))
    assert [(each.pts, each.index) for each in result] == [(each.pts, each.index) for each in frames]
    for before, after, earlier, later in list(zip(frames, result, moments()[::2], moments()[1::2], strict=True))[1:-1]:
        assert difference(after, earlier) < 0.5 * difference(before, earlier)
        assert difference(after, earlier) < 0.5 * difference(after, later)


@pytest.mark.parametrize("num_frames", [1, 2])
def test_short_clips_are_deinterlaced_whole(tmp_path: Path, num_frames: int) -> None:
    frames = decode(interlaced(tmp_path / "a.mp4", woven(0)))[:num_frames]
    assert [each.pts for each in deinterlaced(frames, Fields.UNKNOWN)] == [each.pts for each in frames]


def job(path: Path, deinterlace: Fields | None, mode: str = "encode") -> CutJob:
    with open_video(str(path)) as container:
        time_base = video_stream(container).time_base or Fraction(1)
    frames = decode(path)
    span = Span(frames[0].pts, frames[-1].pts + frames[-1].frame.duration, time_base)
    return CutJob(str(path), span, NUM_FRAMES, True, mode, Encoding("h264", 10), deinterlace=deinterlace)  # type: ignore[arg-type]


@pytest.mark.parametrize("is_flagged", [True, False])
def test_store_and_clip_are_deinterlaced(tmp_path: Path, is_flagged: bool) -> None:
    path = interlaced(tmp_path / "a.mp4", woven(0), is_flagged=is_flagged)
    assert decode(path)[0].frame.interlaced_frame == is_flagged
    limit = 1.5 * combing(moments()[0])
    assert combing(woven(0)[5]) > 1.5 * limit
    with rebuild_store(Storage(tmp_path), str(path), "p", "v", fps=25, max_px=WIDTH) as store:
        jpegs = [np.frombuffer(jpeg, np.uint8) for jpeg in store.jpegs(range(len(store)))]
        pictures = [np.asarray(cv2.imdecode(jpeg, cv2.IMREAD_COLOR)) for jpeg in jpegs]
    assert len(pictures) == NUM_FRAMES
    assert max(combing(picture) for picture in pictures) < limit
    cut_clip(job(path, Fields.TOP_FIRST), str(tmp_path / "clip.mp4"))
    clip = decode(tmp_path / "clip.mp4")
    assert len(clip) == NUM_FRAMES
    assert not any(each.frame.interlaced_frame for each in clip)
    assert max(combing(each.frame.to_ndarray(format="rgb24")) for each in clip[1:-1]) < limit


def test_interlaced_clip_is_copied_on_request_only(tmp_path: Path) -> None:
    path = interlaced(tmp_path / "a.mp4", woven(0), is_flagged=True)
    with pytest.raises(NotCopyable, match=r"write\.deinterlace=never"):
        cut_clip(job(path, Fields.TOP_FIRST, "copy"), str(tmp_path / "clip.mp4"))
    assert cut_clip(job(path, Fields.TOP_FIRST, "auto"), str(tmp_path / "clip.mp4")).method == "encode"
    assert cut_clip(job(path, None, "auto"), str(tmp_path / "clip.mp4")).method == "copy"


@pytest.mark.parametrize(
    ("share", "order", "expected"),
    [
        (None, None, None),
        (0.2, "top", None),
        (0.25, "top", Fields.TOP_FIRST),
        (1.0, "bottom", Fields.BOTTOM_FIRST),
        (1.0, None, Fields.UNKNOWN),
    ],
)
def test_columns_say_what_is_deinterlaced(share: float | None, order: str | None, expected: Fields | None) -> None:
    assert to_deinterlace(share, order) == expected


def test_moments_of_a_frame_differ() -> None:
    assert all(np.abs(before.astype(int) - after).mean() > 5 for before, after in pairwise(moments()))
