"""Tells pictures of H.264 that let go of all before them, by the types of the units of a packet."""

from collections.abc import Iterator

IDR, SLICES = 5, range(1, 6)
"""Types of a unit: a slice of a picture that no later one may look beyond; slices of any picture."""
_START_CODE = b"\0\0\1"


def unit_length_bytes(extradata: bytes) -> int:
    """Bytes of the length before each unit, by the header of the stream; 0 where start codes stand between them."""
    is_avcc = len(extradata) > 6 and extradata[0] == 1
    return (extradata[4] & 3) + 1 if is_avcc else 0


def begins_with_idr(packet: bytes, length_bytes: int) -> bool:
    """Whether the packet's first slice is of an IDR picture. Other keyframes let frames look beyond them.

    Args:
        packet: of H.264.
        length_bytes: from `unit_length_bytes`.
    """
    types = _by_length(packet, length_bytes) if length_bytes else _by_start_code(packet)
    return next((each for each in types if each in SLICES), None) == IDR


def _by_length(packet: bytes, length_bytes: int) -> Iterator[int]:
    place = 0
    while place + length_bytes < len(packet):
        size = int.from_bytes(packet[place : place + length_bytes])
        yield packet[place + length_bytes] & 31
        place += length_bytes + size


def _by_start_code(packet: bytes) -> Iterator[int]:
    place = packet.find(_START_CODE)
    while 0 <= place < len(packet) - len(_START_CODE):
        yield packet[place + len(_START_CODE)] & 31
        place = packet.find(_START_CODE, place + 1)
