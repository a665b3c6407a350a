"""Times that begin again, overlap, are doubled, negative, damaged or late: no frame is lost, sound stays in step."""

import struct
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Literal

import av
import pytest

from stages.media.container import open_video, video_stream
from stages.media.cut import ClipFile, CutJob, cut_clip
from stages.media.damage import stream_damage
from stages.media.decode import DecodedFrame, decode_frames
from stages.media.decode_log import DecodeLog
from stages.media.encode import Encoding
from stages.media.probing import probe
from stages.tasks import Span
from tests.toned_media import (
    RATE,
    joined,
    number_of,
    numbered_picture,
    numbers_and_times,
    remuxed,
    sound_lag_ms,
    toned_video,
    with_pes_time,
)
from tests.videos import write_video

MAX_LAG_MS = 30
B_FRAMES = {"g": "25", "bf": "2"}
VOP_START = b"\0\0\1\xb6"
"""Of a frame of MPEG-4."""


def decode(path: Path) -> tuple[list[DecodedFrame], list[float]]:
    """All frames, and their times in seconds. The stream must have no fault."""
    with open_video(str(path)) as container:
        time_base = video_stream(container).time_base or Fraction(1)
        frames = list(decode_frames(container))
        return frames, [float(frame.pts * time_base) for frame in frames]


def steps_ms(times: list[float]) -> set[int]:
    return {round(1000 * (after - before)) for before, after in pairwise(times)}


def cut(path: Path, target: Path, start: int, end: int, *, mode: Literal["auto", "encode"] = "auto") -> ClipFile:
    """Cut frames [start, end) as split would name them."""
    frames, _ = decode(path)
    with open_video(str(path)) as container:
        time_base = video_stream(container).time_base or Fraction(1)
    ends = [*(frame.pts for frame in frames), frames[-1].pts + frames[-1].frame.duration]
    at_keyframes = frames[start].is_keyframe and (end == len(frames) or frames[end].is_keyframe)
    span, may_seek = Span(ends[start], ends[end], time_base), not frames[-1].num_restarts
    job = CutJob(str(path), span, end - start, at_keyframes, mode, Encoding("h264", 20), may_seek=may_seek)
    return cut_clip(job, str(target))


def restarted(folder: Path, num_pieces: int = 2, *, options: dict[str, str] | None = None) -> Path:
    """Recordings of 50 frames, each from time 0, joined byte by byte."""
    pieces = [toned_video(folder / f"{piece}.ts", 50, first=50 * piece, options=options) for piece in range(num_pieces)]
    return joined(folder / "joined.ts", pieces)


@pytest.mark.parametrize("options", [None, B_FRAMES], ids=["", "b-frames"])
def test_times_that_begin_again_go_on(tmp_path: Path, options: dict[str, str] | None) -> None:
    frames, times = decode(restarted(tmp_path, 3, options=options))
    assert [number_of(frame.frame) for frame in frames] == list(range(150))
    assert steps_ms(times) == {40}
    assert frames[-1].num_restarts == 2


@pytest.mark.parametrize("mode", ["auto", "encode"])
@pytest.mark.parametrize(("start", "end"), [(25, 75), (50, 100)], ids=["over-the-join", "after-it"])
def test_clips_of_times_that_begin_again_hold_their_own_pictures_and_sound(
    tmp_path: Path, start: int, end: int, mode: Literal["auto", "encode"]
) -> None:
    """A time names two places in such a file."""
    path, clip = restarted(tmp_path), tmp_path / "clip.mp4"
    cut(path, clip, start, end, mode=mode)
    numbers, times = numbers_and_times(clip)
    assert numbers == list(range(start, end))
    assert times == pytest.approx([index / RATE for index in range(end - start)], abs=1e-3)
    lags = sound_lag_ms(clip, start)
    assert len(lags) == 8
    assert max(map(abs, lags)) <= MAX_LAG_MS


def test_a_clock_that_is_set_ahead_goes_on_too(tmp_path: Path) -> None:
    pieces = [toned_video(tmp_path / f"{at}.ts", 50, first=at, starts_s=40 * at) for at in (0, 50)]
    frames, times = decode(joined(tmp_path / "joined.ts", pieces))
    assert (len(frames), frames[-1].num_restarts) == (100, 1)
    assert steps_ms(times) == {40}


def test_sound_that_overlaps_the_next_piece_is_written(tmp_path: Path) -> None:
    """Each piece's sound begins by the encoder's delay before its pictures."""
    pieces = [toned_video(tmp_path / f"{at}.ts", 50, first=at, starts_s=at / RATE) for at in (0, 50, 100)]
    path, clip = joined(tmp_path / "joined.ts", pieces), tmp_path / "clip.mp4"
    assert cut(path, clip, 0, 150).sound == "encode"
    assert numbers_and_times(clip)[0] == list(range(150))
    lags = sound_lag_ms(clip)
    assert len(lags) == 24
    assert max(map(abs, lags)) <= MAX_LAG_MS


