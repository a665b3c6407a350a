"""The one decode of a video, which fills its frame store and its signals."""

import itertools
from array import array
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from fractions import Fraction
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream
from numpy.typing import NDArray

from stages import heartbeat
from stages.errors import CorruptStream, Reason
from stages.media import (
    MAX_PTS,
    USUAL_PEAK_NITS,
    DecodedFrame,
    DecodeLog,
    DecoderChoice,
    FieldsMeter,
    FrameLengths,
    HardwareDecoderFailed,
    SoundLog,
    StoreFiller,
    StoreWriter,
    UprightScaler,
    best_audio_stream,
    declared_end,
    decode_frames,
    displayed_size,
    end_with_lost,
    frame_rate,
    frames_key,
    open_video,
    store_path,
    video_stream,
)
from stages.params import SplitParams
from stages.signals import (
    DamageRecorder,
    FramePictures,
    FrameScaler,
    Samples,
    Signals,
    SpeechRecorder,
    acquit,
    create_recorders,
)
from stages.split import heap
from stages.split.splitter import Splitter
from stages.storage import Storage
from stages.tasks import Rejected, Size, Video

if TYPE_CHECKING:
    from stages.models import SpeechDetector  # needs an extra

MIN_SIDE_PX = 16
"""Lower limit of both sides: a smaller video has no visible content and is smaller than a codec's block."""
BATCH_FRAMES = 50
HEAP_TRIM_INTERVAL_FRAMES = 1500
"""The heap is trimmed after so many frames, and after each video: some 0.4 % of the time."""
MAX_PENDING_BATCHES = 2
"""Batches that the decoder may be ahead of the splitter; limits the pictures of one video in memory."""
SPLITTER_MEASURE = "splitter"
"""Name among the signals of what the splitter measured."""


class DecodePass:
    """Decodes videos, one after another, each once.

    Args:
        params: of the phase.
        storage: of the root that holds the frame store.
        splitter: set up; it gets its pictures.
        speech_detector: makes one for each video; None where `split.signals` has no speech.
    """

    def __init__(
        self,
        params: SplitParams,
        storage: Storage,
        splitter: Splitter,
        speech_detector: "Callable[[], SpeechDetector] | None" = None,
    ) -> None:
        self._params = params
        self._storage = storage
        self._splitter = splitter
        self._speech_detector = speech_detector

    def run(self, video: Video, container: InputContainer, choice: DecoderChoice) -> Signals | Rejected:
        """The signals of the video, or the reason why it has none. The frame store is written before this returns.

        Raises:
            HardwareDecoderFailed: the decoder of hardware gives the video up; nothing of it was written.
            SourceError: nothing of the source decodes.
        """
        stream = video_stream(container)
        audio = best_audio_stream(container, stream)
        log = DecodeLog()
        speech = self._speech_recorder(stream) if audio is not None else None
        sound = SoundLog(audio, speech.hear if speech else None) if audio is not None else None
        vectors = "vectors" in self._params.signals
        frames = decode_frames(container, export_vectors=vectors, log=log, sound=sound, choice=choice)
        first = next(frames)
        size = displayed_size(first.frame, first.pixel_aspect)
        if min(size.width, size.height) < MIN_SIDE_PX:
            return _too_small(size)
        with (
            store_writer(self._params, self._storage, video) as writer,
            _SplitterThread(self._splitter, frame_rate(stream)) as splitter_thread,
        ):
            damage = DamageRecorder(log, stream, sound=sound)
            collector = _FrameCollector(self._params, stream, (damage, speech), writer, splitter_thread)
            error = collector.consume(itertools.chain([first], frames))
            if sound is not None:
                sound.finish()
            if error is not None and choice.name != "software":
                raise HardwareDecoderFailed(f"{choice.name} met damage: {error}")
            writer.close()
        open_again = partial(open_video, video.uri)
        signals = acquit(collector.signals(self._splitter, error), damage.suspects(open_again), open_again)
        end_pts = min(MAX_PTS, end_with_lost(log, int(signals.pts[-1]), signals.end_pts))
        made_with = {"decoder": choice.name, "decoder_note": choice.note, "dtype": self._splitter.dtype}
        return replace(signals, end_pts=end_pts, made_with=made_with)

    def _speech_recorder(self, stream: VideoStream) -> SpeechRecorder | None:
        if self._speech_detector is None:
            return None
        return SpeechRecorder(self._speech_detector(), stream.time_base or Fraction(1))


