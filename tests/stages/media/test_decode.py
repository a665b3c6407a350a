"""Decoding: exact times, upright pictures, broken streams."""

import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from stages import heartbeat
from stages.errors import CorruptStream, NoVideoStream, SourceGone, UnreadableSource
from stages.media.decode import (
    DecodedFrame,
    UprightScaler,
    decode_frames,
    displayed_size,
    fit,
    open_video,
    upright,
    video_stream,
)
from stages.tasks import Size
from tests.videos import noise_shot, remux, song_with_cover, three_shots, truncated, write_video


def decode(path: Path, *, num_threads: int = 1) -> list[DecodedFrame]:
    with open_video(str(path)) as container:
        return list(decode_frames(container, num_threads=num_threads))


@pytest.mark.parametrize("num_threads", [1, 2])
def test_decode_frames_gives_every_frame_in_order(tmp_path: Path, num_threads: int) -> None:
    before = heartbeat.beats()
    frames = decode(three_shots(tmp_path / "a.mp4"), num_threads=num_threads)
    assert [frame.index for frame in frames] == list(range(225))
    assert [frame.pts for frame in frames] == [512 * index for index in range(225)]
    assert [frame.index for frame in frames if frame.is_keyframe][:2] == [0, 50]
    assert heartbeat.beats() - before >= 225


def test_decode_frames_keeps_variable_times(tmp_path: Path) -> None:
    times = [0, 1, 5, 6, 40, 41, 42, 100]
    path = write_video(tmp_path / "a.mkv", noise_shot(1, 8), pts=times)
    assert [frame.pts for frame in decode(path)] == [40 * time for time in times]


@pytest.mark.parametrize(
    "name", ["a b.mkv", "100%.mkv", "#1?.mkv", 'it\'s "so".mkv', "new\nline.mkv", "ü::é.mkv", "http:x.mkv"]
)
def test_open_video_takes_any_name(tmp_path: Path, name: str) -> None:
    write_video(tmp_path / "plain.mkv", noise_shot(1, 3)).rename(tmp_path / name)
    assert len(decode(tmp_path / name)) == 3


def test_open_video_reads_a_url(tmp_path: Path) -> None:
    path = three_shots(tmp_path / "a.mp4")
    with open_video(f"local://{path}") as container:
        assert sum(1 for _ in decode_frames(container)) == 225


def until_fault(path: Path) -> tuple[list[int], CorruptStream]:
    """Times of the frames before the stream breaks, and how it broke."""
    times: list[int] = []
    try:
        with open_video(str(path)) as container:
            for decoded in decode_frames(container):
                times.append(decoded.pts)
    except CorruptStream as error:
        return times, error
    pytest.fail("the stream is whole")


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_decode_frames_yields_what_lies_before_a_truncation(tmp_path: Path, suffix: str) -> None:
    path = truncated(three_shots(tmp_path / "a.mp4"), tmp_path / f"cut.{suffix}", share=0.5)
    times, error = until_fault(path)
    assert 20 < len(times) < 200
    assert "breaks after PTS" in str(error)
    assert error.pts == times[-1]


def test_decode_frames_stops_at_a_fault_and_does_not_hang(shared_media: Path) -> None:
    times, error = until_fault(shared_media / "bad_bitstream_error.mp4")
    assert len(times) == 28
    assert "Invalid data found" in str(error)


def test_video_stream_rejects_cover_art(tmp_path: Path) -> None:
    with open_video(str(song_with_cover(tmp_path / "song.mp4"))) as container:
        assert len(container.streams.video) == 1
        with pytest.raises(NoVideoStream, match="must hold a video stream, got none"):
            video_stream(container)


