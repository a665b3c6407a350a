"""The one decode of a video, which gives its clips, frame store and motion."""

import itertools
from array import array
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from fractions import Fraction
from types import TracebackType
from typing import Any, Self

import cv2
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream
from numpy.typing import NDArray

from stages import heartbeat, registry
from stages.errors import CorruptStream, Reason
from stages.media import (
    MAX_PTS,
    DecodedFrame,
    FlowRecorder,
    NearestSampler,
    StoreWriter,
    UprightScaler,
    VectorRecorder,
    decode_frames,
    displayed_size,
    frames_key,
    open_video,
    store_path,
    video_stream,
)
from stages.params import SplitParams
from stages.split import heap
from stages.split.rows import make_clip, shared_columns
from stages.split.spans import Piece, Timeline
from stages.split.splitter import Splitter
from stages.stage import WorkerMetadata
from stages.storage import Storage, stat_source
from stages.tasks import Clip, Rejected, Row, Size, Span, Video

MIN_SIDE_PX = 16
"""Lower limit of both sides: a smaller video has no visible content and is smaller than a codec's block."""
BATCH_FRAMES = 50
HEAP_TRIM_INTERVAL_FRAMES = 1500
"""The heap is trimmed after so many frames, and after each video: some 0.4 % of the time."""
MAX_PENDING_BATCHES = 2
"""Batches that the decoder may be ahead of the splitter; limits the pictures of one video in memory."""


class DecodePass:
    """Splits videos, one after another, each by one decode.

    Args:
        params: of the phase.
        root: the root that holds the frame store.
        worker: device and threads for the splitter.
    """

    def __init__(self, params: SplitParams, root: str, worker: WorkerMetadata) -> None:
        self._params = params
        self._storage = Storage(root)
        self._splitter: Splitter = registry.load("splitter", params.method)(params)
        self._splitter.setup(worker)
        cv2.setNumThreads(worker.num_threads)

    def run(self, video: Video) -> Video | Rejected:
        """The video with its clips, or the reason why it has none. The frame store is written before this returns.

        Raises:
            SourceError: the source is gone, cannot be opened, or nothing of it decodes.
        """
        if video.columns.get("etag") not in (None, stat_source(video.uri).etag):
            detail = f"The source is no longer the one that was listed: {video.uri}. List it again."
            return Rejected(Reason.SUPERSEDED, detail, is_transient=True)
        try:
            with open_video(video.uri) as container:
                return self._run(video, container)
        finally:
            heap.trim()  # the next video's frames have other sizes

    def _run(self, video: Video, container: InputContainer) -> Video | Rejected:
        stream = video_stream(container)
        frames = decode_frames(container, export_vectors="vectors" in self._params.signals)
        first = next(frames)
        size = displayed_size(first.frame, stream.sample_aspect_ratio)
        if min(size.width, size.height) < MIN_SIDE_PX:
            return _too_small(size)
        with self._store_writer(video, stream) as writer, _SplitterThread(self._splitter) as splitter_thread:
            collector = _FrameCollector(self._params, stream, writer, splitter_thread)
            stream_error = collector.consume(itertools.chain([first], frames))
            writer.close()
        timeline = collector.timeline()
        pieces = self._splitter.pieces(timeline)
        clips = [collector.with_motion(make_clip(video, piece, timeline)) for piece in self._limited(pieces)]
        shared = shared_columns(video, self._params, len(timeline))
        if not clips:
            return self._rejected_without_clips(timeline, shared, stream_error)
        return replace(video, clips=tuple(_with_columns(clip, shared) for clip in clips), error=stream_error)

    def _store_writer(self, video: Video, stream: VideoStream) -> StoreWriter:
        params = self._params
        return StoreWriter(
            self._storage,
            store_path(video.partition, video.video_id),
            key=frames_key(video.video_id, params.frames_fps, params.frames_max_px),
            max_px=params.frames_max_px,
            pixel_aspect=stream.sample_aspect_ratio,
        )

    def _limited(self, pieces: list[Piece]) -> list[Piece]:
        return pieces[: self._params.max_clips] if self._params.max_clips else pieces

    def _rejected_without_clips(self, timeline: Timeline, shared: Row, stream_error: str | None) -> Rejected:
        shortest = self._params.min_length_s
        length_s = timeline.span(0, len(timeline)).duration_s
        if length_s < shortest:
            reason, detail = Reason.TOO_SHORT, f"The video lasts {length_s:.3f} s, split.min_length_s is {shortest} s."
        else:
            reason = Reason.NO_CLIPS
            detail = (
                f"No part of the video makes a clip of at least split.min_length_s = {shortest} s between shot changes"
                f"{' and keyframes' if self._params.snap_to_keyframes else ''}."
            )
        return Rejected(reason, f"{detail} {stream_error}" if stream_error else detail, shared)


