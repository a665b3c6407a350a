"""The choice of a decoder, and what becomes of streams that it cannot decode alike.

There is no NVDEC here. In its place stands another decoder of FFmpeg's, which gives its frames in NVDEC's layouts.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from av.codec import Codec, CodecContext
from av.codec.hwaccel import HWAccel
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext

from stages.errors import ParamsError
from stages.media import DecoderChoice, HardwareDecoderFailed, choose_decoder, decode_frames, open_video
from stages.media.decoders import copy_settings
from stages.media.nvidia_cards import Card
from tests.videos import noise_shot, write_video

LAYOUTS = {"yuv420p": "nv12", "yuvj420p": "nv12", "yuv420p10le": "p010le", "yuv420p12le": "p016le"}


class OtherLayout:
    """A context of FFmpeg's decoder whose frames are in the layout in which NVDEC gives them."""

    def __init__(self, own: VideoCodecContext, **options: str) -> None:
        context: Any = Codec(own.codec.name, "r").create()
        copy_settings(own, context)
        self._context = context
        self._context.options = {**own.options, **options}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def decode(self, packet: Packet | None) -> list[av.VideoFrame]:
        frames = self._context.decode(packet)
        return [frame.reformat(format=LAYOUTS.get(frame.format.name, frame.format.name)) for frame in frames]


def hardware(**options: str) -> Callable[[VideoCodecContext], Any]:
    return lambda own: OtherLayout(own, **options)


def pictures(path: Path, choice: DecoderChoice | None = None) -> list[tuple[Any, ...]]:
    """What is told of each frame, and its planes."""
    with open_video(str(path)) as container:
        return [
            (each.pts, each.index, each.is_keyframe, *_colours(each.frame), *_planes(each.frame))
            for each in decode_frames(container, choice=choice)
        ]


def _colours(frame: av.VideoFrame) -> tuple[Any, ...]:
    return (frame.format.name, int(frame.color_range), int(frame.colorspace), frame.color_primaries, frame.color_trc)


def _planes(frame: av.VideoFrame) -> list[bytes]:
    """Of each plane what is seen; its lines are filled up."""
    num_bytes = 1 if frame.format.components[0].bits == 8 else 2
    lines = [np.frombuffer(bytes(plane), np.uint8).reshape(-1, plane.line_size) for plane in frame.planes]
    seen = zip(lines, frame.planes, strict=True)
    return [each[: plane.height, : plane.width * num_bytes].tobytes() for each, plane in seen]


VIDEOS: dict[str, dict[str, Any]] = {
    "h264": {"options": {"bf": "2", "g": "10"}},
    "h264 of full range": {"pixel_format": "yuvj420p"},
    "hevc of 10 bit": {"codec": "libx265", "pixel_format": "yuv420p10le", "options": {"x265-params": "log-level=none"}},
    "hevc of 12 bit": {"codec": "libx265", "pixel_format": "yuv420p12le", "options": {"x265-params": "log-level=none"}},
    "vp9": {"codec": "libvpx-vp9"},
    "mpeg2": {"codec": "mpeg2video"},
    "h264 of 4:4:4": {"pixel_format": "yuv444p"},
}


