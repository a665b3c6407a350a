"""Decoders of a video stream: FFmpeg's in software, and NVDEC, the decoder of NVIDIA's GPUs.

A stream begins with the software decoder. Where another is asked for, both get its first packets, and the other one
goes on where its first frames are the same in every pixel and in all that they say of themselves. So pictures do not
depend on the decoder: H.264, HEVC, VP9 and AV1 tell each pixel exactly. Of a damaged stream they do: there NVDEC gives
up.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol, cast

import av
import numpy as np
from av.codec import Codec, CodecContext
from av.codec.hwaccel import HWAccel
from av.error import DecoderNotFoundError, FFmpegError
from av.packet import Packet
from av.sidedata.sidedata import SideDataContainer
from av.video.codeccontext import VideoCodecContext
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from stages.errors import CurationError, ParamsError
from stages.media.container import MAX_PIXELS
from stages.media.nvidia_cards import Card, Chroma, PictureKind, card_of, why_not_decoded

DecoderName = Literal["software", "nvdec"]
Asked = Literal["software", "auto", "nvdec"]

_LOST_IN_LAYOUT = "Type.PANSCAN"
"""Side data that PyAV drops when a frame's layout changes; nobody reads it."""

OpenHardware = Callable[[VideoCodecContext], VideoCodecContext]
"""Makes the context of a hardware decoder for the stream of a software decoder's context. Raises FFmpegError."""


class HardwareDecoderFailed(CurationError):
    """The hardware decoder gives up a stream in its midst. The software decoder must begin anew."""


class VideoDecoder(Protocol):
    """Decodes the packets of one stream, in file order."""

    name: DecoderName
    context: VideoCodecContext

    def decode(self, packet: Packet | None) -> list[av.VideoFrame]:
        """The frames that a packet releases; of None, those that are left."""
        ...


class SoftwareDecoder:
    """FFmpeg's decoder on CPUs."""

    name: DecoderName = "software"

    def __init__(self, context: VideoCodecContext) -> None:
        self.context = context

    def decode(self, packet: Packet | None) -> list[av.VideoFrame]:
        """See `VideoDecoder`."""
        return self.context.decode(packet)


class HardwareDecoder:
    """A decoder whose frames come in another memory layout, such as NV12; they are laid out as the software's are.

    Args:
        context: of the hardware decoder, not open.
        pixel_format: of the frames of the software decoder.
    """

    name: DecoderName = "nvdec"

    def __init__(self, context: VideoCodecContext, pixel_format: str) -> None:
        self.context = context
        self._pixel_format = pixel_format
        self._reformatter = VideoReformatter()

    def decode(self, packet: Packet | None) -> list[av.VideoFrame]:
        """See `VideoDecoder`.

        Raises:
            HardwareDecoderFailed: the pictures become of another kind in the midst of the stream.
        """
        return [self._laid_out(frame) for frame in self.context.decode(packet)]

    def _laid_out(self, frame: av.VideoFrame) -> av.VideoFrame:
        if frame.format.name == self._pixel_format:
            return frame
        kinds = [_depth_and_chroma(each) for each in (frame.format, av.VideoFormat(self._pixel_format))]
        if len({(bits > 8, chroma) for bits, chroma in kinds}) > 1:  # 10 bit come in words of 16
            raise HardwareDecoderFailed(f"its pictures become {frame.format.name} in the place of {self._pixel_format}")
        return self._reformatter.reformat(frame, format=self._pixel_format, threads=1)


@dataclass
class DecoderChoice:
    """Which decoder a stream is to have, and afterwards, which it had.

    Attributes:
        asked: see ``split.decoder``.
        open_hardware: for the one that is asked for; None where there is none.
        card: whose decoder it is; None where it is not known.
        name: the decoder that gave the frames; known after the first frame.
        note: why it is not the one that was asked for; None where it is.
    """

    asked: Asked = "software"
    open_hardware: OpenHardware | None = None
    card: Card | None = None
    name: DecoderName = "software"
    note: str | None = None

    def hardware(self, own: VideoCodecContext, frame: av.VideoFrame) -> HardwareDecoder | None:
        """The hardware decoder for a stream with such frames; None, with a note, where it cannot take them."""
        if self.open_hardware is None:
            return None
        bit_depth, chroma = _depth_and_chroma(frame.format)
        if chroma is None:
            self.note = f"NVDEC takes no {frame.format.name}"
            return None
        kind = PictureKind(own.codec.canonical_name, bit_depth, chroma, frame.width, frame.height)
        self.note = why_not_decoded(self.card, kind) if self.card is not None else None
        if self.note:
            return None
        try:
            return HardwareDecoder(self.open_hardware(own), frame.format.name)
        except FFmpegError as error:
            self.note = f"NVDEC cannot be opened for {kind}: {error.strerror or error}"
        return None


