"""Fragmented MP4, as live recordings and killed muxers leave it: whole where every frame decodes."""

import math
import struct
from pathlib import Path

import numpy as np
import pytest

from stages.media.container import open_video, video_stream
from stages.media.cut import cut_clip
from stages.media.decode import decode_frames
from stages.media.decode_log import DecodeLog
from stages.media.probing import probe
from stages.media.sound_damage import SoundLog
from stages.media.stream_choice import best_audio_stream
from stages.signals.damage import DamageRecorder
from tests.stages.media.test_cut import job_of
from tests.toned_media import number_of, numbers_and_times, remuxed, sound_lag_ms, toned_video

NUM_FRAMES = 60
MAX_LAG_MS = 25
LATE_UNITS = math.ceil(1024 * 12800 / 48000)
"""The encoder's delay of AAC, by which the video begins later than the sound, in units of the video."""


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    options = {"g": "25", "bf": "0", "sc_threshold": "0"}
    return toned_video(tmp_path_factory.mktemp("fragments") / "plain.mp4", NUM_FRAMES, options=options)


def fragments_of(path: Path) -> list[tuple[int, int]]:
    """Offset of each fragment (its moof), and of the end of its data."""
    data, place, found = path.read_bytes(), 0, []
    while place < len(data):
        size, name = struct.unpack_from(">I4s", data, place)
        if name == b"moof":
            found.append((place, place + size + struct.unpack_from(">I", data, place + size)[0]))
        place += size
    return found


def told(path: Path) -> tuple[list[int], list[int], int, float]:
    """Numbers of the pictures, PTS, damaged and missing frames, and seconds of lost sound."""
    log, pts, numbers = DecodeLog(), [], []
    with open_video(str(path)) as container:
        stream = video_stream(container)
        audio = best_audio_stream(container, stream)
        assert audio is not None
        sound = SoundLog(audio)
        recorder = DamageRecorder(log, stream, sound=None)
        for decoded in decode_frames(container, log=log, sound=sound):
            numbers.append(number_of(decoded.frame))
            pts.append(decoded.pts)
        samples = recorder.samples()
        lost, _ = sound.lost_s(np.array([0.0, 10.0]))
    return numbers, pts, int(samples["is_damaged"].sum() + samples["missing_after"].sum()), float(lost.sum())


@pytest.mark.parametrize(
    "flags", ["frag_every_frame+empty_moov", "frag_every_frame", "frag_keyframe+empty_moov", "frag_keyframe"]
)
def test_fragments_are_whole_with_and_without_a_trailer(tmp_path: Path, plain: Path, flags: str) -> None:
    for trailer in ("", "+skip_trailer"):
        path = remuxed(plain, tmp_path / f"f{trailer}.mp4", options={"movflags": flags + trailer})
        numbers, pts, num_damaged, lost_s = told(path)
        assert numbers == list(range(NUM_FRAMES))
        assert pts[:3] == [0, 512 + LATE_UNITS, 1024 + LATE_UNITS], "the muxer moved the first frame to time 0"
        assert (num_damaged, lost_s) == (0, 0)
        facts = probe(str(path))
        assert facts["num_frames"] in (None, NUM_FRAMES), "not what the first fragment holds"
        assert facts["duration_s"] == pytest.approx(NUM_FRAMES / 25 + LATE_UNITS / 12800)


def test_a_recording_that_ends_between_fragments_is_whole(tmp_path: Path, plain: Path) -> None:
    path = remuxed(plain, tmp_path / "f.mp4", options={"movflags": "frag_every_frame+empty_moov"})
    end = fragments_of(path)[100][0]
    path.write_bytes(path.read_bytes()[:end])
    numbers, _, num_damaged, lost_s = told(path)
    assert numbers == list(range(len(numbers)))
    assert 30 < len(numbers) < NUM_FRAMES
    assert (num_damaged, lost_s) == (0, 0)


def test_a_lost_fragment_is_missed(tmp_path: Path, plain: Path) -> None:
    path = remuxed(
        plain, tmp_path / "f.mp4", options={"movflags": "frag_every_frame+empty_moov+default_base_moof+skip_trailer"}
    )
    data, fragments = path.read_bytes(), fragments_of(path)
    time = b"tfdt\1\0\0\0" + struct.pack(">Q", 512 * 30 + LATE_UNITS)
    start, end = next((start, end) for start, end in fragments if time in data[start:end])
    path.write_bytes(data[:start] + data[end:])
    _, pts, num_damaged, _ = told(path)
    assert [(each - LATE_UNITS) // 512 for each in pts[1:]] == [each for each in range(1, NUM_FRAMES) if each != 30]
    assert num_damaged == 50 - 30, "the frame itself, and those up to the next keyframe"


def test_sound_of_fragments_of_one_frame_stays_in_step(tmp_path: Path, plain: Path) -> None:
    path = remuxed(plain, tmp_path / "f.mp4", options={"movflags": "frag_every_frame+empty_moov"})
    clip = tmp_path / "clip.mp4"
    assert cut_clip(job_of(path, 25, 50, mode="auto"), str(clip)).sound == "copy"
    assert numbers_and_times(clip)[0] == list(range(25, 50))
    lags = sound_lag_ms(clip, 25)
    assert lags
    assert max(map(abs, lags)) <= MAX_LAG_MS, lags
