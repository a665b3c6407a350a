"""The share of a clip in which somebody speaks, of videos whose sound is put together."""

from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
import pytest
from av.audio.stream import AudioStream
from av.video.stream import VideoStream
from numpy.typing import NDArray

from stages.tasks import Row
from tests.stages.split.test_phase import clips, run, split
from tests.videos import noise_shot, write_video

pytest.importorskip("silero_vad")

RATE_HZ, FPS, SECONDS = 48_000, 25, 3
Wave = NDArray[np.float32]
STRIDE = {"method": "fixed_stride", "clip_length_s": SECONDS, "signals": ["speech"]}


@pytest.fixture(scope="module")
def spoken(shared_media: Path) -> Wave:
    """Three seconds of a talk without a pause."""
    resampler = av.AudioResampler("flt", "mono", RATE_HZ)
    with av.open(str(shared_media / "slides_122s_1080p.mp4")) as container:
        container.seek(20 * av.time_base)
        waves = [each.to_ndarray()[0] for frame in container.decode(audio=0) for each in resampler.resample(frame)]
    return np.concatenate(waves)[: SECONDS * RATE_HZ]


def silence() -> Wave:
    return np.zeros(SECONDS * RATE_HZ, np.float32)


def noise() -> Wave:
    return (0.05 * np.random.default_rng(1).standard_normal(SECONDS * RATE_HZ)).astype(np.float32)


def sounding(path: Path, wave: Wave, *, begins_s: float = 0.0) -> Path:
    """A video of nine seconds with this sound."""
    with av.open(str(path), "w") as container:
        video = cast(VideoStream, container.add_stream("libx264", rate=FPS, options={"preset": "ultrafast"}))
        video.width, video.height, video.pix_fmt = 96, 64, "yuv420p"
        audio = cast(AudioStream, container.add_stream("aac", rate=RATE_HZ, layout="mono"))
        for index, picture in enumerate(noise_shot(1, 3 * SECONDS * FPS)):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, FPS)
            container.mux(video.encode(frame))
        for start in range(0, len(wave), 1024):
            sound = av.AudioFrame.from_ndarray(wave[None, start : start + 1024].copy(), format="fltp", layout="mono")
            sound.pts, sound.sample_rate, sound.time_base = start, RATE_HZ, Fraction(1, RATE_HZ)
            sound.pts += round(begins_s * RATE_HZ)
            container.mux(audio.encode(sound))
        container.mux([*video.encode(None), *audio.encode(None)])
    return path


def shares(rows: list[Row]) -> list[float | None]:
    return [row["speech_share"] for row in sorted(rows, key=lambda row: row["start_s"])]


def test_share_is_where_somebody_speaks(tmp_path: Path, spoken: Wave) -> None:
    path = sounding(tmp_path / "a.mp4", np.concatenate([silence(), spoken, noise()]))
    split(tmp_path, [path], **STRIDE)
    before, during, after = shares(clips(tmp_path))
    assert before == pytest.approx(0, abs=0.02)
    assert after == pytest.approx(0, abs=0.15), "speech that breaks off is heard for some tenths of a second more"
    assert during is not None
    assert 0.8 < during <= 1


def test_sound_that_begins_later_is_heard_when_it_is_shown(tmp_path: Path, spoken: Wave) -> None:
    split(tmp_path, [sounding(tmp_path / "a.mp4", spoken, begins_s=2 * SECONDS)], **STRIDE)
    before, between, during = shares(clips(tmp_path))
    assert (before, between) == (0, 0)
    assert during is not None
    assert 0.8 < during <= 1


def test_another_threshold_decodes_nothing(tmp_path: Path, spoken: Wave) -> None:
    split(tmp_path, [sounding(tmp_path / "a.mp4", np.concatenate([silence(), spoken]))], **STRIDE)
    usual = shares(clips(tmp_path))
    report = run(tmp_path, **STRIDE, speech_threshold=0)
    assert (report.computed, report.counters["recut_videos"], report.counters.get("decoded_frames")) == (1, 1, None)
    assert shares(clips(tmp_path))[:2] == pytest.approx([1, 1], abs=0.02), "each block has a probability of 0 or more"
    run(tmp_path, **STRIDE)
    assert shares(clips(tmp_path)) == usual


@pytest.mark.parametrize("signals", [["flow"], ["flow", "speech"]])
def test_share_is_null_without_sound_or_where_nobody_listens(tmp_path: Path, spoken: Wave, signals: list[str]) -> None:
    mute = write_video(tmp_path / "mute.mp4", noise_shot(1, 75))
    paths = [mute] if "speech" in signals else [mute, sounding(tmp_path / "a.mp4", spoken)]
    split(tmp_path, paths, **{**STRIDE, "signals": signals})
    assert set(shares(clips(tmp_path))) == {None}
