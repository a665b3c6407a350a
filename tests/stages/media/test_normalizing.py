"""Clips of one size and rate, against arithmetic on what was synthesised."""

from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from stages.media import KeptPart, NotCopyable, read_clip_facts
from stages.media.cut import CutJob, cut_clip
from stages.media.encode import Encoding
from stages.tasks import Span


def quartered(path: Path, width: int, height: int, *, aspect: Fraction = Fraction(1), rotation: int = 0) -> Path:
    """A second of four grey fields: dark and lighter above, lighter still and bright below."""
    picture = np.zeros((height, width), np.uint8)
    for row, column, level in ((0, 0, 40), (0, 1, 90), (1, 0, 140), (1, 1, 200)):
        picture[row * height // 2 :, column * width // 2 :] = level
    with av.open(str(path), "w") as output:
        stream = cast(Any, output.add_stream("libx264", rate=25, options={"crf": "5"}))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.sample_aspect_ratio = aspect
        if rotation:
            stream.set_display_rotation(rotation)
        for _ in range(25):
            output.mux(stream.encode(av.VideoFrame.from_ndarray(np.stack([picture] * 3, 2), format="rgb24")))
        output.mux(stream.encode(None))
    return path


def counted(path: Path, pts_ms: list[int], end_ms: int) -> tuple[Path, Span]:
    """Frames at these times, each 8 levels brighter than the one before."""
    with av.open(str(path), "w") as output:
        stream = cast(Any, output.add_stream("libx264", rate=25, options={"crf": "5", "bf": "0"}))
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for number, pts in enumerate(pts_ms):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 16 + 8 * number, np.uint8), format="rgb24")
            frame.pts, frame.time_base = pts, Fraction(1, 1000)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    with av.open(str(path)) as container:
        time_base = container.streams.video[0].time_base or Fraction(1)
    return path, Span(0, round(Fraction(end_ms, 1000) / time_base), time_base)


def written(source: Path, span: Span, num_frames: int, **encoding: Any) -> Path:
    target = source.with_name("clip.mp4")
    cut_clip(CutJob(str(source), span, num_frames, True, "auto", Encoding("h264", 5, **encoding)), str(target))
    return target


def decoded(path: Path) -> list[NDArray[np.float64]]:
    """Luma of limited range of every frame."""
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray() for frame in container.decode(video=0)]
    return [frame[: len(frame) * 2 // 3].astype(float) for frame in frames]


def luma(level: int) -> float:
    """Of limited range."""
    return 16 + level * 219 / 255


@pytest.mark.parametrize(
    ("shape", "target", "expected"),
    [
        ({"width": 320, "height": 180}, (None, 90), (160, 90)),
        ({"width": 320, "height": 180}, (480, None), (480, 270)),
        ({"width": 100, "height": 180, "aspect": Fraction(16, 5)}, (None, 90), (160, 90)),
        ({"width": 320, "height": 180, "rotation": 90}, (None, 160), (90, 160)),
        ({"width": 320, "height": 180}, (96, 96), (96, 96)),
        ({"width": 128, "height": 256}, (96, 64), (96, 64)),
    ],
)
def test_clips_have_the_wanted_size_in_square_pixels_and_no_bars(
    tmp_path: Path, shape: dict[str, Any], target: tuple[int | None, int | None], expected: tuple[int, int]
) -> None:
    source = quartered(tmp_path / "a.mp4", **shape)
    with av.open(str(source)) as container:
        time_base = container.streams.video[0].time_base or Fraction(1)
    clip = written(source, Span(0, round(1 / time_base), time_base), 25, target=target)
    facts = read_clip_facts(str(clip))
    assert (facts["width"], facts["height"]) == expected
    assert (facts["sample_aspect_ratio"], facts["rotation"], facts["num_frames"]) == ("1:1", 0, 25)
    picture = decoded(clip)[0]
    height, width = picture.shape
    fields = [picture[y : y + 8, x : x + 8].mean() for y in (2, height - 10) for x in (2, width - 10)]
    # A quarter turn counter-clockwise: what was on the right is above.
    levels = [90, 200, 40, 140] if "rotation" in shape else [40, 90, 140, 200]
    assert fields == pytest.approx([luma(level) for level in levels], abs=6)
    # The four fields meet in the middle, whatever was cut off.
    middle = [picture[height // 2 + y, width // 2 + x] for y in (-6, 5) for x in (-6, 5)]
    assert middle == pytest.approx(fields, abs=6)


@pytest.mark.parametrize("target", [(None, None), (None, 90), (96, 96)])
def test_clips_hold_the_kept_part_alone(tmp_path: Path, target: tuple[int | None, int | None]) -> None:
    source = quartered(tmp_path / "a.mp4", 320, 180)
    with av.open(str(source)) as container:
        time_base = container.streams.video[0].time_base or Fraction(1)
    # Of the four fields the two above, and of these the right one and a quarter of the left one.
    kept = KeptPart(left=0.375, bottom=0.5)
    clip = written(source, Span(0, round(1 / time_base), time_base), 25, kept=kept, target=target)
    picture = decoded(clip)[0]
    height, width = picture.shape
    assert (width, height) == ((96, 96) if target == (96, 96) else (200, 90))
    assert picture[:, -4:].mean() == pytest.approx(luma(90), abs=4)
    assert picture[-4:].mean() < luma(110), "nothing of the fields below is there"
    if target != (96, 96):
        assert picture[:, :4].mean() == pytest.approx(luma(40), abs=4)
        assert [picture[:, edge].mean() for edge in (34, 46)] == pytest.approx([luma(40), luma(90)], abs=6)


@pytest.mark.parametrize(
    ("pts_ms", "end_ms", "fps", "shown"),
    [
        ([0, 40, 80, 120], 160, 50, [0, 0, 1, 1, 2, 2, 3, 3]),
        ([0, 40, 80, 120], 160, Fraction(25, 2), [0, 2]),
        ([0, 100, 110, 200], 240, 25, [0, 0, 0, 2, 2, 3]),
        ([0, 40, 80], 120, 24, [0, 1, 2]),
    ],
)
def test_clips_have_the_frames_that_a_player_shows_at_a_constant_rate(
    tmp_path: Path, pts_ms: list[int], end_ms: int, fps: Fraction | int, shown: list[int]
) -> None:
    source, span = counted(tmp_path / "a.mp4", pts_ms, end_ms)
    clip = written(source, span, len(pts_ms), fps=Fraction(fps))
    found = [float(picture.mean()) for picture in decoded(clip)]
    assert found == pytest.approx([luma(16 + 8 * number) for number in shown], abs=2.5)
    facts = read_clip_facts(str(clip))
    assert (Fraction(facts["average_rate"]), facts["is_variable_rate"]) == (fps, False)


def test_clip_that_is_to_be_normalized_is_not_copied(tmp_path: Path) -> None:
    source, span = counted(tmp_path / "a.mp4", [0, 40, 80], 120)
    job = CutJob(str(source), span, 3, True, "copy", Encoding("h264", 5, fps=Fraction(25)))
    with pytest.raises(NotCopyable, match="size and rate of its source"):
        cut_clip(job, str(tmp_path / "clip.mp4"))
