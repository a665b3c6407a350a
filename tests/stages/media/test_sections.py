"""Sections of long videos: where they may begin, and what decodes from there."""

import shutil
from pathlib import Path

import av
import numpy as np
import pytest
from av.container import InputContainer
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from stages.media import Entry, Indivisible, decode_frames, divide, entry_frames, last_indexed, open_video, read_packets
from stages.media.gaps import NO_PTS
from stages.media.idr_pictures import begins_with_idr
from stages.media.sections import MAX_REPEATED_SHARE, MIN_TAIL_FRAMES, REORDERED_FRAMES, TAIL_S, VideoPackets
from tests.toned_media import remuxed
from tests.videos import noise_shot, remux, write_video

TIME_BASE = 1 / 12800


@st.composite
def films(draw: st.DrawFn) -> tuple[NDArray[np.int64], NDArray[np.int64], float]:
    """Times of frames, those at which sections may begin, and the length of a section in seconds."""
    num_frames = draw(st.integers(1, 20_000))
    steps = np.random.default_rng(draw(st.integers(0, 99))).choice([256, 512, 513, 5000], num_frames)
    pts = np.cumsum(steps)
    gop = draw(st.integers(1, 3000))
    return pts, np.arange(0, num_frames, gop), draw(st.floats(0.5, 300))


@given(films())
def test_sections_cover_all_frames_and_repeat_few(film: tuple[NDArray[np.int64], NDArray[np.int64], float]) -> None:
    pts, entries, section_s = film
    sections = divide(pts, entries, TIME_BASE, section_s)
    assert [section.start for section in sections] == [0, *(section.end for section in sections[:-1])]
    assert sections[-1].end == sections[-1].stop == len(pts)
    assert len(sections) <= max(1, (pts[-1] + 5000) * TIME_BASE / section_s)
    for section in sections:
        assert section.start in entries
        assert section.start < section.end <= section.stop <= len(pts)
        assert section is sections[-1] or (
            section.stop - section.end + REORDERED_FRAMES <= MAX_REPEATED_SHARE * (section.end - section.start)
        )
    for section in sections[:-1]:
        assert section.stop >= min(len(pts), section.end + MIN_TAIL_FRAMES)
        last = pts[section.stop - 1] - pts[section.end - 1]
        assert section.stop == len(pts) or last * TIME_BASE >= TAIL_S - 1e-9


def test_sections_are_of_about_equal_length() -> None:
    pts = np.arange(15_000) * 512
    sections = divide(pts, np.arange(0, 15_000, 250), TIME_BASE, 120)
    assert [section.end - section.start for section in sections] == [3000] * 5
    assert [section.stop - section.end for section in sections] == [4] * 4 + [0]


@given(st.lists(st.integers(0, 60), min_size=1, max_size=60, unique=True), st.integers(0, 2**60))
def test_sections_begin_where_no_frame_passes_over(pts: list[int], keys: int) -> None:
    times, is_key = np.array(pts), np.array([bool(keys >> place & 1) for place in range(len(pts))])
    packets = VideoPackets(times, np.full(len(pts), NO_PTS), is_key, is_key)
    expected = [
        place
        for place in range(len(pts))
        if is_key[place] and max(pts[:place], default=-1) < pts[place] == min(pts[place:])
    ]
    assert entry_frames(packets).tolist() == expected


def film(path: Path, options: dict[str, str], num_frames: int = 90) -> Path:
    return write_video(path, noise_shot(3, num_frames), options={"preset": "veryfast", "g": "20", **options})


def entries_of(path: Path) -> list[int]:
    with open_video(str(path)) as container:
        last_entry = last_indexed(container)
    with open_video(str(path)) as container:
        return entry_frames(read_packets(container, last_entry)).tolist()


