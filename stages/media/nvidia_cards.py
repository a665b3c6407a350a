"""What the decoders and encoders of NVIDIA's cards take, by the generation of the card. Light to import.

Decoders: table "NVDEC Hardware Capabilities" of NVIDIA's NVDEC Application Note, Video Codec SDK 13.0. Sizes, VP9 of 10
bit, the cards without an encoder, and which cards have which compute capability are from memory. The table saves
tries that must fail; a decoder is used where its first pictures are those of FFmpeg's, whatever stands here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Chroma = Literal["420", "422", "444"]
Kinds = frozenset[tuple[int, Chroma]]
"""Bit depths with subsampling."""


@dataclass(frozen=True, slots=True)
class Card:
    """A GPU of this machine.

    Attributes:
        name: as the driver tells it.
        capability: its compute capability, such as (9, 0).
    """

    name: str
    capability: tuple[int, int]


@dataclass(frozen=True, slots=True)
class PictureKind:
    """What a decoder must be able to make.

    Attributes:
        codec: FFmpeg's canonical name.
        bit_depth: of luma.
        chroma: subsampling.
        width: coded, in pixels.
        height: coded, in pixels.
    """

    codec: str
    bit_depth: int
    chroma: Chroma
    width: int
    height: int

    def __str__(self) -> str:
        digits = ":".join(self.chroma)
        return f"{self.codec} of {self.bit_depth} bit, {digits}, {self.width}x{self.height}"


@dataclass(frozen=True, slots=True)
class Generation:
    """Cards with the same decoders.

    Attributes:
        name: as NVIDIA calls it.
        decodes: by codec, the kinds of pictures as bit depth and chroma.
        encodes: codecs that it encodes; none where the cards have no encoder.
    """

    name: str
    decodes: Mapping[str, Kinds]
    encodes: frozenset[str] = frozenset()


def _kinds(chroma: Chroma, *bit_depths: int) -> Kinds:
    return frozenset((bits, chroma) for bits in bit_depths)


_PLAIN, _TEN, _TWELVE = _kinds("420", 8), _kinds("420", 8, 10), _kinds("420", 8, 10, 12)
_HEVC_444 = _TWELVE | _kinds("444", 8, 10, 12)
_H264_HIGH = _TEN | _kinds("422", 8, 10)
_HEVC_422 = _HEVC_444 | _kinds("422", 8, 10, 12)
_OLD: dict[str, Kinds] = dict.fromkeys(("mpeg1video", "mpeg2video", "mpeg4", "vc1", "wmv3", "h264"), _PLAIN)

_PASCAL = {**_OLD, "vp8": _PLAIN, "hevc": _TWELVE, "vp9": _TWELVE}
_TURING = {**_PASCAL, "hevc": _HEVC_444}
_AMPERE = {**_TURING, "av1": _TEN}
_BLACKWELL = {**_AMPERE, "h264": _H264_HIGH, "hevc": _HEVC_422}

GENERATIONS: Mapping[tuple[int, int], Generation] = {
    (5, 0): Generation("Maxwell", _OLD, frozenset(["h264"])),
    (5, 2): Generation("Maxwell, second", {**_OLD, "vp8": _PLAIN, "hevc": _TEN, "vp9": _PLAIN}, frozenset(["h264"])),
    (6, 0): Generation("Pascal, P100", _PASCAL, frozenset(["h264", "hevc"])),
    (6, 1): Generation("Pascal", _PASCAL, frozenset(["h264", "hevc"])),
    (7, 0): Generation("Volta", _PASCAL, frozenset(["h264", "hevc"])),
    (7, 5): Generation("Turing", _TURING, frozenset(["h264", "hevc"])),
    (8, 0): Generation("Ampere GA100", _TURING),
    (8, 6): Generation("Ampere", _AMPERE, frozenset(["h264", "hevc"])),
    (8, 9): Generation("Ada", _AMPERE, frozenset(["h264", "hevc", "av1"])),
    (9, 0): Generation("Hopper", _TURING),
    (10, 0): Generation("Blackwell, data centre", _BLACKWELL),
    (10, 3): Generation("Blackwell, data centre", _BLACKWELL),
    (12, 0): Generation("Blackwell", _BLACKWELL, frozenset(["h264", "hevc", "av1"])),
}
"""By compute capability."""

MAX_PX = {"h264": 4096, "hevc": 8192, "vp9": 8192, "av1": 8192, "vp8": 4096, "mpeg1video": 4080, "mpeg2video": 4080}
"""Longest side by codec; Blackwell takes H.264 up to 8192."""
MAX_PX_OTHER = 2048
MIN_PX = 64
"""Smaller pictures are no work for a decoder of hardware, which asks for some tens of pixels by codec."""


def why_not_decoded(card: Card, kind: PictureKind) -> str | None:
    """Why the decoder of a card cannot take such pictures; None where it can, or where the card is not known."""
    generation = GENERATIONS.get(card.capability)
    if min(kind.width, kind.height) < MIN_PX:
        return f"NVDEC is not used below {MIN_PX} pixels, got {kind}"
    if generation is None:
        return None
    if (kind.bit_depth, kind.chroma) not in generation.decodes.get(kind.codec, frozenset()):
        return f"the decoder of {card.name} ({generation.name}) takes no {kind}"
    is_large_h264 = kind.codec == "h264" and generation.decodes is _BLACKWELL
    longest = 8192 if is_large_h264 else MAX_PX.get(kind.codec, MAX_PX_OTHER)
    if max(kind.width, kind.height) > longest:
        return f"the decoder of {card.name} ({generation.name}) takes {kind.codec} up to {longest} pixels, got {kind}"
    return None


def why_not_encoded(card: Card, codec: str) -> str | None:
    """Why a card cannot encode a codec; None where it can, or where the card is not known."""
    generation = GENERATIONS.get(card.capability)
    if generation is None or codec in generation.encodes:
        return None
    if not generation.encodes:
        return f"{card.name} ({generation.name}) has no encoder; L4, L40S and RTX cards have"
    return f"the encoder of {card.name} ({generation.name}) makes {', '.join(sorted(generation.encodes))}, no {codec}"


def card_of(device: str) -> Card | None:
    """The GPU of a device of torch, ``cuda:0``; None for a CPU, and where there is none."""
    if not device.startswith("cuda"):
        return None
    import torch  # takes seconds, which workers without a GPU need not wait

    if not torch.cuda.is_available():
        return None
    major, minor = torch.cuda.get_device_capability(device)
    return Card(torch.cuda.get_device_name(device), (major, minor))
