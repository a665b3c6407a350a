"""Pictures that the container crops: MP4's clap and Matroska's PixelCrop, against slices of what is decoded."""

import struct
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from stages.media.container import open_video, video_stream
from stages.media.container_crop import Crop
from stages.media.cut import cut_clip
from stages.media.decode import decode_frames
from stages.media.probing import probe
from stages.media.stream_copy import NotCopyable
from stages.media.upright import UprightScaler
from stages.tasks import Size
from tests.stages.media.test_cut import job_of
from tests.toned_media import remuxed
from tests.videos import noise_shot, remux, write_video

WIDTH, HEIGHT = 96, 64
LEFT, TOP, RIGHT, BOTTOM = 6, 4, 18, 10


def in_mp4(folder: Path, source: Path) -> Path:
    """The video with a clean aperture. The index of the file is at its end, so that no place of data changes."""
    path = remuxed(source, folder / "clap.mp4")
    data = path.read_bytes()
    right, down = (LEFT - RIGHT, TOP - BOTTOM)  # of twice the middle of what is shown, from that of the picture
    numbers = (WIDTH - LEFT - RIGHT, 1, HEIGHT - TOP - BOTTOM, 1, right, 2, down, 2)
    clap = struct.pack(">I4sIIIIiIiI", 40, b"clap", *numbers)
    entry = data.index(b"avc1", data.index(b"stsd")) - 4
    end = entry + struct.unpack_from(">I", data, entry)[0]
    changed = bytearray(data[:end] + clap + data[end:])
    for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"avc1"):
        place = data.index(name, data.index(b"moov")) - 4
        struct.pack_into(">I", changed, place, struct.unpack_from(">I", changed, place)[0] + len(clap))
    path.write_bytes(changed)
    return path


def in_matroska(folder: Path, source: Path) -> Path:
    """The video with elements for the crop, in place of some of the void that FFmpeg leaves in the file's head."""
    # Without checksums, of which a byte may look like the name of an element.
    path = remuxed(source, folder / "crop.mkv", options={"write_crc32": "0"})
    data = path.read_bytes()
    crops = ((0x54CC, LEFT), (0x54BB, TOP), (0x54DD, RIGHT), (0x54AA, BOTTOM))
    elements = b"".join(struct.pack(">HBB", name, 0x81, value) for name, value in crops)
    named = data.index(b"\x16\x54\xae\x6b")  # in the list of what is where
    tracks = data.index(b"\x16\x54\xae\x6b", named + 1)
    video = data.index(b"\xe0", data.index(b"V_MPEG4", tracks))
    entry = data.index(b"\xae", tracks + 4)
    changed = bytearray(data)
    for place in (tracks + 4, entry + 1, video + 1):
        length = 9 - changed[place].bit_length()
        size = int.from_bytes(changed[place : place + length]) + len(elements)
        changed[place : place + length] = size.to_bytes(length)
    size_bytes = 9 - changed[video + 1].bit_length()
    changed[video + 1 + size_bytes : video + 1 + size_bytes] = elements
    void = data.index(b"\xec", data.index(b"\x11\x4d\x9b\x74"))
    assert void < tracks
    size_bytes = 9 - changed[void + 1].bit_length()
    size = int.from_bytes(changed[void + 1 : void + 1 + size_bytes]) - len(elements)
    changed[void + 1 : void + 1 + size_bytes] = size.to_bytes(size_bytes)
    del changed[void + 1 + size_bytes : void + 1 + size_bytes + len(elements)]
    path.write_bytes(changed)
    return path


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("crop") / "plain.mp4"
    return write_video(path, noise_shot(3, 20, width=WIDTH, height=HEIGHT), options={"g": "10", "bf": "0"})


def luma(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.array([frame.to_ndarray()[: frame.height, : frame.width] for frame in container.decode(video=0)])


@pytest.mark.parametrize("make", [in_mp4, in_matroska])
def test_what_the_container_crops_is_not_shown(tmp_path: Path, plain: Path, make: Callable[[Path, Path], Path]) -> None:
    path = make(tmp_path, plain)
    whole = luma(plain)
    shown = whole[:, TOP : HEIGHT - BOTTOM, LEFT : WIDTH - RIGHT]
    with open_video(str(path)) as container:
        assert Crop.of(container, video_stream(container)) == Crop(LEFT, TOP, RIGHT, BOTTOM)
        frames = [decoded.frame for decoded in decode_frames(container)]
    assert np.array_equal(np.array([each.to_ndarray()[: each.height, : each.width] for each in frames]), shown)
    times = [each.pts or 0 for each in frames]
    assert times == sorted(set(times))
    facts = probe(str(path))
    size = Size(WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM)
    assert (facts["width"], facts["height"]) == (size.width, size.height)
    assert np.array_equal(UprightScaler(size, pixel_format="gray")(frames[0]).shape, shown[0].shape)


@pytest.mark.parametrize("make", [in_mp4, in_matroska])
def test_clips_of_what_the_container_crops_are_encoded(
    tmp_path: Path, plain: Path, make: Callable[[Path, Path], Path]
) -> None:
    path, clip = make(tmp_path, plain), tmp_path / "clip.mp4"
    with pytest.raises(NotCopyable, match="container crops"):
        cut_clip(job_of(path, 0, 10, mode="copy"), str(clip))
    assert cut_clip(job_of(path, 0, 10, mode="auto"), str(clip)).method == "encode"
    found, shown = luma(clip), luma(plain)[:10, TOP : HEIGHT - BOTTOM, LEFT : WIDTH - RIGHT]
    assert found.shape == shown.shape
    assert np.abs(found.astype(float) - shown).mean() < 4


def test_a_turned_picture_is_cropped_before_it_is_turned(tmp_path: Path, plain: Path) -> None:
    path = in_mp4(tmp_path, remux(plain, tmp_path / "turned.mp4", rotation=90))
    facts = probe(str(path))
    assert (facts["width"], facts["height"]) == (HEIGHT - TOP - BOTTOM, WIDTH - LEFT - RIGHT)


def test_a_crop_that_leaves_nothing_is_no_crop(tmp_path: Path, plain: Path) -> None:
    path = in_mp4(tmp_path, plain)
    data = bytearray(path.read_bytes())
    struct.pack_into(">I", data, data.index(b"clap") + 4, 0)
    path.write_bytes(data)
    assert probe(str(path))["width"] == WIDTH
    assert probe(str(plain))["width"] == WIDTH