def planes(container: InputContainer, entry: Entry | None = None) -> list[tuple[int, int, bytes]]:
    return [
        (each.index, each.pts, each.frame.to_ndarray(format="gray").tobytes())
        for each in decode_frames(container, entry=entry)
    ]


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.mov"])
@pytest.mark.parametrize("options", [{"bf": "3"}, {"bf": "0"}, {"bf": "2", "b-pyramid": "normal"}], ids=str)
def test_section_decodes_to_the_frames_of_the_stream(name: str, options: dict[str, str], tmp_path: Path) -> None:
    path = film(tmp_path / name, options)
    entries = entries_of(path)
    assert entries == [0, 20, 40, 60, 80]
    with open_video(str(path)) as container:
        whole = planes(container)
    assert len(whole) == 90
    for first in entries:
        with open_video(str(path)) as container:
            assert planes(container, Entry(whole[first][1], first)) == whole[first:]


def test_keyframes_over_which_frames_look_begin_no_section(tmp_path: Path) -> None:
    path = film(tmp_path / "open.mp4", {"bf": "3", "x264-params": "open-gop=1"})
    with av.open(str(path)) as container:
        assert sum(packet.is_keyframe for packet in container.demux(video=0) if packet.size) >= 1
    remuxed(path, tmp_path / "open.mkv")
    assert entries_of(tmp_path / "open.mkv") == entries_of(path) == [0], "an IDR picture comes first, and none follows"


@pytest.mark.parametrize(
    ("packet", "length_bytes", "expected"),
    [
        (b"\0\0\0\2\x09\xf0\0\0\0\2\x65\x88", 4, True),  # a delimiter, then a slice of an IDR picture
        (b"\0\0\0\2\x06\x01\0\0\0\2\x41\x9a", 4, False),  # a message, then a slice of another
        (b"\0\2\x67\x42\0\2\x65\x88", 2, True),
        (b"\0\0\0\1\x67\x42\0\0\1\x68\xce\0\0\1\x65\x88", 0, True),
        (b"\0\0\1\x09\xf0\0\0\1\x01\x9a\0\0\1\x65\x88", 0, False),
        (b"", 4, False),
        (b"\0\0\0\xff\x65", 4, True),
        (b"\0\0\1", 0, False),
    ],
)
def test_idr_pictures_are_told_by_their_first_slice(packet: bytes, length_bytes: int, expected: bool) -> None:
    assert begins_with_idr(packet, length_bytes) is expected


def test_streams_in_which_seeking_may_lie_are_not_divided(tmp_path: Path, shared_media: Path) -> None:
    path = film(tmp_path / "a.mp4", {"bf": "2"}, 60)
    fragmented = remuxed(path, tmp_path / "fragmented.mp4", options={"movflags": "frag_keyframe+empty_moov"})
    transport = remuxed(path, tmp_path / "a.ts")
    hidden = shared_media / "discard_first_keyframe.mp4"
    silent = shared_media / "iphone_horizontal_hevc.mov"
    flagged = tmp_path / "turned.mp4"
    shutil.copyfile(remux(path, tmp_path / "r.mp4", rotation=90), flagged)
    assert entries_of(flagged) == entries_of(path) == [0, 20, 40], "a rotation does no harm"
    for each, why in (
        (fragmented, "fragmented"),
        (transport, "no index"),
        (hidden, "edit list"),
        (silent, "one pass"),
    ):
        with pytest.raises(Indivisible, match=why):
            entries_of(each)


def test_keyframes_that_no_index_lists_begin_no_section(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mkv", {"bf": "2"}, 200)
    live = remuxed(path, tmp_path / "live.mkv", options={"live": "1"})
    assert entries_of(path) == list(range(0, 200, 20))
    assert entries_of(live) in ([0], [0, 20]), "FFmpeg lists what it has read of a file without an index"


def test_seek_that_misses_the_keyframe_is_noticed(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", {"bf": "0"})
    with open_video(str(path)) as container, pytest.raises(Indivisible, match="misses"):
        next(decode_frames(container, entry=Entry(21 * 512, 21)))
