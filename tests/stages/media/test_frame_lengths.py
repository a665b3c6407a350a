"""How long the last frame of a stream lasts, and the stream, by arithmetic on what was written."""

import io
import struct
from fractions import Fraction
from itertools import accumulate
from pathlib import Path
from typing import cast

import av
import pytest
from av.video.stream import VideoStream

from benchmarks.damage import Lengths, split
from stages.media import read_clip_facts
from stages.media.avi_index import has_whole_index
from stages.media.container import open_video
from stages.media.cut import cut_clip
from stages.media.decode import decode_frames
from stages.media.frame_lengths import FrameLengths
from stages.media.probing import probe
from tests.stages.media.test_cut import job_of
from tests.toned_media import toned_video
from tests.videos import noise_shot

EVEN = [40] * 11
VARYING = [40, 40, 120, 40, 200, 40, 80, 500, 40, 60, 80]
SWAPPED = [VARYING[index ^ 1] for index in range(len(VARYING) - 1)]
B_FRAMES = {"g": "12", "keyint_min": "12", "bf": "2", "x264-params": "scenecut=0:b-adapt=0"}
LONG = Lengths(60, 0.01)
DEFAULT_DURATION = b"\x23\xe3\x83"
"""Of Matroska, in nanoseconds."""


@pytest.mark.parametrize(
    ("steps", "lengths", "end", "expected"),
    [
        (EVEN, [*EVEN, 40], None, 40),
        (EVEN, [*EVEN, 2000], None, 2000),
        (EVEN, [1] * 12, None, 40),
        (EVEN, [1000] * 12, 9000, 40),
        ([*EVEN[:10], 400], [1] * 12, None, 40),
        (EVEN, [0] * 12, None, 40),
        (VARYING, [*VARYING, 700], None, 700),
        (VARYING, [*VARYING, 700], sum(VARYING) + 100, 700),
        (VARYING, [40] * 12, sum(VARYING) + 300, 300),
        (VARYING, [40] * 12, sum(VARYING) + 9000, 40),
        ([], [0], None, 33),
    ],
    ids=[
        *("constant", "long-last", "too-short", "too-long", "gap-before-last", "not-told", "variable"),
        *("variable-and-right", "variable-by-header", "variable-and-cut-off", "one-frame"),
    ],
)
def test_last_length_is_the_one_that_fits(steps: list[int], lengths: list[int], end: int | None, expected: int) -> None:
    found = FrameLengths()
    for pts, length in zip([0, *accumulate(steps)], lengths, strict=True):
        found.add(pts, length)
    assert found.last(33, end) == expected


def with_default_duration(path: Path, milliseconds: int) -> Path:
    """Three seconds of Matroska whose header tells this length of a frame."""
    toned_video(path, 75, audio_codec=None, options=B_FRAMES)
    data = bytearray(path.read_bytes())
    place = data.find(DEFAULT_DURATION) + len(DEFAULT_DURATION)
    size = data[place] & 15
    data[place + 1 : place + 1 + size] = (milliseconds * 1_000_000).to_bytes(size)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("milliseconds", [1, 200, 1000])
def test_a_wrong_length_of_all_frames_is_not_believed(tmp_path: Path, milliseconds: int) -> None:
    source, target = with_default_duration(tmp_path / "a.mkv", milliseconds), tmp_path / "clip.mp4"
    assert probe(str(source))["average_rate"] == "25/1"
    (clip,) = split(source, str(tmp_path / "root"), LONG)
    assert clip.num_frames == 75
    assert clip.span.end_s - clip.span.start_s == pytest.approx(3.0, abs=0.002)
    assert cut_clip(job_of(source, 0, 75, mode="copy", span=clip.span), str(target)).method == "copy"
    with av.open(str(target)) as container:
        assert (container.duration or 0) / av.time_base == pytest.approx(3.0, abs=0.002)
    assert read_clip_facts(str(target))["duration_s"] == pytest.approx(3.0, abs=0.002)


