"""Gives the parameter sets of an encoded HEVC stream other ids, so that it can stand in one file with another stream.

The id that a slice names stands near its beginning. Written with eight bits more it moves all that follows by one byte,
and nothing else of the slice changes, neither its alignment nor the coded symbols:

    first_slice | no_output_of_prior_pics (IRAP) | pps id         | rest of the header, aligned | data
        1       |              0                 | 1              | ...
        1       |              0                 | 0000 1 0000    | ...                           one byte later
"""

from dataclasses import dataclass

from stages.media.nal_units import BitReader, UnreadableUnits, escaped, ue_bits, unescaped, unit_type

VPS, SPS, PPS = 32, 33, 34
_SLICES = range(32)
_RANDOM_ACCESS = range(16, 24)
_UNIT_HEADER_BYTES = 2
_PROFILE_BITS, _LEVEL_BITS = 88, 8
_LONGER_IDS = range(15, 31)
"""Ids of nine bits, eight more than id 0 has."""


@dataclass(frozen=True, slots=True)
class HevcIds:
    """Ids of parameter sets of a video, a sequence and pictures."""

    video: int
    sequence: int
    pictures: int

    @classmethod
    def beside(cls, taken: list[bytes] | tuple[bytes, ...]) -> "HevcIds":
        """Ids that none of these parameter sets has.

        Raises:
            UnreadableUnits: none is free, or a set cannot be read.
        """
        used: dict[int, set[int]] = {VPS: set(), SPS: set(), PPS: set()}
        for unit in taken:
            used[unit_type("hevc", unit)].add(_id_of(unit))
        ranges = {VPS: range(15, -1, -1), SPS: range(15, -1, -1), PPS: _LONGER_IDS}
        free = [next((each for each in ranges[kind] if each not in used[kind]), None) for kind in (VPS, SPS, PPS)]
        if None in free:
            raise UnreadableUnits("Of the ids of parameter sets one must be free, and all are taken.")
        return cls(*(each for each in free if each is not None))


def renumbered(unit: bytes, ids: HevcIds) -> bytes:
    """A unit of a stream whose parameter sets have the ids 0, with other ids.

    Raises:
        UnreadableUnits: it names another id than 0, or is not as expected.
    """
    kind = unit_type("hevc", unit)
    if kind == VPS:
        return unit[:2] + bytes([unit[2] & 15 | ids.video << 4]) + unit[3:]
    if kind == SPS:
        return _renumbered_sequence(unit, ids)
    if kind == PPS:
        plain, bits = unescaped(unit), BitReader(unescaped(unit)[_UNIT_HEADER_BYTES:])
        _expect_zero(bits.ue(), bits.ue())
        return _joined(plain[:_UNIT_HEADER_BYTES], ue_bits(ids.pictures) + ue_bits(ids.sequence), bits)
    return _renumbered_slice(unit, kind, ids) if kind in _SLICES else unit


def _renumbered_sequence(unit: bytes, ids: HevcIds) -> bytes:
    plain = unescaped(unit)
    start = _UNIT_HEADER_BYTES + 1
    layers = plain[_UNIT_HEADER_BYTES] >> 1 & 7
    profile_end = start + (_PROFILE_BITS + _LEVEL_BITS) // 8
    bits = BitReader(plain[profile_end:])
    _expect_zero(layers, plain[_UNIT_HEADER_BYTES] >> 4, bits.ue())
    first = bytes([plain[_UNIT_HEADER_BYTES] & 15 | ids.video << 4])
    return _joined(plain[:_UNIT_HEADER_BYTES] + first + plain[start:profile_end], ue_bits(ids.sequence), bits)


def _renumbered_slice(unit: bytes, kind: int, ids: HevcIds) -> bytes:
    plain = unescaped(unit)
    num_flags = 2 if kind in _RANDOM_ACCESS else 1
    first = plain[_UNIT_HEADER_BYTES]
    flags, after = first >> (8 - num_flags), first & ((1 << (7 - num_flags)) - 1)
    _expect_zero(1 - (first >> (7 - num_flags) & 1))
    written = format(flags, f"0{num_flags}b") + ue_bits(ids.pictures) + format(after, f"0{7 - num_flags}b")
    return escaped(plain[:_UNIT_HEADER_BYTES] + int(written, 2).to_bytes(2) + plain[_UNIT_HEADER_BYTES + 1 :])


def _joined(before: bytes, bits: str, rest: BitReader) -> bytes:
    """Bytes, bits and the rest of a parameter set, aligned anew behind its last bit, which is one."""
    left = format(rest.rest(), f"0{rest.bits_left}b").rstrip("0")
    whole = bits + left
    whole += "0" * (-len(whole) % 8)
    return escaped(before + int(whole, 2).to_bytes(len(whole) // 8))


def _expect_zero(*numbers: int) -> None:
    if any(numbers):
        raise UnreadableUnits("Parameter sets of the encoder must have the id 0 and one layer.")


def _id_of(unit: bytes) -> int:
    bits, kind = BitReader(unescaped(unit)[_UNIT_HEADER_BYTES:]), unit_type("hevc", unit)
    if kind == VPS:
        return bits.read(4)
    if kind == SPS:
        _skip_profile(bits)
    return bits.ue()


def _skip_profile(bits: BitReader) -> int:
    """Skip what comes before the id of a sequence parameter set; the number of its sub-layers, less one."""
    bits.read(4)
    layers = bits.read(3)
    bits.read(1)
    bits.read(_PROFILE_BITS + _LEVEL_BITS)
    told = [(bits.read(1), bits.read(1)) for _ in range(layers)]
    bits.read(2 * (8 - layers) if layers else 0)
    for has_profile, has_level in told:
        bits.read(has_profile * _PROFILE_BITS + has_level * _LEVEL_BITS)
    return layers


def num_reordered(unit: bytes) -> int:
    """By a sequence parameter set: frames that precede another in the stream and follow it on the screen, at most.

    Raises:
        UnreadableUnits: it ends early.
    """
    bits = BitReader(unescaped(unit)[_UNIT_HEADER_BYTES:])
    layers = _skip_profile(bits)
    bits.ue()  # id
    if bits.ue() == 3:
        bits.read(1)  # separate planes
    bits.ue(), bits.ue()  # width, height
    if bits.read(1):  # what is cropped
        for _ in range(4):
            bits.ue()
    bits.ue(), bits.ue(), bits.ue()  # depths, log2_max_pic_order_cnt_lsb_minus4
    highest = 0
    for _ in range(layers + 1 if bits.read(1) else 1):
        bits.ue()  # sps_max_dec_pic_buffering_minus1
        highest = bits.ue()
        bits.ue()  # sps_max_latency_increase_plus1
    return highest
