"""What the sequence parameter set of H.264 tells of a stream (ITU-T H.264, 7.3.2.1.1 and annex E)."""

from dataclasses import dataclass

from stages.media.nal_units import BitReader, UnreadableUnits, unescaped

_WITH_CHROMA_FORMAT = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})
_OWN_ASPECT = 255


@dataclass(frozen=True, slots=True)
class H264Sequence:
    """A sequence parameter set.

    Attributes:
        profile: profile_idc.
        level: level_idc.
        set_id: by which pictures name it.
        has_fields: pictures may be coded as fields.
        num_reordered: pictures that precede another one in the stream and follow it on the screen, at most; None where
            it does not tell.
    """

    profile: int
    level: int
    set_id: int
    has_fields: bool
    num_reordered: int | None


def read_h264_sequence(unit: bytes) -> H264Sequence:
    """Read a sequence parameter set.

    Raises:
        UnreadableUnits: it ends early.
    """
    bits = BitReader(unescaped(unit)[1:])
    profile, _, level, set_id = bits.read(8), bits.read(8), bits.read(8), bits.ue()
    if profile in _WITH_CHROMA_FORMAT:
        _skip_chroma_format(bits)
    bits.ue()  # log2_max_frame_num_minus4
    _skip_picture_order(bits)
    bits.ue(), bits.read(1)  # references, gaps
    bits.ue(), bits.ue()  # width and height in macroblocks
    has_fields = not bits.read(1)
    bits.read(2 if has_fields else 1)  # mb_adaptive_frame_field_flag, direct_8x8_inference_flag
    if bits.read(1):  # cropping
        for _ in range(4):
            bits.ue()
    num_reordered = _read_reordering(bits) if bits.read(1) else None
    return H264Sequence(profile, level, set_id, has_fields, num_reordered)


def h264_picture_set_id(unit: bytes) -> int:
    """By which id slices name a picture parameter set."""
    return BitReader(unescaped(unit)[1:]).ue()


def _skip_chroma_format(bits: BitReader) -> None:
    chroma_format = bits.ue()
    if chroma_format == 3:
        bits.read(1)
    bits.ue(), bits.ue(), bits.read(1)  # depths, bypass
    if bits.read(1):
        for index in range(8 if chroma_format != 3 else 12):
            if bits.read(1):
                _skip_scaling_list(bits, 16 if index < 6 else 64)


def _skip_scaling_list(bits: BitReader, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.se()) % 256
        last = following or last


def _skip_picture_order(bits: BitReader) -> None:
    kind = bits.ue()
    if kind == 0:
        bits.ue()
    elif kind == 1:
        bits.read(1), bits.se(), bits.se()
        for _ in range(bits.ue()):
            bits.se()
    elif kind > 2:
        raise UnreadableUnits(f"pic_order_cnt_type must be 0 to 2, got {kind}.")


def _read_reordering(bits: BitReader) -> int | None:
    """max_num_reorder_frames of the VUI."""
    if bits.read(1) and bits.read(8) == _OWN_ASPECT:
        bits.read(32)
    if bits.read(1):  # overscan
        bits.read(1)
    if bits.read(1):  # video signal type
        bits.read(4)
        if bits.read(1):
            bits.read(24)
    if bits.read(1):  # chroma location
        bits.ue(), bits.ue()
    if bits.read(1):  # timing
        bits.read(65)
    has_rates = [_skip_rates(bits) if bits.read(1) else False for _ in range(2)]
    if any(has_rates):
        bits.read(1)
    bits.read(1)  # pic_struct
    if not bits.read(1):
        return None
    bits.read(1)
    for _ in range(4):
        bits.ue()
    return bits.ue()


def _skip_rates(bits: BitReader) -> bool:
    """Skip hrd_parameters()."""
    count = bits.ue() + 1
    bits.read(8)
    for _ in range(count):
        bits.ue(), bits.ue(), bits.read(1)
    bits.read(20)
    return True