@pytest.mark.parametrize("name", VIDEOS)
def test_pictures_do_not_depend_on_the_decoder(name: str, tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", noise_shot(3, 30, width=144, height=96, speed=3), **VIDEOS[name])
    expected = pictures(path)
    choice = DecoderChoice("nvdec", hardware())
    assert pictures(path, choice) == expected
    assert len(expected) == 30
    assert (choice.name, choice.note) == ("nvdec", None)


def test_a_decoder_with_other_pictures_is_not_taken(tmp_path: Path) -> None:
    """Without its loop filter H.264 decodes to pictures that nobody would tell apart."""
    path = write_video(tmp_path / "a.mp4", noise_shot(3, 30, width=144, height=96, speed=3), options={"crf": "35"})
    choice = DecoderChoice("nvdec", hardware(skip_loop_filter="all"))
    assert pictures(path, choice) == pictures(path)
    assert (choice.name, choice.note) == (
        "software",
        "NVDEC does not decode its beginning alike: the picture of frame 0 differs",
    )


def test_a_decoder_that_holds_frames_back_is_not_taken(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", noise_shot(3, 20, width=144, height=96))
    choice = DecoderChoice("auto", hardware(skip_frame="all"))
    assert pictures(path, choice) == pictures(path)
    assert (choice.name, choice.note) == (
        "software",
        "NVDEC does not decode its beginning alike: it released 0 frames where 1 were due",
    )


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_decoder_that_cannot_be_opened_is_told(tmp_path: Path) -> None:
    def without_a_gpu(own: VideoCodecContext) -> VideoCodecContext:
        context = CodecContext.create(Codec("h264", "r"), "r", HWAccel("cuda", "0", allow_software_fallback=False))
        assert isinstance(context, VideoCodecContext)
        return context

    path = write_video(tmp_path / "a.mp4", noise_shot(3, 20, width=144, height=96))
    choice = DecoderChoice("auto", without_a_gpu)
    assert pictures(path, choice) == pictures(path)
    assert (choice.note or "").startswith("NVDEC cannot be opened for h264 of 8 bit, 4:2:0, 144x96: ")


def test_what_the_card_cannot_decode_is_not_tried(tmp_path: Path) -> None:
    def never(own: VideoCodecContext) -> VideoCodecContext:
        raise AssertionError("the table says that it cannot be")

    path = write_video(tmp_path / "a.mp4", noise_shot(3, 20, width=144, height=96), pixel_format="yuv420p10le")
    choice = DecoderChoice("nvdec", never, Card("NVIDIA H100", (9, 0)))
    assert pictures(path, choice) == pictures(path)
    assert choice.note == "the decoder of NVIDIA H100 (Hopper) takes no h264 of 10 bit, 4:2:0, 144x96"
    grey = write_video(tmp_path / "b.mkv", noise_shot(3, 20, width=144, height=96), codec="ffv1", pixel_format="gray")
    assert pictures(grey, choice) == pictures(grey)
    assert choice.note == "NVDEC takes no gray"


def damaged(path: Path, target: Path) -> Path:
    """The file with bytes of a picture in its midst overwritten."""
    with av.open(str(path)) as container:
        packets = [(packet.pos or 0, packet.size) for packet in container.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes())
    position, size = packets[len(packets) // 2]
    data[position + 4 : position + size] = bytes([255]) * (size - 4)
    target.write_bytes(data)
    return target


def test_damage_ends_the_decoder_of_hardware(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", noise_shot(3, 40, width=144, height=96, speed=3))
    choice = DecoderChoice("nvdec", hardware())
    with pytest.raises(HardwareDecoderFailed, match="nvdec met damage"):
        pictures(damaged(path, tmp_path / "b.mp4"), choice)
    assert choice.name == "nvdec"


def test_software_is_chosen_where_nothing_else_is_asked_for() -> None:
    assert choose_decoder("software", "cuda:0")() == DecoderChoice()
    choice = choose_decoder("auto", "cpu")()
    assert (choice.open_hardware, choice.note) == (None, None)


def test_nvdec_without_a_gpu_is_refused_before_any_work() -> None:
    with pytest.raises(ParamsError, match=r"split\.decoder=nvdec requires an NVIDIA GPU .*got the device 'cpu'"):
        choose_decoder("nvdec", "cpu")


@pytest.mark.parametrize(
    ("layout", "made"), [("nv12", "yuv420p"), ("p010le", "yuv420p10le"), ("p016le", "yuv420p12le")]
)
def test_changes_of_layout_lose_nothing(layout: str, made: str) -> None:
    """Of every value that a pixel can have."""
    frame = av.VideoFrame(128, 96, made)
    dtype, levels = (np.uint8, 256) if made == "yuv420p" else (np.uint16, 1 << frame.format.components[0].bits)
    for plane in frame.planes:
        num_values = plane.buffer_size // np.dtype(dtype).itemsize
        plane.update(np.resize(np.arange(levels, dtype=dtype), num_values).tobytes())
    again = frame.reformat(format=layout).reformat(format=made)
    assert [bytes(plane) for plane in again.planes] == [bytes(plane) for plane in frame.planes]