def test_times_that_begin_again_go_on_where_only_presentation_is_timed(tmp_path: Path) -> None:
    """Matroska has no decoding times, and FFmpeg guesses those of a second recording wrong."""
    pieces = [toned_video(tmp_path / f"{at}.mkv", 50, first=at, options={"g": "25", "bf": "3"}) for at in (0, 50)]
    path, clip = joined(tmp_path / "joined.mkv", pieces), tmp_path / "clip.mp4"
    frames, times = decode(path)
    assert [number_of(frame.frame) for frame in frames] == list(range(100))
    assert steps_ms(times) == {40}
    cut(path, clip, 50, 100)
    assert numbers_and_times(clip)[0] == list(range(50, 100))
    lags = sound_lag_ms(clip, 50)
    assert len(lags) == 8
    assert max(map(abs, lags)) <= MAX_LAG_MS


@pytest.mark.parametrize("pts", [1_000_000_000, 5_000], ids=["ahead", "back"])
def test_one_damaged_time_moves_no_other_frame(tmp_path: Path, pts: int) -> None:
    source = toned_video(tmp_path / "a.ts", 75, audio_codec=None)
    expected = decode(source)[1]
    frames, times = decode(with_pes_time(source, tmp_path / "b.ts", 40, pts))
    assert [number_of(frame.frame) for frame in frames] == list(range(75))
    assert times == pytest.approx(expected, abs=1e-3)
    assert frames[-1].num_restarts == 0


def test_doubled_times_are_spread(tmp_path: Path) -> None:
    source, path = toned_video(tmp_path / "a.mkv", 50, audio_codec=None), tmp_path / "a.nut"
    with av.open(str(source)) as reader, av.open(str(path), "w") as writer:
        track = writer.add_stream_from_template(reader.streams.video[0], opaque=True)
        for index, packet in enumerate(packet for packet in reader.demux(video=0) if packet.size):
            packet.pts, packet.dts, packet.stream = index // 2 * 80 + 1000, index * 40, track
            writer.mux(packet)
    frames, times = decode(path)
    assert [number_of(frame.frame) for frame in frames] == list(range(50))
    assert steps_ms(times) == {40}


@pytest.mark.parametrize("options", [None, B_FRAMES], ids=["", "b-frames"])
def test_frames_before_time_0_keep_their_length(tmp_path: Path, options: dict[str, str] | None) -> None:
    """FFmpeg's demuxer of Matroska gives no time to packets before 0."""
    source = toned_video(tmp_path / "a.mp4", 75, options=options)
    path = remuxed(source, tmp_path / "a.mkv", shift_s=-0.8, options={"avoid_negative_ts": "disabled"})
    with av.open(str(path)) as container:
        assert sum(packet.pts is None for packet in container.demux(video=0) if packet.size) == 20
    frames, times = decode(path)
    assert [number_of(frame.frame) for frame in frames] == list(range(75))
    assert (times[0], steps_ms(times)) == (-0.8, {40})
    cut(path, tmp_path / "clip.mp4", 0, 75)
    assert numbers_and_times(tmp_path / "clip.mp4")[0] == list(range(75))
    lags = sound_lag_ms(tmp_path / "clip.mp4")
    assert len(lags) == 12
    assert max(map(abs, lags)) <= MAX_LAG_MS


def test_a_late_start_is_no_missing_end(tmp_path: Path) -> None:
    """FFmpeg writes into Matroska's tag DURATION when a track ends, not how long it is."""
    path = remuxed(toned_video(tmp_path / "a.mp4", 50, audio_codec=None, starts_s=3), tmp_path / "a.mkv")
    with open_video(str(path)) as container:
        assert video_stream(container).metadata["DURATION"].startswith("00:00:05.0")
    frames, times = decode(path)  # raises where a stream has a fault
    assert (len(frames), times[0]) == (50, 3.0)


@pytest.mark.parametrize("written", [2_000, 2_048_000], ids=["too-short", "too-long"])
def test_a_length_in_a_wrong_unit_is_not_believed(tmp_path: Path, written: int) -> None:
    path = toned_video(tmp_path / "a.mp4", 50, audio_codec=None)
    data = bytearray(path.read_bytes())
    place = data.find(b"mdhd") + 20
    data[place : place + 4] = written.to_bytes(4, "big")
    path.write_bytes(data)
    assert probe(str(path))["duration_s"] == pytest.approx(2.0)
    assert len(decode(path)[0]) == 50


def test_reordered_frames_of_avi_are_as_far_apart_as_all(tmp_path: Path) -> None:
    """AVI has no presentation times. FFmpeg gives those of H.264 in the order of decoding."""
    path, clip = toned_video(tmp_path / "a.avi", 75, options=B_FRAMES, audio_codec=None), tmp_path / "clip.mp4"
    frames, times = decode(path)
    assert [number_of(frame.frame) for frame in frames] == list(range(75))
    assert steps_ms(times) == {40}
    assert cut(path, clip, 25, 50).method == "encode"
    assert numbers_and_times(clip)[0] == list(range(25, 50))


