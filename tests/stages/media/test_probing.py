import csv
import io
import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import fsspec
import numpy as np
import pytest
from av.video.stream import VideoStream
from fsspec.implementations.memory import MemoryFile, MemoryFileSystem

from stages.errors import NoVideoStream, SourceError, SourceGone, StorageUnavailable, UnreadableSource
from stages.media.probing import probe
from tests.videos import beeping_video, noise_shot, remux, write_video

NOBODY = 65534


def plain_video(path: Path) -> Path:
    return write_video(path, noise_shot(1, 50), options={"g": "10", "keyint_min": "10"})


def test_probe_reads_header_and_index(tmp_path: Path) -> None:
    facts = probe(str(plain_video(tmp_path / "a.mp4")))
    assert facts["codec"] == "h264"
    assert (facts["width"], facts["height"], facts["rotation"]) == (96, 64, 0)
    assert (facts["pixel_format"], facts["bit_depth"], facts["is_hdr"]) == ("yuv420p", 8, False)
    assert (facts["average_rate"], facts["is_vfr"]) == ("25/1", False)
    assert (facts["num_frames"], facts["num_frames_source"]) == (50, "index")
    assert facts["duration_s"] == 2.0
    assert facts["keyframe_interval_s"] == pytest.approx(0.4)
    assert (facts["audio_codec"], facts["num_audio_streams"]) == (None, 0)


def test_probe_tells_varying_gaps(tmp_path: Path) -> None:
    pts = [index * 2 + index // 5 for index in range(30)]
    assert probe(str(write_video(tmp_path / "vfr.mp4", noise_shot(1, 30), pts=pts)))["is_vfr"] is True


@pytest.mark.parametrize(("rotation", "size"), [(0, (96, 64)), (90, (64, 96)), (-90, (64, 96)), (180, (96, 64))])
def test_probe_tells_displayed_size_and_rotation(tmp_path: Path, rotation: int, size: tuple[int, int]) -> None:
    facts = probe(str(remux(plain_video(tmp_path / "a.mp4"), tmp_path / "turned.mp4", rotation=rotation)))
    assert (facts["width"], facts["height"]) == size
    assert facts["rotation"] % 360 == rotation % 360


def test_probe_widens_by_the_pixel_aspect(tmp_path: Path) -> None:
    wide = remux(plain_video(tmp_path / "a.mp4"), tmp_path / "wide.mp4", pixel_aspect=Fraction(4, 3))
    facts = probe(str(wide))
    assert (facts["width"], facts["height"], facts["display_aspect"]) == (128, 64, "4/3")


def test_probe_leaves_null_what_no_index_tells(tmp_path: Path) -> None:
    facts = probe(str(write_video(tmp_path / "a.mkv", noise_shot(1, 50))))
    assert [facts[name] for name in ("num_frames", "num_frames_source", "is_vfr", "keyframe_interval_s")] == [None] * 4
    assert facts["duration_s"] == pytest.approx(2.0, abs=0.05)


class Unseekable(io.BytesIO):
    """A sink that cannot go back: the writer cannot put the duration into the header afterwards."""

    def seekable(self) -> bool:
        return False

    def seek(self, offset: int, whence: int = 0) -> int:
        raise OSError("a live stream")


def live_recording(path: Path, container: str) -> Path:
    sink = Unseekable()
    with av.open(sink, "w", format=container) as writer:
        stream = cast(VideoStream, writer.add_stream("libx264", rate=25))
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for index, picture in enumerate(noise_shot(1, 75)):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            writer.mux(stream.encode(frame))
        writer.mux(stream.encode(None))
    path.write_bytes(sink.getvalue())
    return path


@pytest.mark.parametrize("container", ["matroska", "mpegts", "flv"])
def test_probe_finds_the_duration_that_no_header_tells(tmp_path: Path, container: str) -> None:
    facts = probe(str(live_recording(tmp_path / "live", container)))
    assert facts["duration_s"] == pytest.approx(3.0, abs=0.09)


@pytest.mark.parametrize("codec", ["aac", "libopus"])
def test_probe_tells_the_sound(tmp_path: Path, codec: str) -> None:
    facts = probe(str(beeping_video(tmp_path / "a.mkv", audio_codec=codec)))
    assert (facts["audio_codec"], facts["num_audio_streams"]) == (codec.removeprefix("lib"), 1)


class CountingFile(MemoryFile):
    """Counts the bytes that are asked for."""

    bytes_read = 0

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        CountingFile.bytes_read += len(data)
        return data


class CountingFileSystem(MemoryFileSystem):
    protocol = "counted"

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **options: object) -> None:
        name = self._strip_protocol(path)
        self.store[name] = CountingFile(self, name, value)


