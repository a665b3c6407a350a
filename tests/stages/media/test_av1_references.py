"""Frames that hang on no lost one, as AV1's headers tell: checked against the pictures of the undamaged video."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import pytest

from benchmarks.damaged_videos import Source, encode, synthetic
from stages.errors import CorruptStream
from stages.media.av1_headers import (
    FRAME,
    FRAME_HEADER,
    SEQUENCE_HEADER,
    FrameHeader,
    Sequence,
    UnreadableHeader,
    read_frame,
    read_sequence,
    units,
)
from stages.media.av1_references import frames_without_losses
from stages.media.container import open_video
from stages.media.damage import DecodeLog
from stages.media.decode import decode_frames

NUM_FRAMES = 70


class Decoded(NamedTuple):
    """A file as it decodes: pictures by PTS, and the PTS of the frames that hang on no lost one."""

    pictures: dict[int, np.ndarray]
    proven: set[int]


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    os.environ.setdefault("SVT_LOG", "1")
    source = Source("synthetic", 25, list(synthetic(2, NUM_FRAMES, width=160, height=96)))
    return encode(source, "av1", tmp_path_factory.mktemp("av1") / "whole.mp4", gop=150, with_sound=False)


def headers(video: Path) -> list[list[FrameHeader]]:
    found: list[list[FrameHeader]] = []
    sequence: Sequence | None = None
    with av.open(str(video)) as container:
        for packet in container.demux(video=0):
            if packet.size:
                found.append([])
                for kind, data in units(bytes(packet)):
                    if kind == SEQUENCE_HEADER:
                        sequence = read_sequence(data)
                    elif kind in (FRAME, FRAME_HEADER):
                        assert sequence is not None
                        found[-1].append(read_frame(data, sequence))
    return found


def without(video: Path, path: Path, number: int) -> Path:
    with av.open(str(video)) as reader, av.open(str(path), "w") as writer:
        track = writer.add_stream_from_template(reader.streams.video[0], opaque=True)
        for place, packet in enumerate(reader.demux(video=0)):
            if packet.size and place != number:
                packet.stream = track
                writer.mux(packet)
    return path


def zeroed(video: Path, path: Path, number: int) -> Path:
    with av.open(str(video)) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][number]
        start = packet.pos or 0
        data = bytearray(video.read_bytes())
        data[start : start + packet.size] = bytes(packet.size)
    path.write_bytes(data)
    return path


def decoded(path: Path) -> Decoded:
    log = DecodeLog()
    pictures: dict[int, np.ndarray] = {}
    with open_video(str(path)) as container, suppress(CorruptStream):
        for each in decode_frames(container, log=log):
            pictures[each.pts] = each.frame.to_ndarray()
    with open_video(str(path)) as container:
        return Decoded(pictures, set(frames_without_losses(container, log).tolist()))


def test_headers_tell_places_and_slots(video: Path) -> None:
    read = headers(video)
    assert len(read) == NUM_FRAMES
    assert read[0][0] == FrameHeader(None, is_key=True, is_shown=True, hint=0, fills=255, needs=0)
    slots = [0] * 8
    shown: list[int] = []
    for unit in read:
        for header in unit:
            if header.shows_slot is not None:
                shown.append(slots[header.shows_slot])
                continue
            slots = [header.hint if header.fills >> slot & 1 else hint for slot, hint in enumerate(slots)]
            shown += [header.hint] * header.is_shown
    assert shown == list(range(NUM_FRAMES)), "each unit shows the next frame"


def test_of_a_whole_video_all_frames_are_proven(video: Path) -> None:
    whole = decoded(video)
    assert whole.proven == set(whole.pictures)


@pytest.mark.parametrize("kind", [without, zeroed])
@pytest.mark.parametrize("number", [18, 19, 21, 33, 34, 41])
def test_proven_frames_are_those_of_the_whole_video(
    tmp_path: Path, video: Path, number: int, kind: Callable[[Path, Path, int], Path]
) -> None:
    whole, damaged = decoded(video), decoded(kind(video, tmp_path / "damaged.mp4", number))
    equal = {pts for pts, picture in damaged.pictures.items() if np.array_equal(picture, whole.pictures[pts])}
    later = {pts for pts in damaged.pictures if pts > sorted(whole.pictures)[number]}
    assert damaged.proven <= equal
    is_unneeded = [header.fills for header in headers(video)[number]] == [0]  # it fills no slot, or shows one
    assert bool(later & damaged.proven) == is_unneeded
    if is_unneeded:
        assert later <= damaged.proven
        assert len(later) == NUM_FRAMES - 1 - number


def test_damaged_headers_are_refused(video: Path) -> None:
    with av.open(str(video)) as container:
        data = bytes(next(packet for packet in container.demux(video=0) if packet.size))
    kinds = dict(units(data))
    with pytest.raises(UnreadableHeader):
        read_sequence(kinds[SEQUENCE_HEADER][:4])
    with pytest.raises(UnreadableHeader):
        read_frame(kinds[FRAME][:1], read_sequence(kinds[SEQUENCE_HEADER]))
    with pytest.raises(UnreadableHeader):
        list(units(data[:-1]))
