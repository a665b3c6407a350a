"""Damaged and missing sound, of a file whose packets are changed."""

import random
from pathlib import Path

import av
import numpy as np
import pytest

from stages.media.container import open_video, video_stream
from stages.media.decode import decode_frames
from stages.media.sound_damage import SoundLog
from stages.media.stream_choice import best_audio_stream
from tests.videos import beeping_video

EDGES_S = np.array([0.0, 1.0, 2.0, 3.0])
PACKET_S = 1024 / 48000


def lost_s(path: Path) -> tuple[list[float], list[float]]:
    """Seconds of sound that are lost, and of all, in each of three seconds."""
    with open_video(str(path)) as container:
        stream = best_audio_stream(container, video_stream(container))
        assert stream is not None
        sound = SoundLog(stream)
        assert sum(1 for _ in decode_frames(container, sound=sound)) == 75
        lost, present = sound.lost_s(EDGES_S)
    return lost.tolist(), present.tolist()


def without_sound(source: Path, path: Path, lost: range) -> Path:
    """The file without some of its sound's packets."""
    with av.open(str(source)) as reader, av.open(str(path), "w") as writer:
        tracks = {stream.index: writer.add_stream_from_template(stream, opaque=True) for stream in reader.streams}
        number = -1
        for packet in reader.demux():
            number += packet.stream.type == "audio" and packet.size > 0
            if not packet.size or (packet.stream.type == "audio" and number in lost):
                continue
            packet.stream = tracks[packet.stream_index]
            writer.mux(packet)
    return path


def test_whole_sound_has_no_damage(tmp_path: Path) -> None:
    lost, present = lost_s(beeping_video(tmp_path / "a.mkv"))
    assert lost == [0, 0, 0]
    assert present == pytest.approx([1, 1, 1], abs=2 * PACKET_S)


def test_missing_packets_are_counted_where_they_are_missing(tmp_path: Path) -> None:
    source = beeping_video(tmp_path / "a.mkv")
    lost, present = lost_s(without_sound(source, tmp_path / "b.mkv", range(60, 70)))
    assert lost == pytest.approx([0, 10 * PACKET_S, 0], abs=0.003), "packets 60 to 69 begin at 1.28 s"
    assert present == pytest.approx([1, 1, 1], abs=2 * PACKET_S)


def test_packets_that_do_not_decode_are_lost(tmp_path: Path) -> None:
    path = beeping_video(tmp_path / "a.mkv")
    with av.open(str(path)) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(audio=0) if packet.size]
    data, noise = bytearray(path.read_bytes()), random.Random(1)
    for offset, size in places[100:110]:
        assert offset is not None
        data[offset + 16 : offset + size] = noise.randbytes(max(0, size - 16))
    path.write_bytes(data)
    lost, _ = lost_s(path)
    assert lost[0] == lost[1] == 0
    assert lost[2] >= 3 * PACKET_S
