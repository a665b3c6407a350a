"""Which streams of a container are curated."""

from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
import pytest
from av.audio.stream import AudioStream
from av.stream import Disposition
from av.video.stream import VideoStream

from stages.media.container import open_video, video_stream
from stages.media.probing import probe
from stages.media.stream_choice import best_audio_stream, frame_rate
from tests.videos import noise_shot

DEFAULT, NONE, COVER = Disposition.default, Disposition(0), Disposition.attached_pic
TS_PACKET_BYTES = 188


def write_streams(
    path: Path,
    videos: list[tuple[int, Disposition, int]],
    sounds: list[tuple[int, Disposition, bool]] | None = None,
    *,
    codec: str = "libx264",
) -> Path:
    """Video streams of these widths, dispositions and numbers of frames; sound of these rates, empty or not."""
    with av.open(str(path), "w") as container:
        tracks = [(cast(VideoStream, container.add_stream(codec, rate=25)), *video) for video in videos]
        for track, width, disposition, _ in tracks:
            track.width, track.height, track.pix_fmt = width, width // 2, "yuv420p"
            track.disposition = disposition
        audio = [
            (cast(AudioStream, container.add_stream("aac", rate=each[0], layout="mono")), *each)
            for each in sounds or []
        ]
        for track, _, disposition, _ in audio:
            track.disposition = disposition
        container.start_encoding()
        for track, width, _, num_frames in tracks:
            for picture in noise_shot(1, num_frames, width=width, height=width // 2):
                container.mux(track.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(track.encode(None))
        for track, rate, _, has_sound in audio:
            if has_sound:
                frame = av.AudioFrame.from_ndarray(np.zeros((1, rate), np.float32), format="fltp", layout="mono")
                frame.sample_rate = rate
                container.mux([*track.encode(frame), *track.encode(None)])
    return path


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
@pytest.mark.parametrize(
    ("videos", "width"),
    [
        ([(64, NONE, 25), (96, DEFAULT, 25)], 96),  # a preview, and a track that is switched off
        ([(96, NONE, 25), (64, DEFAULT, 25)], 64),
        ([(64, DEFAULT, 25), (96, DEFAULT, 25)], 96),
        ([(128, DEFAULT, 0), (96, NONE, 25)], 96),  # announced, without a picture
    ],
    ids=["default-second", "default-smaller", "both-default", "empty-first"],
)
def test_video_stream_is_the_one_that_players_show(
    tmp_path: Path, suffix: str, videos: list[tuple[int, Disposition, int]], width: int
) -> None:
    path = write_streams(tmp_path / f"a.{suffix}", videos)
    with open_video(str(path)) as container:
        assert video_stream(container).width == width
        num_streams = len(container.streams.video)  # MP4 has no track without a picture
    facts = probe(str(path))
    assert (facts["width"], facts["num_video_streams"]) == (width, num_streams)


def test_video_stream_is_no_single_picture_beside_a_video(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        cover, video = container.add_stream("mjpeg", rate=1), container.add_stream("libx264", rate=25)
        for track, width, pixel_format in ((cover, 640, "yuvj420p"), (video, 96, "yuv420p")):
            track.width, track.height, track.pix_fmt = width, width // 2, pixel_format
        container.start_encoding()
        for track, width, num_frames in ((cover, 640, 1), (video, 96, 25)):
            for picture in noise_shot(1, num_frames, width=width, height=width // 2):
                container.mux(track.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(track.encode(None))
    with open_video(str(path)) as container:
        assert video_stream(container).width == 96


def test_video_stream_passes_over_one_whose_packets_are_not_there(tmp_path: Path) -> None:
    whole = write_streams(tmp_path / "whole.ts", [(64, NONE, 25), (96, NONE, 25)])
    data = whole.read_bytes()
    packets = (data[start : start + TS_PACKET_BYTES] for start in range(0, len(data), TS_PACKET_BYTES))
    path = tmp_path / "a.ts"
    path.write_bytes(b"".join(packet for packet in packets if (packet[1] & 31) << 8 | packet[2] != 0x100))
    with open_video(str(path)) as container:
        assert [stream.width for stream in container.streams.video] == [0, 96]
        assert video_stream(container).width == 96


@pytest.mark.parametrize(
    ("sounds", "rate"),
    [
        ([(44100, NONE, True), (48000, DEFAULT, True)], 48000),
        ([(44100, DEFAULT, True), (48000, NONE, True)], 44100),
        ([(44100, DEFAULT, False), (48000, NONE, True)], 48000),
    ],
    ids=["default-second", "default-first", "empty-first"],
)
def test_best_audio_stream_is_the_one_that_players_play(
    tmp_path: Path, sounds: list[tuple[int, Disposition, bool]], rate: int
) -> None:
    path = write_streams(tmp_path / "a.mkv", [(64, DEFAULT, 25)], sounds)
    with open_video(str(path)) as container:
        before = [stream.disposition for stream in container.streams.audio]
        chosen = best_audio_stream(container, video_stream(container))
        assert chosen is not None
        assert chosen.rate == rate
        assert [stream.disposition for stream in container.streams.audio] == before


def test_best_audio_stream_is_of_the_programme_of_the_video(shared_media: Path) -> None:
    path = shared_media.parent / "cases" / "sound_of_another_programme" / "input.ts"
    with open_video(str(path)) as container:
        chosen = best_audio_stream(container, video_stream(container))
        assert chosen is not None
        assert chosen.index == 2  # ffprobe lists streams 1 and 2 as one programme


def test_frame_rate_is_no_unit_of_the_clock(tmp_path: Path) -> None:
    path = tmp_path / "a.dv"
    with av.open(str(path), "w") as container:
        track = container.add_stream("dvvideo", rate=25)
        track.width, track.height, track.pix_fmt = 720, 576, "yuv420p"
        sound = cast(AudioStream, container.add_stream("pcm_s16le", rate=48000, layout="stereo"))
        for picture in noise_shot(1, 3, width=720, height=576):
            container.mux(track.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 2 * 1920), np.int16), format="s16", layout="stereo")
            silence.sample_rate = 48000
            container.mux(sound.encode(silence))
    with open_video(str(path)) as container:
        stream = video_stream(container)
        assert stream.average_rate != 25  # what the demuxer makes of PAL
        assert frame_rate(stream) == Fraction(25)
    assert probe(str(path))["average_rate"] == "25/1"


def test_probe_measures_a_rate_that_no_header_tells(tmp_path: Path) -> None:
    """A browser's recorder gives times in milliseconds and no rate."""
    path, steps_ms = tmp_path / "a.webm", (16, 33, 34, 50)
    with av.open(str(path), "w", options={"live": "1"}) as container:
        track = cast(VideoStream, container.add_stream("libvpx", rate=1000, options={"deadline": "realtime"}))
        track.width, track.height, track.pix_fmt = 96, 64, "yuv420p"
        for index, picture in enumerate(noise_shot(1, 60)):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = index // 4 * 133 + sum(steps_ms[: index % 4]), Fraction(1, 1000)
            container.mux(track.encode(frame))
        container.mux(track.encode(None))
    with open_video(str(path)) as container:
        assert video_stream(container).average_rate == 1000
    assert float(Fraction(probe(str(path))["average_rate"])) == pytest.approx(4 / 0.133, rel=0.03)