def test_decode_frames_exports_vectors_on_request(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", noise_shot(1, 5, speed=4))
    with open_video(str(path)) as container:
        carried = [
            frame.frame.side_data.get("MOTION_VECTORS") for frame in decode_frames(container, export_vectors=True)
        ]
    assert any(vectors is not None for vectors in carried)


def test_open_video_rejects_what_is_no_video(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("not a video")
    for name in ("empty.mp4", "text.mp4"):
        with pytest.raises(UnreadableSource, match="must be a whole video file"), open_video(str(tmp_path / name)):
            pass
    with pytest.raises(SourceGone, match="not there any more"), open_video(str(tmp_path / "none.mp4")):
        pass


HLS = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:3\n#EXTINF:2,\nsecret.mp4\n#EXT-X-ENDLIST\n"
SDP = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n"
SRT = "1\n00:00:00,000 --> 00:00:01,000\nhello\n\n2\n00:00:02,000 --> 00:00:03,000\nhi\n"


@pytest.mark.parametrize("head", ["", "local://"])
@pytest.mark.parametrize("name", ["a.mp4", "a.m3u8", "a.sdp", "a%d.png"])
@pytest.mark.parametrize(
    "text", ["ffconcat version 1.0\nfile 'secret.mp4'\n", HLS, SDP, SRT], ids=["concat", "hls", "sdp", "srt"]
)
def test_open_video_rejects_a_text_that_names_other_files(tmp_path: Path, text: str, name: str, head: str) -> None:
    os.mkfifo(tmp_path / "secret.mp4")  # whoever opens it waits for ever
    (tmp_path / name).write_text(text)
    uri = f"{head}{tmp_path / name}"
    with pytest.raises(UnreadableSource, match="must be a whole video file") as caught, open_video(uri):
        pass
    assert caught.value.uri == uri


def test_open_video_rejects_playlists_by_name(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("ffconcat version 1.0\nfile 'secret.mp4'\n")
    with pytest.raises(UnreadableSource, match="no video container of its own"), open_video(str(tmp_path / "a.mp4")):
        pass


def test_errors_of_a_url_tell_it(tmp_path: Path) -> None:
    uri = f"local://{truncated(three_shots(tmp_path / 'a.mp4'), tmp_path / 'cut.mp4', share=0.5)}"
    with pytest.raises(CorruptStream) as broken, open_video(uri) as container:
        list(decode_frames(container))
    assert broken.value.uri == uri
    uri = f"local://{song_with_cover(tmp_path / 'song.mp4')}"
    with pytest.raises(NoVideoStream, match=uri) as silent, open_video(uri) as container:
        video_stream(container)
    assert silent.value.uri == uri


def test_decode_frames_rejects_sound_alone(shared_media: Path) -> None:
    path = str(shared_media / "bad_audio_only.mp4")
    with open_video(path) as container, pytest.raises(NoVideoStream, match="must hold a video stream"):
        list(decode_frames(container))


@pytest.mark.parametrize(("turn", "corner"), [(0, (0, 0)), (90, (1, 0)), (-90, (0, 1)), (180, (1, 1))])
def test_upright_turns_the_picture(tmp_path: Path, turn: int, corner: tuple[int, int]) -> None:
    picture = np.zeros((64, 96, 3), np.uint8)
    picture[:32, :48] = 255
    path = remux(write_video(tmp_path / "a.mp4", [picture]), tmp_path / "b.mp4", rotation=turn)
    (decoded,) = decode(path)
    size = displayed_size(decoded.frame, None)
    assert size == (Size(64, 96) if turn % 180 else Size(96, 64))
    image = upright(decoded.frame, size)
    assert image.shape == (size.height, size.width, 3)
    quarters = image.reshape(2, size.height // 2, 2, size.width // 2, 3).mean((1, 3, 4))
    assert np.unravel_index(int(quarters.argmax()), (2, 2)) == corner


def test_displayed_size_widens_wide_pixels(tmp_path: Path) -> None:
    path = remux(write_video(tmp_path / "a.mp4", noise_shot(1, 2)), tmp_path / "b.mp4", pixel_aspect=Fraction(4, 3))
    with open_video(str(path)) as container:
        aspect = video_stream(container).sample_aspect_ratio
        frame = next(decode_frames(container)).frame
    assert displayed_size(frame, aspect) == Size(128, 64)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (Size(1920, 1080), Size(448, 252)),
        (Size(1080, 1920), Size(252, 448)),
        (Size(96, 64), Size(96, 64)),
        (Size(9000, 2), Size(448, 1)),
    ],
)
def test_fit_shrinks_and_never_enlarges(size: Size, expected: Size) -> None:
    assert fit(size, 448) == expected


def test_upright_scaler_makes_8_bit_of_10(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", noise_shot(1, 2), codec="libx265", pixel_format="yuv420p10le")
    decoded = decode(path)[0]
    assert decoded.frame.format.name == "yuv420p10le"
    image = UprightScaler(Size(96, 64))(decoded.frame)
    assert np.abs(image.astype(int) - noise_shot(1, 1)[0]).mean() < 12


@pytest.mark.parametrize("pixel_format", ["rgb24", "gray"])
def test_upright_scaler_packs_odd_widths(tmp_path: Path, pixel_format: str) -> None:
    decoded = decode(write_video(tmp_path / "a.mp4", noise_shot(1, 1)))[0]
    image = UprightScaler(Size(37, 21), pixel_format=pixel_format)(decoded.frame)
    assert image.shape[:2] == (21, 37)
    assert image.flags.c_contiguous