def _too_small(size: Size) -> Rejected:
    detail = f"The picture is {size.width}x{size.height} pixels, both sides must be at least {MIN_SIDE_PX}."
    return Rejected(Reason.TOO_SMALL, detail)


def _with_columns(clip: Clip, shared: Row) -> Clip:
    return replace(clip, columns={**shared, **clip.columns})


class _FrameCollector:
    """Collects PTS, keyframes, sampled frames and motion in one pass. Its memory grows by some 20 bytes per frame."""

    def __init__(
        self, params: SplitParams, stream: VideoStream, writer: StoreWriter, splitter_thread: "_SplitterThread"
    ) -> None:
        self._time_base = stream.time_base or Fraction(1)
        self._rate = stream.average_rate
        self._writer = writer
        self._splitter_thread = splitter_thread
        self._sampler = NearestSampler(params.frames_fps, self._time_base)
        aspect = stream.sample_aspect_ratio
        self._flow = FlowRecorder(self._time_base, aspect) if "flow" in params.signals else None
        self._vectors = VectorRecorder(self._rate) if "vectors" in params.signals else None
        self._previous: DecodedFrame | None = None
        self._previous_sampled = False
        self.pts = array("q")
        self._keyframes = array("q")

    def consume(self, frames: Iterator[DecodedFrame]) -> str | None:
        """Process all frames. Returns the stream's decoding error, or None."""
        stream_error: str | None = None
        try:
            for decoded in frames:
                self._push(decoded)
        except CorruptStream as error:
            stream_error = f"{type(error).__name__}: {error}"
        if self._previous is not None and self._sampler.finish():
            self._writer.add(self._previous)
        self._splitter_thread.finish()
        return stream_error

    def _push(self, current: DecodedFrame) -> None:
        heartbeat.count("decoded_frames")
        self.pts.append(current.pts)
        if current.is_keyframe:
            self._keyframes.append(current.index)
        previous = self._previous
        selection = self._sampler.push(current.pts)
        if selection.previous and previous is not None:
            self._writer.add(previous)
        if selection.current:
            self._writer.add(current)
        if self._flow is not None and previous is not None and (selection.previous or self._previous_sampled):
            self._flow.measure(previous, current)
        if self._vectors is not None:
            self._vectors.push(current)
        self._splitter_thread.push(current)
        self._previous, self._previous_sampled = current, selection.current
        if len(self.pts) % HEAP_TRIM_INTERVAL_FRAMES == 0:
            heap.trim()

    def timeline(self) -> Timeline:
        """The timeline of the decoded frames."""
        return Timeline(self.pts, self._end_pts(), self._time_base, self._keyframes)

    def _end_pts(self) -> int:
        """End of the last frame, by its own duration, else the previous frame's, else the frame rate."""
        last = self._previous
        duration = last.frame.duration if last is not None else 0
        if duration <= 0 and len(self.pts) > 1:
            duration = self.pts[-1] - self.pts[-2]
        if duration <= 0 and self._rate:
            duration = round(1 / (self._rate * self._time_base))
        return min(MAX_PTS, self.pts[-1] + max(1, duration))

    def with_motion(self, clip: Clip) -> Clip:
        """The clip with columns for its motion."""
        return replace(clip, columns={**clip.columns, **self._motion_columns(clip.span)})

    def _motion_columns(self, span: Span) -> Row:
        flow = self._flow.statistics(span) if self._flow is not None else None
        vectors = self._vectors.statistics(span) if self._vectors is not None else None
        return {
            "flow_mean": flow.mean if flow else None,
            "flow_p95": flow.p95 if flow else None,
            "vectors_mean": vectors.mean if vectors else None,
            "vectors_patch_min": vectors.patch_min if vectors else None,
        }


class _SplitterThread:
    """Pushes pictures to the splitter in a thread of its own, so that decoding and inference overlap."""

    def __init__(self, splitter: Splitter) -> None:
        self._splitter = splitter
        self._scaler = UprightScaler(splitter.picture_size) if splitter.picture_size else None
        self._pool = ThreadPoolExecutor(1, "splitter")
        self._pictures: list[NDArray[np.uint8]] = []
        self._pending: deque[Future[Any]] = deque()

    def __enter__(self) -> Self:
        self._splitter.begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def push(self, decoded: DecodedFrame) -> None:
        """Add the next frame. Blocks while the splitter is behind; raises the splitter's exceptions."""
        if self._scaler is None:
            return
        self._pictures.append(self._scaler(decoded.frame))
        if len(self._pictures) >= BATCH_FRAMES:
            self._submit_batch()

    def finish(self) -> None:
        """Wait until the splitter has processed every frame."""
        if self._pictures:
            self._submit_batch()
        while self._pending:
            self._pending.popleft().result()

    def _submit_batch(self) -> None:
        if len(self._pending) >= MAX_PENDING_BATCHES:
            self._pending.popleft().result()
        self._pending.append(self._pool.submit(self._splitter.push, np.stack(self._pictures)))
        self._pictures = []
