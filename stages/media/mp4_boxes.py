"""Reads the boxes that an MP4 file consists of."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from stages.media.header_file import File

MAX_BOXES = 10_000
"""In one box; a damaged header may claim any number."""
MAX_EDITS = 10_000
_HEADER_BYTES = 24
"""Of ``mvhd`` and ``tkhd``, up to the time scale and the id."""

Place = tuple[int, int]
"""Where the contents of a box begin and end, in bytes."""


@dataclass(frozen=True, slots=True)
class Track:
    """A track of an MP4.

    Attributes:
        trak: contents of its box.
        edited_s: seconds from the start of the film to the end of its edit list; None where it has none.
    """

    trak: Place
    edited_s: Fraction | None


def track_of(file: File, end: int, track_id: int) -> Track | None:
    """The track with this id; None where there is none.

    Raises:
        struct.error, IndexError: the header is damaged.
    """
    for moov in boxes(file, 0, end, b"moov"):
        for trak in boxes(file, *moov, b"trak"):
            if _number(file, trak, b"tkhd") == track_id:
                scale = _number(file, moov, b"mvhd")
                edited = _edited(file, trak) if scale else None
                return Track(trak, Fraction(edited, scale) if edited and scale else None)
    return None


def _number(file: File, parent: Place, name: bytes) -> int | None:
    """What follows the times of a header: the time scale of the film, or the id of a track."""
    for start, _ in boxes(file, *parent, name):
        file.seek(start)
        header = file.read(_HEADER_BYTES)
        return int(struct.unpack_from(">I", header, 20 if header[0] else 12)[0])
    return None


def _edited(file: File, trak: Place) -> int | None:
    """The sum of the lengths of an edit list, pauses as well, in units of the film."""
    for edts in boxes(file, *trak, b"edts"):
        for start, end in boxes(file, *edts, b"elst"):
            file.seek(start)
            data = file.read(min(end - start, 8 + 20 * MAX_EDITS))
            entry = ">Q12x" if data[0] else ">I8x"
            (count,) = struct.unpack_from(">I", data, 4)
            size = struct.calcsize(entry)
            edits = [struct.unpack_from(entry, data, 8 + size * number)[0] for number in range(min(count, MAX_EDITS))]
            return sum(edits)
    return None


def boxes(file: File, start: int, end: int, name: bytes | None = None) -> Iterator[Place]:
    """Where the contents of each box of this name, or of any, begin and end; of the first only for no name."""
    for _ in range(MAX_BOXES):
        if start + 8 > end:
            return
        file.seek(start)
        header = file.read(16)
        size, found = struct.unpack_from(">I4s", header)
        body = 8
        if size == 1:
            size, body = struct.unpack_from(">Q", header, 8)[0], 16
        elif size == 0:
            size = end - start
        if size < body:
            return
        if name is None or found == name:
            yield start + body, min(start + size, end)
        if name is None:
            return
        start += size