def test_probe_reads_a_url_by_ranges(tmp_path: Path) -> None:
    fsspec.register_implementation("counted", CountingFileSystem, clobber=True)
    random = np.random.default_rng(1)
    noise = [random.integers(0, 256, (128, 128, 3), dtype=np.uint8) for _ in range(100)]
    local = write_video(tmp_path / "a.mp4", noise, options={"qp": "1", "movflags": "faststart"})
    fsspec.filesystem("counted").pipe_file("counted://probe/a b#%.mp4", local.read_bytes())
    assert probe("counted://probe/a b#%.mp4") == probe(str(local))
    assert 0 < CountingFile.bytes_read < local.stat().st_size / 4


def sound_only(path: Path) -> Path:
    with av.open(str(beeping_video(path.with_suffix(".av.mp4")))) as reader, av.open(str(path), "w") as writer:
        track = writer.add_stream_from_template(reader.streams.audio[0])
        for packet in reader.demux(audio=0):
            if packet.size:
                packet.stream = track
                writer.mux(packet)
    return path


def of_bytes(data: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(data)


def cut_off(path: Path) -> None:
    path.write_bytes(plain_video(path.with_suffix(".whole.mp4")).read_bytes()[:3000])


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (of_bytes(b""), UnreadableSource, "must be a whole video file"),
        (of_bytes(b"shopping list: milk, eggs\n" * 50), UnreadableSource, "read.exclude"),
        (cut_off, UnreadableSource, "Copy it again"),
        (sound_only, NoVideoStream, "must hold a video stream"),
        (lambda path: None, SourceGone, "not there any more"),
    ],
    ids=["empty", "text", "header-missing", "sound-only", "gone"],
)
def test_probe_rejects_what_is_no_video(
    tmp_path: Path, make: Callable[[Path], object], error: type[SourceError], text: str
) -> None:
    path = tmp_path / "bad.mp4"
    make(path)
    with pytest.raises(error, match=text) as caught:
        probe(str(path))
    assert caught.value.uri == str(path)


def test_probe_rejects_a_file_without_permission_as_passing(tmp_path: Path) -> None:
    path = plain_video(tmp_path / "locked.mp4")
    path.chmod(0)
    user = os.geteuid()
    try:
        if user == 0:
            os.seteuid(NOBODY)  # root may read everything
        with pytest.raises(StorageUnavailable, match="Permission denied"):
            probe(str(path))
    finally:
        os.seteuid(user)


LARGER_STREAM = {
    name: {"display_size": size, "avg_fps": "30000/1001", "duration_s": "13.013", "frames_decoded": "390"}
    for name, size in (("nasa_jwst_13s.mp4", "480x270"), ("nasa_jwst_13s_rot90.mp4", "270x480"))
}
"""Facts of the larger of two enabled streams, as ffprobe tells them; the catalogue has those of the first."""
LENGTH_OF_FILE = {"nasa_jwst_4s_vfr.mp4": {"duration_s": "3.938"}}
"""As ffprobe tells it of the file; what it tells of the stream ends before the last frame begins, at 3.904 s."""


def test_probe_agrees_with_the_catalogue_of_real_videos(shared_media: Path) -> None:
    with open(shared_media / "MANIFEST.csv", newline="") as handle:
        rows = [row for row in csv.DictReader(handle) if row["tier"] != "damaged"]
    for row in rows:
        row |= LARGER_STREAM.get(row["file"], {}) | LENGTH_OF_FILE.get(row["file"], {})
        facts = probe(str(shared_media / row["file"]))
        assert facts["codec"] == row["video_codec"], row["file"]
        assert facts["pixel_format"] == row["pix_fmt"], row["file"]
        assert Fraction(facts["average_rate"]) == Fraction(row["avg_fps"]), row["file"]
        assert facts["duration_s"] == pytest.approx(float(row["duration_s"]), abs=0.002), row["file"]
        assert facts["rotation"] == int(row["rotation"]), row["file"]
        width, height = (int(length) for length in row["display_size"].split("x"))
        aspect = Fraction(row["sar"]) if row["sar"] != "None" else Fraction(1)  # not in the catalogue's size
        assert (facts["width"], facts["height"]) == (round(width * aspect), height), row["file"]
        assert f"a{facts['num_audio_streams']}" in row["streams"], row["file"]
        if facts["num_frames"] is not None:
            assert facts["num_frames"] == int(row["frames_decoded"]), row["file"]
        if facts["is_vfr"] is not None:
            assert facts["is_vfr"] == (int(row["vfr_irregular_gaps"]) > 0), row["file"]
