"""Tells whether the data of an HEVC picture end where its symbols do.

The symbols of a slice are coded as one number. Behind a damaged byte they are read as others to the end of the slice,
so that the decoder stops before the data end, or reads on behind them. FFmpeg's shows such a picture without a word.
Which bytes it has read can be told from the outside: those on which the picture depends.

    data of a slice     |-------------------------|
    symbols, whole      |------------------------|     the last bytes count, and none behind them
    symbols, astray     |-------------|                the last bytes do not count
    symbols, astray     |-------------------------|-   bytes put behind them count

Each picture is decoded alone, since symbols are read without other pictures; those that it is predicted from are grey.
"""

import random
from collections.abc import Iterator
from typing import cast

import av
from av.codec import Codec
from av.codec.context import Flags
from av.error import FFmpegError
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext

from stages.media.container import MAX_PIXELS
from stages.media.decoders import same_picture

SLICE_TYPES = range(32)
HEADER_TYPES = range(32, 35)
"""NAL unit types of HEVC: slices of pictures; what holds for the video, its sequences and pictures."""
MAX_SLICES = 8
TAIL_BYTES = 24
"""So many last bytes of a slice are changed. Of 564 whole pictures of low bit rate, 7 did not depend on the last 12
bytes, 2 on 16, none on 24."""
CABAC_ZERO_WORD = b"\0\0\3"
"""What an encoder may put behind a slice to fill it up."""
_START_CODE = b"\0\0\1"
# No zeros, which would need to be escaped.
_NOISE = [bytes(random.Random(seed).choices(range(4, 256), k=2 * TAIL_BYTES)) for seed in range(2)]


class SliceEnds:
    """Tries packets of one stream. It decodes each several times.

    Args:
        context: the stream's own, with its headers.

    Attributes:
        num_decoded: pictures that were decoded so far.
    """

    def __init__(self, context: VideoCodecContext) -> None:
        self._extradata = context.extradata or b""
        is_hvcc = len(self._extradata) > 22 and self._extradata[0] == 1
        self._length_bytes = (self._extradata[21] & 3) + 1 if is_hvcc else 0
        self._headers: list[bytes] = []
        self.num_decoded = 0

    def take_headers(self, data: bytes) -> None:
        """Take the headers that stand in a packet: they hold for those after it."""
        headers = [unit for unit in self._units(data) if _type_of(unit) in HEADER_TYPES]
        self._headers = headers or self._headers

    def are_wrong(self, data: bytes) -> bool | None:
        """Whether a slice of the packet ends elsewhere than its data; None where that cannot be told."""
        units = [unit for unit in self._units(data) if unit and not _layer_of(unit)]
        slices = [number for number, unit in enumerate(units) if _type_of(unit) in SLICE_TYPES]
        if not 0 < len(slices) <= MAX_SLICES:
            return None
        units = [_without_filling(unit) if number in slices else unit for number, unit in enumerate(units)]
        shown = self._decode(units)
        if shown is None:
            return None
        behind = self._decode([unit + _NOISE[0] if number in slices else unit for number, unit in enumerate(units)])
        if behind is None or not same_picture(shown, behind):
            return True
        return any(self._is_tail_unread(units, number, shown) for number in slices)

    def _is_tail_unread(self, units: list[bytes], number: int, shown: av.VideoFrame) -> bool:
        """True where other bytes at the end of one slice make the same picture."""
        for noise in _NOISE:
            changed = units.copy()
            changed[number] = units[number][:-TAIL_BYTES] + noise[: min(TAIL_BYTES, len(units[number]))]
            picture = self._decode(changed)
            if picture is None or not same_picture(shown, picture):
                return False
        return True

    def _decode(self, units: list[bytes]) -> av.VideoFrame | None:
        """The picture of these NAL units, decoded alone; None where the decoder refuses them."""
        self.num_decoded += 1
        context = cast(VideoCodecContext, Codec("hevc", "r").create())  # a used one holds motion of other pictures
        context.thread_count, context.thread_type = 1, "NONE"
        context.flags |= Flags.output_corrupt | Flags.unaligned
        # Filters at block edges, a quarter of the time, depend on the same symbols.
        context.options = {"max_pixels": str(MAX_PIXELS), "skip_loop_filter": "all"}
        context.extradata = self._extradata or None
        packet = Packet(b"".join(self._framed(unit) for unit in [*self._headers, *units]))
        packet.pts = packet.dts = 0
        try:
            frames = [*context.decode(packet), *context.decode(None)]
        except FFmpegError:
            return None
        return frames[-1] if frames else None

    def _framed(self, unit: bytes) -> bytes:
        return (len(unit).to_bytes(self._length_bytes, "big") if self._length_bytes else _START_CODE) + unit

    def _units(self, data: bytes) -> Iterator[bytes]:
        """The NAL units of a packet."""
        if not self._length_bytes:
            _, *found = data.split(_START_CODE)
            yield from (unit.rstrip(b"\0") for unit in found)
            return
        place = 0
        while place + self._length_bytes < len(data):
            start = place + self._length_bytes
            place = start + int.from_bytes(data[place:start], "big")
            yield data[start:place]


def _type_of(unit: bytes) -> int:
    return unit[0] >> 1 & 63 if unit else -1


def _layer_of(unit: bytes) -> int:
    """0 for the pictures that are shown; others are of another eye, or finer."""
    return (unit[0] & 1) << 5 | unit[1] >> 3 if len(unit) > 1 else 0


def _without_filling(unit: bytes) -> bytes:
    while (shorter := unit.rstrip(b"\0").removesuffix(CABAC_ZERO_WORD)) != unit:
        unit = shorter
    return unit
