"""Packets of HEVC whose data do not end where their symbols do."""

import random
from pathlib import Path
from typing import cast

import av
import numpy as np
import pytest
from av.packet import Packet
from av.video.stream import VideoStream

from benchmarks.damaged_videos import synthetic
from stages.media.decode_log import ASTRAY, DecodeLog
from stages.media.packet_trials import DECODES_PER_PACKET, MAX_SAVED_DECODES, PacketTrials
from stages.media.slice_ends import CABAC_ZERO_WORD, SliceEnds

X265 = "log-level=none:pools=1:frame-threads=1:keyint=15:info=0:crf=20:"
OPTIONS = ["", "slices=3:", "no-wpp=1:bframes=0:", "no-deblock=1:no-sao=1:rd=4:me=3:"]
NUM_FRAMES = 30


def hevc_video(path: Path, options: str = "") -> tuple[VideoStream, list[Packet]]:
    """The stream of a synthesised video, and its packets."""
    with av.open(str(path), "w") as container:
        stream = cast(VideoStream, container.add_stream("libx265", rate=25))
        stream.options = {"preset": "ultrafast", "x265-params": X265 + options}
        stream.width, stream.height, stream.pix_fmt = 192, 192, "yuv420p"
        for picture in synthetic(5, NUM_FRAMES, width=192, height=192):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return stream, [packet for packet in container.demux(stream) if packet.size]


def with_noise(packet: Packet, place: float) -> bytes:
    """The packet with 12 other bytes, from this share of its length on."""
    data, first = bytearray(bytes(packet)), round(place * packet.size)
    data[first : first + 12] = random.Random(first).choices(range(4, 256), k=12)
    return bytes(data)


@pytest.mark.parametrize("suffix", [".mp4", ".ts"])
@pytest.mark.parametrize("options", OPTIONS)
def test_whole_packets_end_where_their_symbols_do(tmp_path: Path, suffix: str, options: str) -> None:
    stream, packets = hevc_video(tmp_path / f"a{suffix}", options)
    ends, found = SliceEnds(stream.codec_context), []
    for packet in packets[::4]:
        ends.take_headers(bytes(packet))
        found.append(ends.are_wrong(bytes(packet)))
    assert found == [False] * len(found)
    assert len(found) == 8


@pytest.mark.parametrize("suffix", [".mp4", ".ts"])
@pytest.mark.parametrize("options", OPTIONS[:2])
def test_noise_inside_a_packet_leads_astray(tmp_path: Path, suffix: str, options: str) -> None:
    stream, packets = hevc_video(tmp_path / f"a{suffix}", options)
    ends, found = SliceEnds(stream.codec_context), []
    large = [packet for packet in packets if packet.size > 900][:8]
    for number, packet in enumerate(large):
        ends.take_headers(bytes(packet))
        found.append(ends.are_wrong(with_noise(packet, 0.4 + 0.05 * number)))
    assert len(found) >= 6
    # Of a packet that the decoder refuses, nothing is told here; by chance, one may end where it should.
    assert found.count(False) <= 1
    assert found.count(True) >= 4


def test_what_fills_a_packet_up_is_no_damage(tmp_path: Path) -> None:
    stream, packets = hevc_video(tmp_path / "a.ts")
    ends = SliceEnds(stream.codec_context)
    data = bytes(packets[4]).rstrip(b"\0")
    assert ends.are_wrong(data + CABAC_ZERO_WORD * 20) is False
    assert ends.are_wrong(data + bytes(50)) is False


def test_nothing_is_told_of_packets_without_a_picture(tmp_path: Path) -> None:
    stream, _ = hevc_video(tmp_path / "a.mp4")
    ends = SliceEnds(stream.codec_context)
    for data in (b"", b"\0\0\0\x05hello", bytes(100), b"\xff" * 100):
        assert ends.are_wrong(data) is None


def faults_after(stream: VideoStream, packets: list[Packet], doubts: dict[int, int]) -> list[int]:
    """Which packets are accused if frames, by their time, are doubted after a packet, by its number."""
    log = DecodeLog()
    trials = PacketTrials(stream.codec_context, log)
    for number, packet in enumerate(packets):
        log.add_packet(packet.pts, packet.dts, is_key=packet.is_keyframe)
        trials.add(packet)
        if number in doubts:
            log.doubt(doubts[number])
        trials.settle()
    _, _, _, fault, _ = log.packets()
    return np.flatnonzero(fault == ASTRAY).tolist()


def replaced(packets: list[Packet], number: int) -> list[Packet]:
    """The packets, one of them with noise."""
    old = packets[number]
    new = Packet(with_noise(old, 0.5))
    new.pts, new.dts, new.time_base, new.is_keyframe = old.pts, old.dts, old.time_base, old.is_keyframe
    return [*packets[:number], new, *packets[number + 1 :]]


def test_the_packet_that_a_doubted_frame_is_predicted_from_is_accused(tmp_path: Path) -> None:
    stream, packets = hevc_video(tmp_path / "a.mp4", "bframes=3:b-adapt=0:")
    times = [packet.pts or 0 for packet in packets]
    number = next(index for index in range(3, 12) if packets[index].size > 300 and times[index] > times[index + 1])
    damaged, shown_before = replaced(packets, number), times[number + 1]
    assert faults_after(stream, damaged, {number + 6: shown_before}) == [number]
    assert faults_after(stream, damaged, {}) == [], "nothing is doubted"
    assert faults_after(stream, packets, {number + 6: shown_before}) == [], "nothing is damaged"


def test_a_stream_whose_first_picture_seems_damaged_is_not_tried(tmp_path: Path) -> None:
    stream, packets = hevc_video(tmp_path / "a.mp4", "bframes=0:")
    damaged = replaced(replaced(packets, 0), 6)
    assert faults_after(stream, replaced(packets, 6), {9: packets[6].pts or 0}) == [6]
    assert faults_after(stream, damaged, {9: packets[6].pts or 0}) == []


def test_trials_are_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stream, packets = hevc_video(tmp_path / "a.mp4")
    decoded: list[bytes] = []
    decode = SliceEnds._decode

    def counted(ends: SliceEnds, units: list[bytes]) -> av.VideoFrame | None:
        decoded.append(units[0])
        return decode(ends, units)

    monkeypatch.setattr(SliceEnds, "_decode", counted)
    faults_after(stream, packets, {number: packet.pts or 0 for number, packet in enumerate(packets)})
    assert len(decoded) <= MAX_SAVED_DECODES + DECODES_PER_PACKET * NUM_FRAMES + 3