def varying(path: Path, steps_ms: list[int], codec: str) -> Path:
    """A frame for each step, with B-frames, whose packets tell how long their own frame is shown."""
    times = [0, *accumulate(steps_ms[:-1])]
    lengths = dict(zip(times, steps_ms, strict=True))
    quiet = {"x265-params": "log-level=none:bframes=3:b-adapt=0"} if codec == "libx265" else B_FRAMES
    with av.open(str(path), "w") as container:
        stream = cast(VideoStream, container.add_stream(codec, rate=25, options=quiet))
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for pts, picture in zip([*times, None], [*noise_shot(1, len(times)), None], strict=True):
            frame = None
            if picture is not None:
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts, frame.time_base = pts, Fraction(1, 1000)
            for packet in stream.encode(frame):
                packet.duration = lengths[packet.pts or 0]
                container.mux(packet)
    return path


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_last_frame_of_a_varying_rate_lasts_as_the_header_tells(tmp_path: Path, name: str, codec: str) -> None:
    """With B-frames the packet of the last frame is not the last one, and decoding times are others."""
    steps_ms = [*VARYING, 40, 160, 80, 40, 280]
    source = varying(tmp_path / name, steps_ms, codec)
    seconds = sum(steps_ms) / 1000
    assert probe(str(source))["duration_s"] == pytest.approx(seconds, abs=0.002)
    (clip,) = split(source, str(tmp_path / "root"), LONG)
    assert clip.span.end_s - clip.span.start_s == pytest.approx(seconds, abs=0.002)
    target = tmp_path / "clip.mp4"
    assert cut_clip(job_of(source, 0, len(steps_ms), mode="copy", span=clip.span), str(target)).method == "copy"
    facts = read_clip_facts(str(target))
    assert facts["duration_s"] == pytest.approx(seconds, abs=0.002)
    assert float(Fraction(facts["average_rate"])) == pytest.approx(len(steps_ms) / seconds, rel=0.002)


def avi_that_tells(path: Path, num_frames: int) -> Path:
    """AVI of 75 frames whose header tells another number."""
    toned_video(path, 75, codec="mpeg4", audio_codec="pcm_s16le", options={"g": "25"})
    data = bytearray(path.read_bytes())
    for chunk, field in ((b"avih", 16), (b"strh", 32)):
        place = data.find(chunk) + 8 + field
        data[place : place + 4] = num_frames.to_bytes(4, "little")
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("num_frames", [7, 9000])
def test_the_index_of_avi_is_believed_rather_than_its_header(tmp_path: Path, num_frames: int) -> None:
    source = avi_that_tells(tmp_path / "a.avi", num_frames)
    assert probe(str(source))["duration_s"] == pytest.approx(3.0)
    with open_video(str(source)) as container:
        assert sum(1 for _ in decode_frames(container)) == 75


def test_only_a_whole_avi_ends_with_an_index(tmp_path: Path) -> None:
    data = avi_that_tells(tmp_path / "a.avi", 75).read_bytes()
    assert has_whole_index(io.BytesIO(data), len(data))
    for size in (0, 8, 2000, len(data) // 2, len(data) - 20):
        assert not has_whole_index(io.BytesIO(data[:size]), size)
    larger = data + b"RIFF" + bytes(4000)  # OpenDML goes on
    assert not has_whole_index(io.BytesIO(larger), len(larger))


@pytest.mark.parametrize("told_s", [1.0, 9.0])
def test_the_length_of_matroska_is_that_of_its_pictures(tmp_path: Path, told_s: float) -> None:
    """The segment's length is that of its longest stream, and here it is wrong."""
    source = toned_video(tmp_path / "a.mkv", 75, audio_codec=None)
    data = bytearray(source.read_bytes())
    place = data.find(b"\x44\x89\x88") + 3
    data[place : place + 8] = struct.pack(">d", 1000 * told_s)
    source.write_bytes(data)
    assert probe(str(source))["duration_s"] == pytest.approx(3.0, abs=0.002)