def packed(source: Path, path: Path) -> Path:
    """An AVI of MPEG-4 whose B-frames lie in the packets before their own, each of which then says that it is empty."""
    with av.open(str(source)) as reader, av.open(str(path), "w") as writer:
        stream = reader.streams.video[0]
        track = writer.add_stream_from_template(stream, opaque=True)
        given = [packet for packet in reader.demux(stream) if packet.size]
        data = [bytes(packet) for packet in given]
        is_b = [each[each.find(VOP_START) + 4] >> 6 == 2 for each in data]
        for index, packet in enumerate(given):
            joined_data = VOP_START + b"\x5f\0\0" if is_b[index] else data[index]
            if index + 1 < len(data) and is_b[index + 1]:
                joined_data += data[index + 1]
            head = b"\0\0\1\xb2DivX503b1393p" if not index else b""
            place = joined_data.find(VOP_START)
            written = av.Packet(joined_data[:place] + head + joined_data[place:])
            written.pts = written.dts = index
            written.time_base, written.stream, written.is_keyframe = Fraction(1, RATE), track, packet.is_keyframe
            writer.mux(written)
    return path


def test_packets_of_two_frames_keep_their_times_and_are_not_copied(tmp_path: Path) -> None:
    options = {"bf": "1", "b_strategy": "0", "g": "25", "qmin": "1", "qmax": "2"}
    source = toned_video(tmp_path / "a.avi", 75, codec="mpeg4", options=options, audio_codec=None)
    path, clip = packed(source, tmp_path / "b.avi"), tmp_path / "clip.mp4"
    frames, times = decode(path)
    assert [number_of(frame.frame) for frame in frames] == list(range(75))
    assert steps_ms(times) == {40}
    keys = [frame.index for frame in frames if frame.is_keyframe]
    assert cut(path, clip, keys[1], keys[2]).method == "encode"
    assert numbers_and_times(clip)[0] == list(range(keys[1], keys[2]))


def test_a_late_start_is_not_part_of_the_length(tmp_path: Path) -> None:
    path = remuxed(toned_video(tmp_path / "a.mp4", 50, audio_codec=None, starts_s=3), tmp_path / "a.mkv")
    assert probe(str(path))["duration_s"] == pytest.approx(2.0, abs=0.001)


def with_edits(path: Path, edits: list[tuple[float, float]]) -> Path:
    """An MP4 whose streams show these parts only, each a start and a length in seconds, one after another."""
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        bases = [stream.time_base or Fraction(1) for stream in container.streams]
    place = data.find(b"moov")
    for time_base in bases:
        place = data.find(b"elst", place + 4)
        (size,), (_, begins) = struct.unpack_from(">I", data, place - 4), struct.unpack_from(">Ii", data, place + 12)
        entries = [struct.pack(">IiI", round(1000 * s), begins + round(at / time_base), 1 << 16) for at, s in edits]
        box = struct.pack(">II", 0, len(entries)) + b"".join(entries)
        data[place : place - 4 + size] = b"elst" + box
        for outer in (b"elst", b"edts", b"trak", b"moov"):
            at = data.rfind(outer, 0, place + 4) - 4
            struct.pack_into(">I", data, at, struct.unpack_from(">I", data, at)[0] + 8 + len(box) - size)
    path.write_bytes(data)
    return path


def test_parts_that_an_edit_list_leaves_out_are_no_jumps_of_time(tmp_path: Path) -> None:
    path = with_edits(toned_video(tmp_path / "a.mp4", 100, options=B_FRAMES), [(0.4, 1.2), (2.0, 1.2)])
    shown = [*range(10, 40), *range(50, 80)]
    frames, times = decode(path)
    assert [number_of(frame.frame) for frame in frames] == shown
    with av.open(str(path)) as container:
        ffmpegs = [float(frame.pts * frame.time_base) for frame in container.decode(video=0)]  # type: ignore[operator]
    assert times == ffmpegs
    assert (max(steps_ms(times)) < 100, frames[-1].num_restarts) == (True, 0)
    for start, end in ((0, 30), (30, 60)):
        clip = tmp_path / f"{start}.mp4"
        cut(path, clip, start, end)
        assert numbers_and_times(clip)[0] == shown[start:end]
    assert max(map(abs, sound_lag_ms(tmp_path / "0.mp4", 10))) <= MAX_LAG_MS


def test_empty_packets_of_avi_are_no_missing_frames(tmp_path: Path) -> None:
    """AVI tells that way that a frame is shown again; FFmpeg writes them where times have a gap."""
    kept = [index for index in range(100) if index not in (30, 55, 56, 80)]
    pictures = [numbered_picture(index) for index in kept]
    path = write_video(tmp_path / "a.avi", pictures, codec="mpeg4", pts=kept)
    with open_video(str(path)) as container:
        log = DecodeLog()
        frames = list(decode_frames(container, log=log))
    assert [frame.pts for frame in frames] == kept
    damage = stream_damage(log, codec="mpeg4", is_dts_exact=True)
    assert (damage.damaged.sum(), damage.missing.sum()) == (0, 0)
