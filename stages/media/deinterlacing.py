"""Deinterlaces frames with FFmpeg's bwdif: one frame for each, at the moment of its first field."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace

import av
from av.error import BlockingIOError as NothingReady
from av.error import EOFError as NothingLeft
from av.filter import Graph

from stages.media.decode import DecodedFrame
from stages.media.interlace import Fields

_PARITY = {Fields.TOP_FIRST: "tff", Fields.BOTTOM_FIRST: "bff"}


class Deinterlacer:
    """Deinterlaces the frames of one stream, all of one size and format.

    Args:
        fields: which field is first; where that is not known, as the frames are flagged, else the top one.
    """

    def __init__(self, fields: Fields) -> None:
        self._options = f"mode=send_frame:parity={_PARITY.get(fields, 'auto')}:deint=all"
        self._graph: Graph | None = None

    def push(self, frame: av.VideoFrame | None) -> list[av.VideoFrame]:
        """Add the next frame, or None after the last; returns what is ready: each frame once the next is there."""
        graph = self._graph
        if graph is None:
            if frame is None:
                return []
            graph = self._graph = self._create_graph(frame)
        graph.vpush(frame)
        ready: list[av.VideoFrame] = []
        while True:
            try:
                ready.append(graph.vpull())
            except (NothingReady, NothingLeft):
                return ready

    def _create_graph(self, frame: av.VideoFrame) -> Graph:
        graph = Graph()
        graph.threads = 1
        buffer = graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base
        )
        graph.link_nodes(buffer, graph.add("bwdif", self._options), graph.add("buffersink"))
        graph.configure()
        return graph


def deinterlaced(frames: Iterable[DecodedFrame], fields: Fields) -> Iterator[DecodedFrame]:
    """The same frames, deinterlaced."""
    deinterlacer = Deinterlacer(fields)
    waiting: deque[DecodedFrame] = deque()
    for decoded in frames:
        waiting.append(decoded)
        for frame in deinterlacer.push(decoded.frame):
            yield replace(waiting.popleft(), frame=frame)
    for frame in deinterlacer.push(None):
        yield replace(waiting.popleft(), frame=frame)


def deinterlaced_frame(
    before: av.VideoFrame, frame: av.VideoFrame, after: av.VideoFrame, fields: Fields
) -> av.VideoFrame:
    """One frame deinterlaced, with its neighbours in presentation order."""
    deinterlacer = Deinterlacer(fields)
    ready = [each for given in (before, frame, after) for each in deinterlacer.push(given)]
    return ready[1]
