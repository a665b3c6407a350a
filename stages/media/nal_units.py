"""NAL units of H.264 and HEVC: taken out of packets and headers, read bit by bit, and written again."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

START_CODE = b"\0\0\0\1"
_SHORT_START_CODE = b"\0\0\1"
_TO_ESCAPE = re.compile(b"\0\0(?=[\0-\3])")
H264_PARAMETER_SETS = frozenset({7, 8})
HEVC_PARAMETER_SETS = frozenset({32, 33, 34})


class UnreadableUnits(ValueError):
    """The bytes are no NAL units, or end inside of one."""


@dataclass(frozen=True, slots=True)
class UnitLayout:
    """How a stream keeps its NAL units, and the parameter sets of its header.

    Attributes:
        codec: h264 or hevc.
        length_bytes: of the number before each unit in a packet; 0 where start codes stand between them (Annex B).
        parameter_sets: of the header, in its order.
    """

    codec: str
    length_bytes: int
    parameter_sets: tuple[bytes, ...]

    @classmethod
    def of(cls, codec: str, header: bytes) -> Self:
        """The layout of a stream with this header, FFmpeg's extradata: avcC, hvcC or Annex B.

        Raises:
            UnreadableUnits: the header is none of them, or holds no parameter set.
        """
        if header[:1] != b"\1":
            units, length_bytes = annex_b_units(header), 0
        elif codec == "h264":
            units, length_bytes = _Boxed(header).avc(), (_at(header, 4) & 3) + 1
        else:
            units, length_bytes = _Boxed(header).hevc(), (_at(header, 21) & 3) + 1
        sets = tuple(unit for unit in units if is_parameter_set(codec, unit))
        if not sets:
            raise UnreadableUnits("A header must hold parameter sets, and this one has none.")
        return cls(codec, length_bytes, sets)

    def units(self, packet: bytes) -> list[bytes]:
        """The NAL units of a packet.

        Raises:
            UnreadableUnits: a unit is longer than the packet.
        """
        return list(_prefixed_units(packet, self.length_bytes)) if self.length_bytes else annex_b_units(packet)


def annex_b_units(data: bytes) -> list[bytes]:
    """The NAL units between start codes."""
    _, *units = data.split(_SHORT_START_CODE)
    return [stripped for unit in units if (stripped := unit.rstrip(b"\0"))]


def annex_b(units: list[bytes]) -> bytes:
    """The units with start codes before them."""
    return b"".join(START_CODE + unit for unit in units)


def unit_type(codec: str, unit: bytes) -> int:
    """The NAL unit type."""
    return unit[0] & 31 if codec == "h264" else unit[0] >> 1 & 63


def is_parameter_set(codec: str, unit: bytes) -> bool:
    """True for what holds for a video, its sequences or pictures."""
    return unit_type(codec, unit) in (H264_PARAMETER_SETS if codec == "h264" else HEVC_PARAMETER_SETS)


def unescaped(unit: bytes) -> bytes:
    """The unit without the bytes that keep it free of start codes."""
    return unit.replace(b"\0\0\3", b"\0\0")


def escaped(unit: bytes) -> bytes:
    """The inverse of `unescaped`."""
    return _TO_ESCAPE.sub(b"\0\0\3", unit)


class BitReader:
    """Reads numbers from unescaped bytes, the highest bit first.

    Raises:
        UnreadableUnits: of each method, where the bytes end before the number.
    """

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data)
        self.bits_left = 8 * len(data)

    def read(self, count: int) -> int:
        """A number of so many bits."""
        self.bits_left -= count
        if self.bits_left < 0:
            raise UnreadableUnits("The unit ends inside a number.")
        return self._value >> self.bits_left & ((1 << count) - 1)

    def ue(self) -> int:
        """A number in Exp-Golomb code."""
        zeros = 0
        while not self.read(1):
            zeros += 1
        return (1 << zeros) - 1 + self.read(zeros)

    def se(self) -> int:
        """A signed number in Exp-Golomb code."""
        number = self.ue()
        return (number + 1) // 2 if number % 2 else -(number // 2)

    def rest(self) -> int:
        """All bits that are left, as one number; they stay to be read."""
        return self._value & ((1 << self.bits_left) - 1)


def ue_bits(number: int) -> str:
    """A number in Exp-Golomb code, as zeros and ones."""
    digits = format(number + 1, "b")
    return "0" * (len(digits) - 1) + digits


def _at(data: bytes, place: int) -> int:
    if place >= len(data):
        raise UnreadableUnits("The header ends early.")
    return data[place]


def _prefixed_units(data: bytes, length_bytes: int) -> Iterator[bytes]:
    place = 0
    while place < len(data):
        start = place + length_bytes
        place = start + int.from_bytes(data[place:start])
        if start > len(data) or place > len(data):
            raise UnreadableUnits("A unit must end with its packet, and one is longer.")
        if place > start:
            yield data[start:place]


class _Boxed:
    """Reads avcC and hvcC (ISO/IEC 14496-15)."""

    def __init__(self, header: bytes) -> None:
        self._header = header
        self._place = 0

    def avc(self) -> list[bytes]:
        self._place = 5
        sequences = [self._unit() for _ in range(self._number(1) & 31)]
        return [*sequences, *(self._unit() for _ in range(self._number(1)))]

    def hevc(self) -> list[bytes]:
        self._place = 22
        units: list[bytes] = []
        for _ in range(self._number(1)):
            self._number(1)  # the type, which each unit tells too
            units += [self._unit() for _ in range(self._number(2))]
        return units

    def _number(self, count: int) -> int:
        return int.from_bytes(self._bytes(count))

    def _unit(self) -> bytes:
        return self._bytes(self._number(2))

    def _bytes(self, count: int) -> bytes:
        start, self._place = self._place, self._place + count
        if self._place > len(self._header):
            raise UnreadableUnits("The header ends early.")
        return self._header[start : self._place]
