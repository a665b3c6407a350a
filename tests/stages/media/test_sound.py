"""The sound of clips: all of it, in step with the pictures, whatever the source's sound does."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import av
import numpy as np
import pytest

from stages.media.cut import cut_clip
from tests.stages.media.test_cut import job_of
from tests.toned_media import (
    decoded_sound,
    joined,
    numbers_and_times,
    remuxed,
    sound_lag_ms,
    toned_video,
)
from tests.videos import beeping_video

MAX_LAG_MS = 15
"""The codecs' own delays: MP2 has one of 10 ms."""


def rate_changes(folder: Path) -> Path:
    pieces = [
        toned_video(folder / f"{at}.ts", 50, first=at, starts_s=at / 25, audio_codec="mp2", hertz=hertz)
        for at, hertz in ((0, 48000), (50, 44100))
    ]
    return joined(folder / "joined.ts", pieces)


def layout_changes(folder: Path) -> Path:
    pieces = [
        toned_video(folder / f"{at}.ts", 50, first=at, starts_s=at / 25, audio_codec="ac3", layout=layout)
        for at, layout in ((0, "stereo"), (50, "5.1"))
    ]
    return joined(folder / "joined.ts", pieces)


def small_gap(folder: Path) -> Path:
    return toned_video(folder / "gap.mkv", 100, audio_codec="mp2", missing_s=(2, 2.08))


def small_gap_in_what_is_copied(folder: Path) -> Path:
    return toned_video(folder / "gap.mkv", 100, audio_codec="flac", missing_s=(2, 2.04))


@pytest.mark.parametrize("make", [rate_changes, layout_changes, small_gap, small_gap_in_what_is_copied])
@pytest.mark.parametrize("mode", ["auto", "encode"])
def test_sound_that_changes_or_has_gaps_stays_in_step(
    tmp_path: Path, make: Callable[[Path], Path], mode: Literal["auto", "encode"]
) -> None:
    source, clip = make(tmp_path), tmp_path / "clip.mp4"
    written = cut_clip(job_of(source, 0, 100, mode=mode), str(clip))
    assert (written.num_frames, written.sound) == (100, "encode")
    assert numbers_and_times(clip)[0] == list(range(100))
    lags = sound_lag_ms(clip)
    assert len(lags) == 16
    lags.pop(8)  # at 2.08 s, where the wave breaks
    assert max(map(abs, lags)) <= MAX_LAG_MS


def test_a_gap_becomes_silence_of_its_length(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    cut_clip(job_of(small_gap(tmp_path), 0, 100, mode="auto"), str(clip))
    hertz, samples = decoded_sound(clip)
    loud = np.flatnonzero(np.abs(samples[hertz : 3 * hertz]) > 0.02) / hertz
    silent_s = float(np.diff(loud).max())
    assert silent_s == pytest.approx(0.08, abs=0.03)  # a packet of MP2 lasts 24 ms


def test_sound_begins_with_a_clip_at_the_start_of_flv(tmp_path: Path) -> None:
    """FLV refuses to seek to before its start, and forgets the packets that it read when it was opened."""
    source = remuxed(toned_video(tmp_path / "a.mp4", 150), tmp_path / "a.flv")
    for start, end in ((0, 50), (50, 100)):
        clip = tmp_path / f"{start}.mp4"
        assert cut_clip(job_of(source, start, end, mode="auto"), str(clip)).sound == "copy"
        hertz, samples = decoded_sound(clip)
        assert np.flatnonzero(np.abs(samples) > 0.1)[0] / hertz < 0.03
        assert max(map(abs, sound_lag_ms(clip, start))) <= 30


@pytest.mark.parametrize("codec", ["libopus", "libmp3lame", "aac", "ac3"])
def test_copied_sound_has_what_begins_with_the_clip(tmp_path: Path, codec: str) -> None:
    """Decoders need packets from before: MP3's reservoir of bits, Opus' 80 ms."""
    source = beeping_video(tmp_path / "a.mp4", audio_codec=codec, beep_s=1.0)
    clip = tmp_path / "clip.mp4"
    assert cut_clip(job_of(source, 25, 75, mode="auto"), str(clip)).sound == "copy"
    hertz, samples = decoded_sound(clip)
    _, expected = decoded_sound(source)
    part = expected[hertz : 2 * hertz]
    ours = samples[: len(part)]
    assert np.abs(ours[: hertz // 50]).max() > 0.3
    assert np.corrcoef(ours, part)[0, 1] > 0.99


def test_opus_of_an_older_ffmpeg_is_in_step(shared_media: Path, tmp_path: Path) -> None:
    """It writes the times of Opus in Matroska too early by the codec's delay."""
    source = shared_media.parent / "cases" / "opus_early" / "input.webm"
    with av.open(str(source)) as container:
        assert container.metadata["ENCODER"].startswith("Lavf59")
    clip = tmp_path / "clip.mp4"
    assert cut_clip(job_of(source, 0, 125, mode="auto"), str(clip)).sound == "copy"
    assert max(map(abs, sound_lag_ms(clip))) <= 3


def test_copied_sound_that_is_timed_by_packets_begins_with_the_clip(tmp_path: Path) -> None:
    """AVI tells times of AC-3 in packets of 32 ms: frame 26 begins in the middle of one, frame 24 with one."""
    source, lags = toned_video(tmp_path / "a.avi", 60, codec="mpeg4", audio_codec="ac3"), []
    for start in (24, 26):
        clip = tmp_path / f"{start}.mp4"
        assert cut_clip(job_of(source, start, start + 25, mode="encode"), str(clip)).sound == "copy"
        lags.append(float(np.median(sound_lag_ms(clip, start))))
    assert lags[1] == pytest.approx(lags[0], abs=3)
