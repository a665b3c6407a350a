"""Shared inputs made after public reports about streams, times and sound; what is right is what ffmpeg tells of each.

Pictures tell their number in bits, and the pitch of the sound tells its time.
"""

from pathlib import Path

import av
import numpy as np
import pytest

from benchmarks.damage import Lengths, split
from stages.media.container import open_video, video_stream
from stages.media.cut import cut_clip
from stages.media.decode import decode_frames
from stages.media.probing import probe
from tests.stages.media.test_cut import job_of
from tests.stages.media.test_picture_cases import cell
from tests.toned_media import decoded_sound, sound_lag_ms

BITS = 12


@pytest.fixture
def cases(shared_media: Path) -> Path:
    return shared_media.parent / "cases"


def number_of(frame: av.VideoFrame) -> int:
    image = frame.to_ndarray(width=320, height=180, format="rgb24").astype(np.uint8, copy=False)
    return sum(int(cell(image, 2, 2 + bit).mean() > 120) << (BITS - 1 - bit) for bit in range(BITS))


def numbers_of(clip: Path) -> list[int]:
    with av.open(str(clip)) as container:
        return [number_of(frame) for frame in container.decode(video=0)]


@pytest.mark.parametrize(
    ("case", "num_frames"),
    [
        ("dead_video_stream_first/input.ts", 100),
        ("disabled_track_first/input.mp4", 100),
        ("preview_track_first/input.mp4", 100),
        ("negative_times/input.mkv", 100),
        ("times_begin_again/input.ts", 150),
        ("track_length_in_wrong_units/input.mp4", 100),
        ("late_start_called_corrupt/input.mkv", 100),
    ],
)
def test_the_right_stream_is_decoded_in_time(cases: Path, case: str, num_frames: int) -> None:
    facts = probe(str(cases / case))
    assert (facts["width"], facts["height"]) == (320, 180)
    with open_video(str(cases / case)) as container:
        time_base = video_stream(container).time_base or 1
        found = [(number_of(decoded.frame), decoded.pts) for decoded in decode_frames(container)]
    assert [number for number, _ in found] == list(range(num_frames))
    steps_s = np.diff([float(pts * time_base) for _, pts in found])
    assert steps_s == pytest.approx(np.full(num_frames - 1, 0.04), abs=0.0011), "Matroska tells milliseconds"


@pytest.mark.parametrize(
    ("case", "fact", "value"),
    [
        ("dv_frame_rate/input.dv", "average_rate", "25/1"),
        ("track_length_in_wrong_units/input.mp4", "duration_s", pytest.approx(4.0, abs=0.01)),
        ("last_frame_length_lost/input.gif", "duration_s", pytest.approx(5.7, abs=0.01)),
    ],
)
def test_headers_are_not_believed_against_the_frames(cases: Path, case: str, fact: str, value: object) -> None:
    assert probe(str(cases / case))[fact] == value


def test_size_changes_bound_clips(cases: Path, tmp_path: Path) -> None:
    clips = split(cases / "size_changes" / "input.ts", str(tmp_path), Lengths(10, 1))
    found = [(clip.start_frame, clip.end_frame, clip.columns["width"], clip.columns["height"]) for clip in clips]
    assert found == [(0, 100, 256, 144), (100, 200, 144, 256)]


@pytest.mark.parametrize(
    ("case", "num_frames"),
    [
        ("palette_lost_by_seek/input.avi", 60),
        ("negative_times/input.mkv", 100),
        ("times_begin_again/input.ts", 150),
        ("default_sound_second/input.mkv", 100),
        ("flv_sound_missing_at_start/input.flv", 250),
        ("hevc_tag/input.mp4", 75),
    ],
)
def test_written_clips_have_their_pictures_and_sound(cases: Path, tmp_path: Path, case: str, num_frames: int) -> None:
    clip = tmp_path / "clip.mp4"
    cut_clip(job_of(cases / case, 0, num_frames, mode="auto"), str(clip))
    assert numbers_of(clip) == list(range(num_frames))
    if "palette" not in case:
        lags = sound_lag_ms(clip)
        assert len(lags) >= num_frames / 25 * 4 - 1, "silent nowhere"
        assert max(map(abs, lags)) <= 30
    with av.open(str(clip)) as container:
        is_hevc = container.streams.video[0].codec_context.name == "hevc"
        assert (container.streams.video[0].codec_context.codec_tag == "hvc1") == is_hevc == ("hevc" in case)


def test_last_frame_keeps_its_length(cases: Path, tmp_path: Path) -> None:
    source, clip = cases / "last_frame_length_lost" / "input.gif", tmp_path / "clip.mp4"
    cut_clip(job_of(source, 0, 8, mode="auto"), str(clip))
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        packets = [packet for packet in container.demux(stream) if packet.size]
        end = max((packet.pts or 0) + (packet.duration or 0) for packet in packets) * (stream.time_base or 1)
    assert float(end) == pytest.approx(5.7, abs=0.01)


def written_clip(source: Path, clip: Path, num_frames: int) -> Path:
    """The whole source as a clip, which must hold the pictures 0, 1, 2, ... and no other."""
    with open_video(str(source)) as container:
        assert sum(1 for _ in decode_frames(container)) == num_frames
    written = cut_clip(job_of(source, 0, num_frames, mode="auto"), str(clip))
    assert (written.num_frames, written.sound) == (num_frames, "encode")
    assert numbers_of(clip) == list(range(num_frames))
    return clip


@pytest.mark.parametrize("case", ["joined_pieces_overlap", "sound_rate_changes"])
def test_sound_is_in_step_from_the_start_to_the_end(cases: Path, tmp_path: Path, case: str) -> None:
    """Where pieces overlap, the second one's pictures come early by that, and its sound with them."""
    clip = written_clip(cases / case / "input.ts", tmp_path / "clip.mp4", 150)
    sound_ms = sound_lag_ms(clip)
    assert len(sound_ms) >= 23, "four a second, of six seconds, and none of them silent"
    with av.open(str(clip)) as container:
        late_ms = [1000 * ((frame.time or 0) - number / 25) for number, frame in enumerate(container.decode(video=0))]
    pictures_ms = [late_ms[min(149, round((0.1 + 0.25 * point) * 25))] for point in range(len(sound_ms))]
    joint = 12  # at 3.1 s, beside the joint of two pieces
    apart = np.abs(np.subtract(sound_ms, pictures_ms))
    assert np.delete(apart, joint).max() <= 30


def test_small_sound_gap_stays(cases: Path, tmp_path: Path) -> None:
    clip = written_clip(cases / "small_sound_gap" / "input.mkv", tmp_path / "clip.mp4", 150)
    hertz, samples = decoded_sound(clip)
    loud = np.flatnonzero(np.abs(samples[hertz : 3 * hertz]) > 0.02) / hertz
    gaps = np.diff(loud)
    assert gaps.max() == pytest.approx(0.08, abs=0.03)
    assert 1 + loud[gaps.argmax()] == pytest.approx(2.0, abs=0.03)
    lags = sound_lag_ms(clip)
    before, behind = lags[:7], lags[9:]
    assert len(behind) >= 14
    # The codec's delay of 10 ms is in the source too.
    assert [round(float(np.median(part))) for part in (before, behind)] == pytest.approx([10, 10], abs=5)