def choose_decoder(asked: Asked, device: str) -> Callable[[], DecoderChoice]:
    """Makes the choice of each stream, in a worker on this device.

    Raises:
        ParamsError: ``nvdec`` is asked for, and there is none.
    """
    card = card_of(device) if asked != "software" else None
    if card is None:
        if asked == "nvdec":
            raise ParamsError(
                f"split.decoder=nvdec requires an NVIDIA GPU in each worker of split, got the device {device!r}, where "
                "torch finds none. Give split a GPU by split.gpu_memory_gb, or set split.decoder to software.",
                "split.decoder",
            )
        return DecoderChoice if asked == "software" else lambda: DecoderChoice("auto")
    return lambda: DecoderChoice(asked, lambda own: open_nvdec(own, device), card)


def software_instead(note: str) -> DecoderChoice:
    """The choice for a stream that a hardware decoder gave up."""
    return DecoderChoice(note=note)


def open_nvdec(own: VideoCodecContext, device: str) -> VideoCodecContext:
    """A context of FFmpeg's decoder of the stream's codec that decodes by NVDEC, and brings pictures to main memory.

    It works in torch's CUDA context, which is made current: one of its own would take time and memory for each video.

    Raises:
        FFmpegError: there is no NVDEC, or it knows no such codec.
    """
    import torch

    torch.cuda.set_device(device)
    torch.cuda.synchronize()
    index = str(torch.device(device).index or 0)
    accelerator = HWAccel("cuda", index, allow_software_fallback=False, options={"current_ctx": "1"})
    # By the canonical name: FFmpeg's own decoder of AV1 works by hardware alone, and the software one is another.
    codec = Codec(own.codec.canonical_name, "r")
    context = cast(VideoCodecContext, CodecContext.create(codec, "r", accelerator))
    if not context.is_hwaccel:
        raise DecoderNotFoundError(0, f"FFmpeg has no NVDEC for {codec.name}")
    copy_settings(own, context)
    return context


def copy_settings(own: VideoCodecContext, other: VideoCodecContext) -> None:
    """Give another decoder what a stream's own decoder was given."""
    other.flags, other.flags2 = own.flags, own.flags2
    other.thread_count, other.thread_type = own.thread_count, own.thread_type
    # Of an open decoder, the options that it took are gone.
    other.options, other.extradata = {"max_pixels": str(MAX_PIXELS), **own.options}, own.extradata


def facts(frame: av.VideoFrame) -> tuple[Any, ...]:
    """What a frame says of itself beside its picture."""
    colours = (frame.colorspace, frame.color_range, frame.color_primaries, frame.color_trc)
    side_data = sorted(str(each.type) for each in SideDataContainer(frame))  # type: ignore[call-arg] - stub
    return (frame.pts, frame.width, frame.height, frame.format.name, *colours, *side_data)


def why_not_same(found: list[av.VideoFrame], expected: list[av.VideoFrame]) -> str | None:
    """Why the first frames of a decoder cannot be taken for those of another; None where they can.

    It may release more frames at once.
    """
    if len(found) < len(expected):
        return f"it released {len(found)} frames where {len(expected)} were due"
    for number, (one, other) in enumerate(zip(found, expected, strict=False)):
        told, due = ([each for each in facts(frame) if each != _LOST_IN_LAYOUT] for frame in (one, other))
        if told != due:
            return f"frame {number} says {told} of itself in the place of {due}"
        if one.key_frame != other.key_frame or one.duration != other.duration:
            return f"frame {number} is another kind of frame"
        if not same_picture(one, other):
            return f"the picture of frame {number} differs"
    return None


def same_picture(one: av.VideoFrame, other: av.VideoFrame) -> bool:
    """True where two frames of one format are the same in every pixel."""
    return all(np.array_equal(*planes) for planes in zip(_planes(one), _planes(other), strict=True))


def _planes(frame: av.VideoFrame) -> list[NDArray[np.uint8]]:
    """The bytes of each plane, ``[H, W * bytes]``, without what fills up its lines."""
    num_bytes = 1 if frame.format.components[0].bits <= 8 else 2
    # A plane has the buffer protocol, which its stub does not say.
    rows = (np.frombuffer(cast(Any, plane), np.uint8).reshape(-1, plane.line_size) for plane in frame.planes)
    return [each[: plane.height, : plane.width * num_bytes] for each, plane in zip(rows, frame.planes, strict=True)]


def _depth_and_chroma(pixel_format: av.VideoFormat) -> tuple[int, Chroma | None]:
    """Bits and subsampling of a format with luma and two of chroma; None of others."""
    components = pixel_format.components
    if pixel_format.is_rgb or len(components) != 3:
        return components[0].bits, None
    across, down = pixel_format.chroma_width(16), pixel_format.chroma_height(16)
    chroma: Chroma | None = {(8, 8): "420", (8, 16): "422", (16, 16): "444"}.get((across, down))  # type: ignore[assignment]
    return components[0].bits, chroma
