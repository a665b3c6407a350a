"""Packets of sound without a time, or of an unknown length, are heard where they belong."""

import shutil
import subprocess
from pathlib import Path

import av
import numpy as np
import pytest

from stages.media.container import open_video, video_stream
from stages.media.cut import cut_clip
from stages.media.packet_times import PacketTimes
from stages.media.sound_damage import SoundLog
from stages.media.sound_times import SoundTimes
from stages.media.stream_choice import best_audio_stream
from tests.stages.media.test_cut import job_of
from tests.toned_media import decoded_sound, sound_lag_ms, toned_video


def packet(pts: int | None, duration: int) -> av.Packet:
    made = av.Packet(4)
    made.pts = made.dts = pts
    made.duration = duration
    return made


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ([(0, 10), (10, 10), (20, 10)], [0, 10, 20]),
        ([(None, 4), (None, 10), (20, 10)], [6, 10, 20]),
        ([(0, 10), (None, 10), (20, 10), (None, 5), (None, 5), (40, 10)], [0, 10, 20, 30, 35, 40]),
        ([(0, 10), (None, 10), (50, 10)], [0, 10, 50]),
        ([(None, 0), (20, 10)], [None, 20]),
        ([(None, 10), (None, 10)], [None, None]),
        ([(0, 10), (None, 10), (30, 10), (30, 10)], [0, 10, 20, 30]),
    ],
    ids=["told", "first", "between", "gap", "unknown-length", "never", "late"],
)
def test_packets_without_a_time_stand_between_their_neighbours(
    told: list[tuple[int | None, int]], expected: list[int | None]
) -> None:
    assert [each.pts for each in SoundTimes().spread(packet(*each) for each in told)] == expected


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs the ffmpeg command, which has an encoder of Vorbis")
def test_sound_of_ogg_is_whole(tmp_path: Path) -> None:
    """FFmpeg gives no time to some packets of sound where pictures are read with it."""
    plain = toned_video(tmp_path / "a.mkv", 75, audio_codec="pcm_s16le")
    source = tmp_path / "a.ogv"
    codecs = ("-c:v", "libtheora", "-g", "25", "-q:v", "9", "-c:a", "libvorbis")
    subprocess.run(["ffmpeg", "-v", "error", "-i", plain, *codecs, source], check=True)
    with open_video(str(source)) as container:
        video = video_stream(container)
        audio = best_audio_stream(container, video)
        assert audio is not None
        packets = [each for each in PacketTimes(container, video, audio).packets() if each.stream_index == audio.index]
        assert any(each.pts is None for each in packets)
        log = SoundLog(audio)
        for each in packets:
            log.add(each)
        assert log.lost_s(np.linspace(0, 3, 31))[0].max() == pytest.approx(0, abs=0.001)
    clip = tmp_path / "clip.mp4"
    assert cut_clip(job_of(source, 0, 75, mode="auto"), str(clip)).sound == "encode"
    hertz, samples = decoded_sound(clip)
    loud = np.flatnonzero(np.abs(samples) > 0.02) / hertz
    assert loud[0] < 0.01
    assert np.diff(loud).max() < 0.01
    assert max(map(abs, sound_lag_ms(clip))) <= 15


@pytest.mark.parametrize("start", [0, 30, 60, 70])
def test_sound_in_packets_of_a_second_is_heard_in_each_part(tmp_path: Path, start: int) -> None:
    """Matroska tells no length of a packet of WavPack, which begins long before what is heard of it."""
    source = toned_video(tmp_path / "a.mkv", 75, audio_codec="wavpack")
    clip = tmp_path / "clip.mp4"
    assert cut_clip(job_of(source, start, 75, mode="encode"), str(clip)).sound == "encode"
    hertz, samples = decoded_sound(clip)
    assert len(samples) / hertz == pytest.approx((75 - start) / 25, abs=0.06)
    lags = sound_lag_ms(clip, start)
    assert len(lags) >= (75 - start - 5) // 7
    assert max(map(abs, lags), default=0) <= 15
