"""Damaged copies of videos. A copy is reproducible, byte for byte, from the file, the kind of damage and a seed."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

HEAD_BYTES = 4096
"""Number of bytes at the beginning of a file that are taken as the header of a format without boxes."""
MAX_BLOCK_BYTES = 1 << 16

MP4_PARENTS = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"dinf", b"mvex", b"moof", b"traf", b"udta"}
EBML_PARENTS = {
    b"\x18\x53\x80\x67": "segment",
    b"\x16\x54\xae\x6b": "tracks",
    b"\xae": "track",
    b"\xe0": "video",
    b"\xe1": "audio",
    b"\x1f\x43\xb6\x75": "cluster",
    b"\xa0": "block group",
    b"\x1c\x53\xbb\x6b": "cues",
    b"\xbb": "cue point",
    b"\xb7": "cue positions",
    b"\x11\x4d\x9b\x74": "seek head",
}
EBML_HEADER = b"\x1a\x45\xdf\xa3"


class LengthField(NamedTuple):
    """A length field of a container.

    Attributes:
        offset: position of its first byte.
        width: size of the field in bytes.
        marker: bits of the first byte that encode the width itself (EBML); they are not changed.
    """

    offset: int
    width: int
    marker: int = 0


@dataclass(frozen=True, slots=True)
class DamagedCopy:
    """One damaged copy.

    Attributes:
        source: the undamaged file.
        kind: kind of damage, one of `KINDS`.
        seed: seed of the random damage.
    """

    source: Path
    kind: str
    seed: int

    @property
    def name(self) -> str:
        """File name made of the attributes, with the suffix of the source."""
        return f"{self.source.stem}.{self.kind}.{self.seed}{self.source.suffix}"

    def make(self, folder: Path) -> Path:
        """Write the copy below the folder; return its path."""
        path = folder / self.name
        path.write_bytes(damaged(self.source.read_bytes(), self.kind, f"{self.source.name}/{self.kind}/{self.seed}"))
        return path


def damaged(data: bytes, kind: str, seed: str) -> bytes:
    """The bytes with one kind of damage, equal for equal seeds; empty data stays empty."""
    return KINDS[kind](bytearray(data), random.Random(seed)) if data else b""


def _flip(data: bytearray, rng: random.Random) -> bytes:
    """Flip 1 to 200 bits anywhere."""
    for _ in range(round(2 ** rng.uniform(0, 7.6))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def _flip_header(data: bytearray, rng: random.Random) -> bytes:
    """Flip 1 to 16 bits of the header, which describes the streams."""
    positions = header_positions(bytes(data))
    for _ in range(round(2 ** rng.uniform(0, 4))):
        data[rng.choice(positions)] ^= 1 << rng.randrange(8)
    return bytes(data)


def _truncate(data: bytearray, rng: random.Random) -> bytes:
    """Remove the end."""
    return bytes(data[: rng.randrange(len(data))])


def _swap(data: bytearray, rng: random.Random) -> bytes:
    """Swap two blocks."""
    size = rng.randint(1, max(1, min(MAX_BLOCK_BYTES, len(data) // 4)))
    one, other = (rng.randrange(max(1, len(data) - size)) for _ in range(2))
    data[one : one + size], data[other : other + size] = data[other : other + size], data[one : one + size]
    return bytes(data)


def _overwrite_lengths(data: bytearray, rng: random.Random) -> bytes:
    """Overwrite 1 to 4 length fields of boxes, elements or packets."""
    fields = list(length_fields(bytes(data)))
    for field in rng.sample(fields, min(len(fields), rng.randint(1, 4))):
        bits = (7 if field.marker else 8) * field.width
        old = int.from_bytes(data[field.offset : field.offset + field.width]) & ((1 << bits) - 1)
        most = (1 << bits) - 1
        wrong = [0, 1, 7, 8, old - 1, old + 1, old // 2, old * 2, most, most // 2 + 1, rng.getrandbits(bits)]
        new = field.marker << 8 * (field.width - 1) | rng.choice(wrong) & most
        data[field.offset : field.offset + field.width] = new.to_bytes(field.width)
    return bytes(data)


KINDS: dict[str, Callable[[bytearray, random.Random], bytes]] = {
    "flip": _flip,
    "header": _flip_header,
    "cut": _truncate,
    "swap": _swap,
    "lengths": _overwrite_lengths,
}


def length_fields(data: bytes) -> Iterator[LengthField]:
    """Every length field of the container, as far as its parts nest properly."""
    if data.startswith(EBML_HEADER):
        return _element_length_fields(data, 0, len(data))
    if data[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"wide", b"skip"):
        return (LengthField(offset, 4) for offset, _, _ in boxes(data, 0, len(data)))
    return _packet_length_fields(data)


def boxes(data: bytes, start: int, end: int) -> Iterator[tuple[int, bytes, int]]:
    """Offset, name and end of each MP4 box, parents before children."""
    while start + 8 <= end:
        size, name = int.from_bytes(data[start : start + 4]), data[start + 4 : start + 8]
        head = 8
        if size == 1:
            size, head = int.from_bytes(data[start + 8 : start + 16]), 16
        size = size or end - start
        if size < head:
            return
        yield start, name, min(start + size, end)
        if name in MP4_PARENTS:
            yield from boxes(data, start + head, min(start + size, end))
        elif name == b"stsd":  # descriptions, each a box
            yield from boxes(data, start + 16, min(start + size, end))
        start += size


def _element_length_fields(data: bytes, start: int, end: int) -> Iterator[LengthField]:
    while start + 2 <= end and data[start]:
        id_end = start + 9 - data[start].bit_length()
        if id_end >= end or not data[id_end]:
            return
        width = 9 - data[id_end].bit_length()
        marker = 1 << 8 - width
        size = int.from_bytes(data[id_end : id_end + width]) - (marker << 8 * (width - 1))
        yield LengthField(id_end, width, marker)
        inside = id_end + width
        size = end - inside if size == (1 << 7 * width) - 1 else size
        if data[start:id_end] in EBML_PARENTS:
            yield from _element_length_fields(data, inside, min(inside + size, end))
        start = inside + size


def _packet_length_fields(data: bytes) -> Iterator[LengthField]:
    """Length fields of the packets of an MPEG program stream: two bytes after a start code."""
    start = data.find(b"\0\0\1")
    while 0 <= start < len(data) - 6:
        if data[start + 3] >= 0xBB:
            yield LengthField(start + 4, 2)
        start = data.find(b"\0\0\1", start + 3)


def header_positions(data: bytes) -> range:
    """Byte positions of the description of the streams: the movie box, else the beginning of the file."""
    if data[4:8] == b"ftyp":
        for start, name, end in boxes(data, 0, len(data)):
            if name == b"moov":
                return range(start, end)
    return range(min(len(data), HEAD_BYTES))
