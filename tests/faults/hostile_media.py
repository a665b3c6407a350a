"""Files that are built byte by byte to harm their reader; no encoder would write them."""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.faults.damage import boxes


@dataclass(frozen=True, slots=True)
class HostileFile:
    """A source that is built to harm its reader.

    Attributes:
        kind: the kind of attack.
        data: content of the file.
        name: name of the file.
    """

    kind: str
    data: bytes
    name: str = ""

    def make(self, folder: Path) -> Path:
        """Write the file below the folder; return its path."""
        path = folder / (self.name or f"{self.kind.replace(' ', '_')}.mp4")
        path.write_bytes(self.data)
        return path


def patch_box(data: bytes, box: str, offset: int, *words: int) -> bytes:
    """The MP4 with 32-bit words overwritten in the first box of a name, from `offset` bytes into its payload on."""
    start = next(start for start, name, _ in boxes(data, 0, len(data)) if name == box.encode()) + 8 + offset
    wrong = b"".join((word & 0xFFFFFFFF).to_bytes(4) for word in words)
    return data[:start] + wrong + data[start + len(wrong) :]


def repeat_frame(data: bytes, size: int, *, times: int) -> bytes:
    """A video of one frame of `size` bytes, which its index lists `times` times; the header follows the frame."""
    words = {
        b"stts": (0, 1, times, 512),
        b"stsz": (0, size, times),
        b"stsc": (0, 1, 1, 1, 1),
    }
    data = data.replace(b"edts", b"free")  # the edit list would present only one frame
    for name, payload in words.items():
        data = _replace_box(data, name, b"".join(word.to_bytes(4) for word in payload))
    first = data.index(b"stco") + 4
    offset = data[first + 8 : first + 12]
    return _replace_box(data, b"stco", bytes(4) + times.to_bytes(4) + offset * times)


def _replace_box(data: bytes, name: bytes, payload: bytes) -> bytes:
    """The MP4 with another payload in the first box of a name; the sizes of its parent boxes are adapted."""
    found = list(boxes(data, 0, len(data)))
    start, _, end = next(box for box in found if box[1] == name)
    grown = bytearray(data)
    for outer, _, outer_end in found:
        if outer < start and end <= outer_end:
            size = int.from_bytes(grown[outer : outer + 4]) + 8 + len(payload) - (end - start)
            grown[outer : outer + 4] = size.to_bytes(4)
    return bytes(grown[:start]) + _box(name, payload) + bytes(grown[end:])


def huge_h264(side: int, *, frames: int = 8) -> bytes:
    """126 bytes of H.264 that declare pictures of `side` x `side`: empty ones, each a reference of the next."""
    blocks = side // 16
    sequence = f"{0x42:08b}{0:08b}{62:08b}" + "".join(map(_ue, (0, 0, 2, 4))) + "0" + 2 * _ue(blocks - 1) + "1100"
    picture = _ue(0) * 2 + "00" + _ue(0) * 3 + "000" + _ue(0) * 3 + "000"
    key = "".join(map(_ue, (0, 7, 0))) + f"{0:04b}" + _ue(0) + "00" + _ue(0) + "0" * 64
    units = [_unit(0x67, sequence), _unit(0x68, picture), _unit(0x65, key)]
    for number in range(1, frames):
        skipped = "".join(map(_ue, (0, 5, 0))) + f"{number % 16:04b}" + "000" + _ue(0) + _ue(blocks * blocks)
        units.append(_unit(0x41, skipped))
    return b"".join(units)


def _ue(value: int) -> str:
    """An Exp-Golomb code."""
    bits = f"{value + 1:b}"
    return "0" * (len(bits) - 1) + bits


def _unit(kind: int, bits: str) -> bytes:
    """A NAL unit, with emulation prevention bytes."""
    bits += "1"
    bits += "0" * (-len(bits) % 8)
    raw = int(bits, 2).to_bytes(len(bits) // 8)
    safe = bytearray()
    for byte in raw:
        if safe[-2:] == b"\0\0" and byte <= 3:
            safe.append(3)
        safe.append(byte)
    return b"\0\0\0\1" + bytes([kind]) + bytes(safe)


def mp4_of_tracks(number: int) -> bytes:
    """An MP4 with many tracks of eight bytes each."""
    return _box(b"ftyp", b"isom\0\0\0\0") + _box(b"moov", _box(b"trak") * number)


def mkv_of_tracks(number: int) -> bytes:
    """A Matroska file with many video tracks, and the beginning of a cluster."""
    tracks = b"".join(
        _element("ae", _element("d7", track.to_bytes(4)) + _element("83", b"\1") + _element("86", b"V_VP8"))
        for track in range(1, number + 1)
    )
    info = _element("1549a966", _element("2ad7b1", (10**6).to_bytes(4)))
    cluster = _element("1f43b675", _element("e7", b"\0") + _element("a3", b"\x81\0\0\x80" + bytes(50)))
    segment = _element("18538067", info + _element("1654ae6b", tracks) + cluster)
    return _element("1a45dfa3", _element("4282", b"webm")) + segment


def ts_of_streams(number: int) -> bytes:
    """A transport stream whose programme map lists other streams in each version: 30 of 7680 ids at a time."""
    maps: list[bytes] = []
    for version in range(256):
        streams = b"".join(
            b"\x1b" + (0xE000 | 32 + 30 * version + index).to_bytes(2) + b"\xf0\0" for index in range(30)
        )
        head = b"\0\1" + bytes([0xC1 | version % 32 << 1]) + b"\0\0\xe1\0\xf0\0"
        maps.append(_ts_packet(0x100, _section(2, head + streams)))
    programmes = _ts_packet(0, _section(0, b"\0\1\xc1\0\0\0\1\xe1\0"))
    return programmes + b"".join(maps) * (number // 30 // len(maps))


MANY_STREAMS: dict[str, Callable[[int], bytes]] = {"mp4": mp4_of_tracks, "mkv": mkv_of_tracks, "ts": ts_of_streams}


def _box(name: bytes, payload: bytes = b"") -> bytes:
    return struct.pack(">I", 8 + len(payload)) + name + payload


def _element(name: str, payload: bytes) -> bytes:
    return bytes.fromhex(name) + (1 << 56 | len(payload)).to_bytes(8) + payload


def _ts_packet(pid: int, section: bytes) -> bytes:
    return (b"\x47" + (0x4000 | pid).to_bytes(2) + b"\x10\0" + section).ljust(188, b"\xff")


def _section(table: int, body: bytes) -> bytes:
    head = bytes([table]) + (0xB000 | len(body) + 4).to_bytes(2) + body
    return head + _crc(head).to_bytes(4)


def _crc(data: bytes) -> int:
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte << 24
        for _ in range(8):
            value = (value << 1 ^ (0x04C11DB7 if value & 0x80000000 else 0)) & 0xFFFFFFFF
    return value
