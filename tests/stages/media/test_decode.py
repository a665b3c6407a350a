"""Decoding: exact times, upright pictures, broken streams."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.packet import Packet

from stages import heartbeat
from stages.errors import CorruptStream, NoVideoStream
from stages.media.container import open_video, video_stream
from stages.media.decode import MAX_FILE_PASSES, DecodedFrame, decode_frames
from stages.media.frame_times import MAX_PTS
from stages.media.upright import UprightScaler, displayed_size, fit, upright
from stages.tasks import Size
from tests.faults.hostile_media import repeat_frame
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


def decode_until_fault(path: Path) -> tuple[list[int], CorruptStream]:
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
    times, error = decode_until_fault(path)
    assert 20 < len(times) < 200
    assert "breaks after PTS" in str(error)
    assert error.pts == times[-1]


def test_decode_frames_goes_on_after_a_fault_and_does_not_hang(shared_media: Path) -> None:
    times, error = decode_until_fault(shared_media / "bad_bitstream_error.mp4")
    assert times == [1024 * number for number in range(50) if number != 30], "as `ffmpeg -f framecrc -` has them"
    assert "1 packets do not decode, the first at PTS 30720: Invalid data found" in str(error)


def test_decode_frames_tells_a_transport_stream_that_ends_within_a_packet(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "a.ts", noise_shot(1, 50), codec="mpeg2video", options={"bf": "0"})
    assert len(decode(whole)) == 50
    data = whole.read_bytes()
    (tmp_path / "b.ts").write_bytes(data[: len(data) // 2 // 188 * 188 + 77])
    times, error = decode_until_fault(tmp_path / "b.ts")
    assert 10 < len(times) < 40
    assert "its last packet is cut off" in str(error)


def remux_changed(path: Path, change: Callable[[int, Packet], Packet]) -> Path:
    """Eight frames that decode alone, each packet changed by its index."""
    source = write_video(path.with_suffix(".mkv"), noise_shot(1, 8), codec="mpeg4", options={"g": "1"})
    with av.open(str(source)) as reader, av.open(str(path), "w") as writer:
        track = writer.add_stream_from_template(reader.streams.video[0], opaque=True)
        writer.start_encoding()
        for index, packet in enumerate(packet for packet in reader.demux(video=0) if packet.size):
            changed = change(index, packet)
            changed.stream, changed.time_base, changed.duration = track, track.time_base or Fraction(1), 0
            writer.mux(changed)
    return path


def test_decode_frames_skips_packets_of_no_length(tmp_path: Path) -> None:
    def emptied(index: int, packet: Packet) -> Packet:
        empty = Packet(0) if index in (2, 5) else packet
        empty.pts = empty.dts = 100 * index
        return empty

    path = remux_changed(tmp_path / "a.nut", emptied)
    with av.open(str(path)) as container:
        assert [packet.pts for packet in container.demux(video=0) if not packet.size][:2] == [200, 500]
    assert [frame.pts for frame in decode(path)] == [0, 100, 300, 400, 600, 700]


@pytest.mark.parametrize("far", [1 << 60, 1 << 62])
def test_decode_frames_stops_where_time_leaves_its_bounds(tmp_path: Path, far: int) -> None:
    def moved(index: int, packet: Packet) -> Packet:
        packet.pts = packet.dts = index + far * (index > 3)
        return packet

    path = remux_changed(tmp_path / "a.nut", moved)
    if far < MAX_PTS:
        assert [frame.pts for frame in decode(path)] == [0, 1, 2, 3, *range(far + 4, far + 8)]
        return
    times, error = decode_until_fault(path)
    assert times == [0, 1, 2, 3]
    assert "time jumps from PTS 3 to" in str(error)


def test_decode_frames_stops_an_index_that_names_the_same_bytes(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "a.mp4", noise_shot(1, 1))
    size = next(packet.size for packet in av.open(str(whole)).demux(video=0))
    path = tmp_path / "again.mp4"
    path.write_bytes(repeat_frame(whole.read_bytes(), size, times=100_000))
    times, error = decode_until_fault(path)
    assert 1 < len(times) <= MAX_FILE_PASSES * path.stat().st_size / size
    assert "the same bytes again and again" in str(error)


def test_decode_frames_exports_vectors_on_request(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", noise_shot(1, 5, speed=4))
    with open_video(str(path)) as container:
        carried = [
            frame.frame.side_data.get("MOTION_VECTORS") for frame in decode_frames(container, export_vectors=True)
        ]
    assert any(vectors is not None for vectors in carried)


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
