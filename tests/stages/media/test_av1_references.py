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
    parts,
    read_frame,
    read_sequence,
)
from stages.media.av1_references import frames_without_losses
from stages.media.av1_slots import SlotWalk, shows_each_once
from stages.media.av1_units import Unit
from stages.media.container import open_video
from stages.media.decode import decode_frames
from stages.media.decode_log import DecodeLog

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
                for kind, data, _ in parts(bytes(packet)):
                    if kind == SEQUENCE_HEADER:
                        sequence = read_sequence(data)
                    elif kind in (FRAME, FRAME_HEADER):
                        assert sequence is not None
                        found[-1].append(read_frame(data, sequence))
    return found


def without(video: Path, path: Path, number: int, count: int = 1) -> Path:
    with av.open(str(video)) as reader, av.open(str(path), "w") as writer:
        track = writer.add_stream_from_template(reader.streams.video[0], opaque=True)
        for place, packet in enumerate(reader.demux(video=0)):
            if packet.size and not number <= place < number + count:
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


def hanging_on(video: Path, lost: int, first_lost: int = 0) -> set[int]:
    """Units of the whole video whose frames need one that unit `lost` codes, from its frame `first_lost` on."""
    slots = [False] * 8
    found: set[int] = set()
    for number, unit in enumerate(headers(video)):
        for index, header in enumerate(unit):
            hangs = any(slots[slot] for slot in range(8) if header.needs >> slot & 1)
            hangs = hangs or (number == lost and index >= first_lost)
            slots = [hangs if header.fills >> slot & 1 else before for slot, before in enumerate(slots)]
            found |= {number} if header.is_shown and hangs else set()
    return found


@pytest.mark.parametrize("kind", [without, zeroed])
@pytest.mark.parametrize("number", [18, 19, 21, 25, 33, 34, 41])
def test_proven_frames_are_those_that_hang_on_no_lost_one(
    tmp_path: Path, video: Path, number: int, kind: Callable[[Path, Path, int], Path]
) -> None:
    whole, damaged = decoded(video), decoded(kind(video, tmp_path / "damaged.mp4", number))
    equal = {pts for pts, picture in damaged.pictures.items() if np.array_equal(picture, whole.pictures[pts])}
    assert damaged.proven <= equal
    times = sorted(whole.pictures)
    sound = {times[unit] for unit in set(range(NUM_FRAMES)) - hanging_on(video, number) - {number}}
    if len(headers(video)[number]) == 1:
        assert damaged.proven == sound
    else:
        # A slot that a lost unit has filled counts as lost from the first unit on that was lost since it was filled.
        assert damaged.proven <= sound
        assert len(damaged.proven) >= 0.9 * len(sound)


@pytest.mark.parametrize(("number", "count"), [(18, 6), (19, 13), (20, 28), (34, 14)])
def test_a_slot_that_holds_a_frame_that_was_never_shown_is_not_taken_for_a_later_one(
    tmp_path: Path, video: Path, number: int, count: int
) -> None:
    whole, damaged = decoded(video), decoded(without(video, tmp_path / "damaged.mp4", number, count))
    assert all(np.array_equal(damaged.pictures[pts], whole.pictures[pts]) for pts in damaged.proven)
    assert len(damaged.proven) >= number


def test_frames_before_the_damaged_one_in_its_unit_are_whole(tmp_path: Path, video: Path) -> None:
    number = 33
    with av.open(str(video)) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][number]
    coded = [part for part in parts(bytes(packet)) if part.kind == FRAME]
    assert len(coded) > 2, "frames that others need, and the one that is shown"
    data = bytearray(video.read_bytes())
    place = (packet.pos or 0) + bytes(packet).index(coded[1].contents) + len(coded[1].contents) // 2
    data[place : place + 40] = bytes(range(100, 140))
    damaged_file = tmp_path / "damaged.mp4"
    damaged_file.write_bytes(data)
    whole, damaged = decoded(video), decoded(damaged_file)
    assert all(np.array_equal(damaged.pictures[pts], whole.pictures[pts]) for pts in damaged.proven)
    times = sorted(whole.pictures)
    assert damaged.proven == {times[unit] for unit in set(range(NUM_FRAMES)) - hanging_on(video, number, 1)}
    assert times[-1] in damaged.proven, "nothing of the next frames hangs on it"


@pytest.mark.parametrize("fills", [0b11, 0])
def test_frames_coded_ahead_tell_nothing_where_they_are_not_shown_once(fills: int) -> None:
    def unit(*coded: FrameHeader) -> Unit:
        return Unit(0, list(coded), is_whole=True, is_lost=False, num_decoded=0, missing_before=0)

    def pair(place: int, filled: int) -> list[Unit]:
        ahead = FrameHeader(None, is_key=False, is_shown=False, hint=place + 1, fills=filled, needs=1)
        shown = FrameHeader(None, is_key=False, is_shown=True, hint=place, fills=0, needs=1)
        return [unit(ahead, shown), unit(FrameHeader(0, is_key=False, is_shown=True, hint=0, fills=0, needs=1))]

    regular = [unit for place in range(0, 20, 2) for unit in pair(place, 1)]
    assert shows_each_once(regular)
    assert not shows_each_once(regular[:8]), "too few"
    assert not shows_each_once([*regular, *pair(20, fills)])
    assert not shows_each_once([*regular, regular[0], *regular]), "one of them is never shown"


def test_a_slot_is_not_taken_for_a_frame_that_is_due_where_lost_units_stand_behind_a_gap() -> None:
    def coded(place: int, *, fills: int = 0, is_shown: bool = True) -> FrameHeader:
        return FrameHeader(None, is_key=fills == 255, is_shown=is_shown, hint=place, fills=fills, needs=fills & 1 ^ 1)

    def lost(place: int, missing_before: int) -> Unit:
        return Unit(0, [coded(place)], is_whole=True, is_lost=True, num_decoded=0, missing_before=missing_before)

    first = [[coded(0, fills=255)], [coded(4, fills=2, is_shown=False), coded(1)]]
    units = [Unit(0, each, is_whole=True, is_lost=False, num_decoded=0, missing_before=0) for each in first]
    shown = Unit(0, [FrameHeader(1, False, True, 0, 0, 2)], True, False, 0, 0)
    # Of 128 places, 100 and 101 come after the gap: slot 1 holds frame 4, and 102 is due.
    behind_gap = [*units, lost(100, 98), lost(101, 0), shown]
    at_once = [*units, lost(2, 0), lost(3, 0), shown]
    for following, sound in ((behind_gap, [0, 1]), (at_once, [0, 1, 4])):
        assert SlotWalk(128, may_be_unneeded=True, shows_each_once=True).sound(following) == sound


def test_damaged_headers_are_refused(video: Path) -> None:
    with av.open(str(video)) as container:
        data = bytes(next(packet for packet in container.demux(video=0) if packet.size))
    kinds = {part.kind: part.contents for part in parts(data)}
    with pytest.raises(UnreadableHeader):
        read_sequence(kinds[SEQUENCE_HEADER][:4])
    with pytest.raises(UnreadableHeader):
        read_frame(kinds[FRAME][:1], read_sequence(kinds[SEQUENCE_HEADER]))
    with pytest.raises(UnreadableHeader):
        list(parts(data[:-1]))