def store_writer(params: SplitParams, storage: Storage, video: Video) -> StoreWriter:
    """The writer of a video's frame store."""
    return StoreWriter(
        storage,
        store_path(video.partition, video.video_id),
        key=frames_key(video.video_id, params.frames_fps, params.frames_max_px),
        max_px=params.frames_max_px,
    )


def last_end(
    last_pts: int, lengths: FrameLengths, declared_end: int | None, rate: Fraction | None, time_base: Fraction
) -> int:
    """End of the last frame.

    Args:
        last_pts: of that frame.
        lengths: has looked at all frames.
        declared_end: see `FrameLengths.last`.
        rate: frames a second by the header.
        time_base: seconds per unit of PTS.
    """
    default = round(1 / (rate * time_base)) if rate else 1
    return min(MAX_PTS, last_pts + lengths.last(default, declared_end))


def _too_small(size: Size) -> Rejected:
    detail = f"The picture is {size.width}x{size.height} pixels, both sides must be at least {MIN_SIDE_PX}."
    return Rejected(Reason.TOO_SMALL, detail)


class _FrameCollector:
    """Hands each frame to the frame store, the recorders and the splitter. Its memory grows by some bytes a frame."""

    def __init__(
        self,
        params: SplitParams,
        stream: VideoStream,
        of_decode: tuple[DamageRecorder, SpeechRecorder | None],
        writer: StoreWriter,
        splitter_thread: "_SplitterThread",
    ) -> None:
        self._time_base = stream.time_base or Fraction(1)
        self._rate = frame_rate(stream)
        meter = FieldsMeter()
        self._store = StoreFiller(writer.add, params.frames_fps, self._time_base, meter=meter)
        self._splitter_thread = splitter_thread
        self._frame_scaler = FrameScaler()
        self._recorders = create_recorders(
            params.signals,
            time_base=self._time_base,
            rate=self._rate,
            meter=meter,
            damage=of_decode[0],
            speech=of_decode[1],
        )
        self._lengths = FrameLengths()
        self._declared_end = declared_end(stream)
        self._pts = array("q")
        self._keyframes = array("q")

    def consume(self, frames: Iterator[DecodedFrame]) -> str | None:
        """Process all frames. Returns the stream's decoding error, or None."""
        error: str | None = None
        try:
            for decoded in frames:
                self._push(decoded)
        except CorruptStream as fault:
            error = f"{type(fault).__name__}: {fault}"
        self._store.finish()
        self._splitter_thread.finish()
        return error

    def signals(self, splitter: Splitter, error: str | None) -> Signals:
        """What was measured of the consumed frames."""
        samples = {each.name: each.samples() for each in self._recorders}
        measured = splitter.measured()
        if measured is not None:
            samples[SPLITTER_MEASURE] = Samples(np.arange(len(self._pts)), dict(measured))
        pts, keyframes = (np.frombuffer(each, np.int64) for each in (self._pts, self._keyframes))
        end_pts = last_end(self._pts[-1], self._lengths, self._declared_end, self._rate, self._time_base)
        return Signals(pts, keyframes, end_pts, self._time_base, error, samples)

    def _push(self, current: DecodedFrame) -> None:
        heartbeat.count("decoded_frames")
        self._pts.append(current.pts)
        if current.is_keyframe:
            self._keyframes.append(current.index)
        self._store.push(current)
        pictures = self._frame_scaler(current)
        for recorder in self._recorders:
            recorder.push(pictures)
        self._splitter_thread.push(pictures)
        self._lengths.add(current.pts, current.frame.duration)
        if current.num_restarts:
            self._declared_end = None
        if len(self._pts) % HEAP_TRIM_INTERVAL_FRAMES == 0:
            heap.trim()


class _SplitterThread:
    """Pushes pictures to the splitter in a thread of its own, so that decoding and inference overlap."""

    def __init__(self, splitter: Splitter, rate: Fraction | None) -> None:
        self._splitter = splitter
        self._rate = rate
        self._scaler = (
            UprightScaler(splitter.picture_size, peak_nits=USUAL_PEAK_NITS) if splitter.picture_size else None
        )
        self._pool = ThreadPoolExecutor(1, "splitter")
        self._pictures: list[NDArray[np.uint8]] = []
        self._pending: deque[Future[Any]] = deque()

    def __enter__(self) -> Self:
        self._splitter.begin_video(self._rate)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def push(self, pictures: FramePictures) -> None:
        """Add the next frame. Blocks while the splitter is behind; raises the splitter's exceptions."""
        if self._scaler is None:
            return
        self._pictures.append(self._scaler(pictures.decoded.frame, pictures.reduced))
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
