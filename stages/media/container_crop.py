"""What a container says to leave out at the edges of a picture: MP4's ``clap``, Matroska's ``PixelCrop*``.

FFmpeg's libraries hand it on as side data of the stream, which PyAV does not show; so the header is read here.
"""

import io
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from typing import Self, cast

import av
from av.container import InputContainer
from av.filter import Graph
from av.video.stream import VideoStream

from stages.media.ebml import SEGMENT, elements
from stages.media.header_file import File, header_file
from stages.media.mp4_boxes import boxes, track_of

MAX_TRACKS_BYTES = 1 << 24
SAMPLE_ENTRY_BYTES = 78
"""Fixed fields of an MP4's description of a video, before its boxes."""

CLUSTER, TRACKS, TRACK, VIDEO = 0x1F43B675, 0x1654AE6B, 0xAE, 0xE0
CROP_LEFT, CROP_TOP, CROP_RIGHT, CROP_BOTTOM = 0x54CC, 0x54BB, 0x54DD, 0x54AA


@dataclass(frozen=True, slots=True)
class Crop:
    """Rows and columns of a decoded picture that are not shown, in pixels."""

    left: int
    top: int
    right: int
    bottom: int

    @classmethod
    def of(cls, container: InputContainer, stream: VideoStream) -> Self | None:
        """The crop that the container asks for; None for none, or one that leaves nothing."""
        find = {"mov": _of_mp4, "mat": _of_matroska}.get(container.format.name[:3])
        edges = None
        with header_file(container) as file, suppress(struct.error, IndexError):  # a damaged header
            edges = find(file, container.size, stream) if file is not None and find is not None else None
        if edges is None or not any(edges) or min(edges) < 0:
            return None
        crop = cls(*edges)
        is_something_left = crop.left + crop.right < stream.width and crop.top + crop.bottom < stream.height
        return crop if is_something_left else None


def cropped(frames: Iterator[av.VideoFrame | str], crop: Crop) -> Iterator[av.VideoFrame | str]:
    """The frames without what is not shown, as FFmpeg's crop filter gives them; other items as they are."""
    graphs: dict[tuple[int, int, str], Graph] = {}
    for frame in frames:
        if isinstance(frame, str):
            yield frame
            continue
        key = (frame.width, frame.height, frame.format.name)
        if key not in graphs:
            graphs[key] = _crop_graph(frame, crop)
        graphs[key].vpush(frame)
        yield graphs[key].vpull()


def _crop_graph(frame: av.VideoFrame, crop: Crop) -> Graph:
    width, height = (max(1, frame.width - crop.left - crop.right), max(1, frame.height - crop.top - crop.bottom))
    graph = Graph()
    graph.threads = 1
    buffer = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base)
    crop_filter = graph.add("crop", f"w={width}:h={height}:x={crop.left}:y={crop.top}:exact=1")
    graph.link_nodes(buffer, crop_filter, graph.add("buffersink"))
    graph.configure()
    return graph


def _of_mp4(file: File, end: int, stream: VideoStream) -> tuple[int, int, int, int] | None:
    """Left, top, right and bottom by the clean aperture of the track's first description."""
    track = track_of(file, end, stream.id)
    return _clean_aperture(file, track.trak, stream) if track is not None else None


def _clean_aperture(file: File, trak: tuple[int, int], stream: VideoStream) -> tuple[int, int, int, int] | None:
    inside = [trak]
    for name in (b"mdia", b"minf", b"stbl", b"stsd"):
        inside = [box for parent in inside for box in boxes(file, *parent, name)]
    for start, end in inside:
        for entry in boxes(file, start + 8, end):
            for place, _ in boxes(file, entry[0] + SAMPLE_ENTRY_BYTES, entry[1], b"clap"):
                file.seek(place)
                numbers = struct.unpack(">IIIIiIiI", file.read(32))
                if not all(numbers[1::2]):
                    return None
                width, height, right, down = map(Fraction, numbers[::2], numbers[1::2])
                # The aperture lies in the middle, moved to the right and down.
                left = round((stream.width - width) / 2 + right)
                top = round((stream.height - height) / 2 + down)
                return left, top, stream.width - left - round(width), stream.height - top - round(height)
    return None


def _of_matroska(file: File, end: int, stream: VideoStream) -> tuple[int, int, int, int] | None:
    """Left, top, right and bottom by the description of the track."""
    for element, start, stop in elements(file, 0, end):
        if element != SEGMENT:
            continue
        for child, first, last in elements(file, start, stop):
            if child == CLUSTER:
                return None
            if child == TRACKS and last - first <= MAX_TRACKS_BYTES:
                file.seek(first)
                return _of_tracks(file.read(last - first), stream)
    return None


def _of_tracks(data: bytes, stream: VideoStream) -> tuple[int, int, int, int] | None:
    """As `_of_matroska`. FFmpeg keeps the order of the tracks, and shows no number of theirs."""
    tracks = cast(File, io.BytesIO(data))
    entries = [(start, end) for element, start, end in elements(tracks, 0, len(data)) if element == TRACK]
    videos = [
        data[start:end] for entry in entries for element, start, end in elements(tracks, *entry) if element == VIDEO
    ]
    video = videos[[each.index for each in stream.container.streams.video].index(stream.index)]
    told = {
        element: int.from_bytes(video[start:end])
        for element, start, end in elements(cast(File, io.BytesIO(video)), 0, len(video))
    }
    return told.get(CROP_LEFT, 0), told.get(CROP_TOP, 0), told.get(CROP_RIGHT, 0), told.get(CROP_BOTTOM, 0)
