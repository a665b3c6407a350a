"""Videos in, clips out: each is decoded once, and cut from its signals however often the parameters change."""

import logging
from array import array
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import cv2
import numpy as np

from stages import heartbeat, models
from stages.errors import Reason
from stages.media import (
    DecoderChoice,
    HardwareDecoderFailed,
    Indivisible,
    choose_decoder,
    open_video,
    software_instead,
)
from stages.models import construct
from stages.params import SPEECH, SplitParams
from stages.signals import (
    DamageRecorder,
    PictureFormatRecorder,
    Signals,
    bounding_frames,
    format_changes,
    read_signals,
    reduce_samples,
    signals_path,
    speech_share,
    write_signals,
)
from stages.split import heap
from stages.split.damage_bounds import bound_at_damage
from stages.split.decode_pass import SPLITTER_MEASURE, DecodePass
from stages.split.rows import make_clip, shared_columns
from stages.split.section_tasks import LongVideoTask, PartTask
from stages.split.section_work import SectionWork
from stages.split.signals_key import signals_key
from stages.split.spans import Piece, divide_pieces
from stages.split.splitter import Splitter
from stages.split.timeline import Timeline
from stages.stage import WorkerMetadata
from stages.storage import Storage, stat_source
from stages.tasks import Clip, Rejected, Row, Video, VideoTask

logger = logging.getLogger(__name__)

if TYPE_CHECKING:
    from stages.models import SpeechDetector  # needs an extra


class VideoCutter:
    """Splits videos, one after another.

    Args:
        params: of the phase.
        root: the root that holds the frame store and the signals.
        worker: device and threads for the splitter.
    """

    def __init__(self, params: SplitParams, root: str, worker: WorkerMetadata) -> None:
        self._params = params
        self._storage = Storage(root)
        self._splitter: Splitter = construct("splitter", params.method, params)
        self._splitter.setup(worker)
        speech_detector = _speech_detector(params, worker)
        self._decode_pass = DecodePass(params, self._storage, self._splitter, speech_detector)
        self._sections = SectionWork(params, self._storage, self._splitter, speech_detector)
        self._choose_decoder = choose_decoder(params.decoder, worker.device)
        cv2.setNumThreads(worker.num_threads)

    def run_part(self, task: PartTask) -> PartTask:
        """The task once its part of a long video is done; refused where the video must be decoded in one pass.

        Raises:
            SourceError: the source is gone, or cannot be opened.
        """
        try:
            content = self._sections.run(task)
        except Indivisible as error:
            logger.info("The video is decoded in one pass: %s: %s", error, task.video.uri)
            return replace(task, is_refused=True)
        if _is_replaced(task.video):
            return replace(task, is_refused=True)  # which tells what became of it
        self._sections.keep(task, content)
        return task

    def run(self, task: VideoTask) -> Video | Rejected:
        """The video with its clips, or the reason why it has none.

        Its frame store and signals are written before this returns. Where the signals are there already, they are read
        instead, and nothing is decoded; ``recut_videos`` counts that.

        Raises:
            SourceError: the source is gone, cannot be opened, or nothing of it decodes.
        """
        video = task.data
        if _is_replaced(video):
            detail = f"The source is no longer the one that was listed: {video.uri}. List it again."
            return Rejected(Reason.SUPERSEDED, detail, is_transient=True)
        key = signals_key(video.video_id, self._params, self._splitter)
        path = signals_path(video.partition, video.video_id, key)
        signals = self._stored_signals(path) or self._joined(task, path) or self._decode(video, path)
        if isinstance(task, LongVideoTask):
            self._sections.remove(task.prefix)
        return signals if isinstance(signals, Rejected) else self._cut(video, signals, key)

    def _joined(self, task: VideoTask, path: str) -> Signals | None:
        """The signals of a video that was decoded in sections; None where it was not, or these do not fit together."""
        if not isinstance(task, LongVideoTask) or task.in_one_pass:
            return None
        try:
            signals = self._sections.signals(task.data, task.prefix)
        except Indivisible as error:
            logger.info("The video is decoded in one pass: %s: %s", error, task.data.uri)
            return None
        write_signals(self._storage, path, signals)
        return signals

    def _stored_signals(self, path: str) -> Signals | None:
        """The signals of an earlier decode, given to the splitter; None where there are none that it can use."""
        signals = read_signals(self._storage, path)
        measured = signals.samples.get(SPLITTER_MEASURE) if signals else None
        if measured is None:
            return None
        self._splitter.restore(measured.values)
        heartbeat.count("recut_videos")
        return signals

    def _decode(self, video: Video, path: str) -> Signals | Rejected:
        choice = self._choose_decoder()
        if choice.open_hardware is not None and "vectors" in self._params.signals:
            choice = software_instead("motion vectors, of split.signals, come from the software decoder alone")
        try:
            try:
                signals = self._decode_with(choice, video)
            except HardwareDecoderFailed as failure:
                heartbeat.count("decoded_again_videos")
                signals = self._decode_with(software_instead(str(failure)), video)
        finally:
            heap.trim()  # the next video's frames have other sizes
        if isinstance(signals, Signals):
            write_signals(self._storage, path, signals)
        return signals

    def _decode_with(self, choice: DecoderChoice, video: Video) -> Signals | Rejected:
        with open_video(video.uri) as container:
            return self._decode_pass.run(video, container, choice)

    def _cut(self, video: Video, signals: Signals, key: str) -> Video | Rejected:
        # Of Python's integers, which a Fraction takes, at 8 bytes each.
        pts, keyframes = (array("q", each.astype(np.int64).tobytes()) for each in (signals.pts, signals.keyframes))
        breaks = format_changes(signals.samples[PictureFormatRecorder.name])
        timeline = Timeline(pts, signals.end_pts, signals.time_base, keyframes, breaks)
        min_length_s = self._params.min_length_s
        pieces = bound_at_damage(
            divide_pieces(self._splitter.pieces(timeline), timeline, min_length_s=min_length_s),
            timeline,
            bounding_frames(signals.samples[DamageRecorder.name]),
            min_length_s=min_length_s,
            boundaries=self._splitter.boundaries(timeline),
        )
        shared = {**shared_columns(video, self._params, len(timeline)), "signals_key": key, **signals.made_with}
        clips = [self._clip(video, piece, timeline, signals, shared) for piece in self._limited(pieces)]
        if not clips:
            return self._rejected_without_clips(timeline, shared, signals.error)
        return replace(video, clips=tuple(clips), error=signals.error)

    def _clip(self, video: Video, piece: Piece, timeline: Timeline, signals: Signals, shared: Row) -> Clip:
        clip = make_clip(video, piece, timeline)
        speech = signals.samples.get(SPEECH)
        share = (
            speech_share(
                speech,
                piece.start,
                piece.end,
                duration_s=clip.span.duration_s,
                threshold=self._params.speech_threshold,
            )
            if speech is not None
            else None
        )
        reduced = reduce_samples(signals.samples, piece.start, piece.end)
        return replace(clip, columns={**shared, **clip.columns, **reduced, "speech_share": share})

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


def _is_replaced(video: Video) -> bool:
    """Whether the source is no longer the one that was listed."""
    return video.columns.get("etag") not in (None, stat_source(video.uri).etag)


def _speech_detector(params: SplitParams, worker: WorkerMetadata) -> "Callable[[], SpeechDetector] | None":
    """What makes the detector of a video; None where no speech is wanted."""
    if SPEECH not in params.signals:
        return None
    network = models.load_speech_network(models.speech_weights(), worker.num_threads)
    return partial(models.SpeechDetector, network)
