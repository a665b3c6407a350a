"""Reads which reference slots an AV1 frame uses and fills, from the headers of its temporal unit. No decoding.

A temporal unit shows one frame; frames that later ones need may lie before it, and are shown by a later unit that names
their slot alone. Streams with a decoder model, and single pictures, are not read.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

SEQUENCE_HEADER, FRAME_HEADER, TILES, FRAME = 1, 3, 4, 6
KEY_FRAME, INTRA_ONLY_FRAME, SWITCH_FRAME = 0, 2, 3
NUM_SLOTS, NUM_REFERENCES = 8, 7
HEADER_BYTES = 40
"""More than what is read of a frame's header."""
CHOSEN_BY_FRAME = 2


class UnreadableHeader(Exception):
    """The header is damaged, or of a kind that is not read."""


class FrameHeader(NamedTuple):
    """What the header of a frame tells.

    Attributes:
        shows_slot: the slot whose frame is shown, and nothing else coded; None for a coded frame.
        is_key: it needs no other frame.
        is_shown: it is shown by its own unit.
        hint: its place in presentation order, modulo a power of two.
        fills: bits of the slots that hold it afterwards.
        needs: bits of the slots that it may be predicted from.
    """

    shows_slot: int | None
    is_key: bool
    is_shown: bool
    hint: int
    fills: int
    needs: int


class Part(NamedTuple):
    """A part (OBU) of a temporal unit: its kind, its contents, and all of its bytes."""

    kind: int
    contents: bytes
    whole: bytes


@dataclass(frozen=True, slots=True)
class Sequence:
    """What a sequence header tells of the headers of its frames.

    Attributes:
        frame_id_bits: 0 where frames have no number.
        delta_id_bits: of the number of a frame that is needed.
        hint_bits: of `FrameHeader.hint`.
        screen_content_tools: 0, 1 or `CHOSEN_BY_FRAME`.
        integer_vectors: likewise.
    """

    frame_id_bits: int
    delta_id_bits: int
    hint_bits: int
    screen_content_tools: int
    integer_vectors: int


class _Bits:
    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data)
        self._left = 8 * len(data)

    def read(self, count: int) -> int:
        self._left -= count
        if self._left < 0:
            raise UnreadableHeader
        return self._value >> self._left & ((1 << count) - 1)


def parts(data: bytes) -> Iterator[Part]:
    """The parts of a temporal unit.

    Raises:
        UnreadableHeader: a part is longer than the unit.
    """
    place = 0
    while place < len(data):
        start = place
        kind, has_extension, has_size = data[place] >> 3 & 15, data[place] >> 2 & 1, data[place] >> 1 & 1
        place += 1 + has_extension
        size = len(data) - place
        if has_size:
            size = 0
            for number in range(8):
                if place >= len(data):
                    raise UnreadableHeader
                byte = data[place]
                place += 1
                size |= (byte & 127) << 7 * number
                if byte < 128:
                    break
        if place + size > len(data):
            raise UnreadableHeader
        yield Part(kind, data[place : place + size], data[start : place + size])
        place += size


def read_sequence(data: bytes) -> Sequence:
    """The contents of a sequence header.

    Raises:
        UnreadableHeader: it is damaged, of a single picture, or has a decoder model.
    """
    bits = _Bits(data)
    bits.read(4)
    if bits.read(1):
        raise UnreadableHeader
    if bits.read(1):  # timing
        bits.read(64)
        if bits.read(1):
            raise UnreadableHeader
        if bits.read(1):
            raise UnreadableHeader
    has_display_delay = bits.read(1)
    for _ in range(bits.read(5) + 1):
        bits.read(12)
        if bits.read(5) > 7:
            bits.read(1)
        if has_display_delay and bits.read(1):
            bits.read(4)
    width_bits, height_bits = bits.read(4) + 1, bits.read(4) + 1
    bits.read(width_bits + height_bits)
    delta_id_bits = bits.read(4) + 2 if bits.read(1) else 0
    frame_id_bits = delta_id_bits + bits.read(3) + 1 if delta_id_bits else 0
    bits.read(7)
    has_hints = bits.read(1)
    if has_hints:
        bits.read(2)
    tools = CHOSEN_BY_FRAME if bits.read(1) else bits.read(1)
    vectors = CHOSEN_BY_FRAME
    if tools:
        vectors = CHOSEN_BY_FRAME if bits.read(1) else bits.read(1)
    return Sequence(frame_id_bits, delta_id_bits, bits.read(3) + 1 if has_hints else 0, tools, vectors)


def read_frame(data: bytes, sequence: Sequence) -> FrameHeader:
    """The beginning of a frame's header.

    Raises:
        UnreadableHeader: it is damaged.
    """
    bits = _Bits(data[:HEADER_BYTES])
    if bits.read(1):
        slot = bits.read(3)
        return FrameHeader(slot, False, True, 0, 0, 1 << slot)
    kind, is_shown = bits.read(2), bits.read(1)
    if not is_shown:
        bits.read(1)
    is_key, is_whole_refresh = kind == KEY_FRAME, kind == SWITCH_FRAME or (kind == KEY_FRAME and is_shown)
    is_resilient = is_whole_refresh or bits.read(1)
    bits.read(1)
    tools = bits.read(1) if sequence.screen_content_tools == CHOSEN_BY_FRAME else sequence.screen_content_tools
    if tools and sequence.integer_vectors == CHOSEN_BY_FRAME:
        bits.read(1)
    bits.read(sequence.frame_id_bits)
    if kind != SWITCH_FRAME:
        bits.read(1)
    hint = bits.read(sequence.hint_bits)
    is_intra = is_key or kind == INTRA_ONLY_FRAME
    if not (is_intra or is_resilient):
        bits.read(3)
    fills = 255 if is_whole_refresh else bits.read(8)
    needs = 0
    if not is_intra:
        if is_resilient and sequence.hint_bits:
            bits.read(NUM_SLOTS * sequence.hint_bits)
        needs = _needs(bits, sequence)
    return FrameHeader(None, is_key, bool(is_shown), hint, fills, needs)


def _needs(bits: _Bits, sequence: Sequence) -> int:
    """Bits of the slots that a frame names; all, where it names two of them alone."""
    if sequence.hint_bits and bits.read(1):
        return (1 << NUM_SLOTS) - 1
    needs = 0
    for _ in range(NUM_REFERENCES):
        needs |= 1 << bits.read(3)
        bits.read(sequence.delta_id_bits)
    return needs
