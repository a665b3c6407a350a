"""Damaged and missing frames and sound: as packets and decoder tell; where it is silent, as the pictures show."""

from array import array
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cached_property

import av
import numpy as np
from av.container import InputContainer
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from stages.media import (
    SILENT_CODECS,
    TRIED_CODECS,
    Colour,
    DecodeLog,
    SoundLog,
    StreamDamage,
    fit,
    frames_without_losses,
    promised_frames,
    stream_damage,
)
from stages.signals.frame_pictures import FramePictures
from stages.signals.picture_damage import LONG_SIDE_PX, Pictures, SnapBackDetector
from stages.signals.picture_onset import OnsetDetector
from stages.signals.picture_proof import Suspects
from stages.signals.recorder import Recorder
from stages.signals.samples import Samples
from stages.tasks import Row, Size


class DamageRecorder(Recorder):
    """Records of each frame whether it is damaged, and how many frames are missing after it. Part of every decode.

    Args:
        log: of the decode, which fills it.
        stream: that is decoded.
        sound: of the decode, which fills it; None without sound.
    """

    name = "damage"
    version = "7"
    clip_columns = ("damaged_frames", "missing_frames", "damaged_share", "sound_damaged_share")

    def __init__(self, log: DecodeLog, stream: VideoStream, *, sound: SoundLog | None) -> None:
        self._log = log
        self._sound = sound
        self._seconds_per_pts = float(stream.time_base or 1)
        # FFmpeg guesses the DTS of Matroska, which stores none, from the PTS that it reads.
        self._is_dts_exact = "matroska" not in stream.container.format.name
        # Fragments have no sample table: only the packets before the first one are listed.
        self._num_listed = stream.frames if stream.container.format.name.startswith("mov") else None
        self._num_promised = promised_frames(stream)
        self._codec = codec = stream.codec_context.codec.canonical_name
        self._edges_s = array("d")
        self._detector = SnapBackDetector() if codec in SILENT_CODECS else None
        self._onsets = OnsetDetector() if codec in TRIED_CODECS else None
        self._reformatter = VideoReformatter()
        self._size: Size | None = None

    def push(self, pictures: FramePictures) -> None:
        """Add the next frame."""
        if self._sound is not None:
            self._edges_s.append(pictures.decoded.pts * self._seconds_per_pts)
        if self._detector is not None:
            decoded = pictures.decoded
            small = self._small(decoded.frame)
            self._detector.push(small, is_keyframe=decoded.is_keyframe)
            if self._onsets is not None and self._onsets.push(small):
                self._log.doubt(decoded.pts)

    def skip(self, pts: int) -> None:
        """Add a frame that was decoded elsewhere, of a codec whose pictures are not looked at."""
        if self._sound is not None:
            self._edges_s.append(pts * self._seconds_per_pts)

    def samples(self) -> Samples:
        """``is_damaged``, ``missing_after``, ``picture_damage``, ``sound_lost_s``, ``sound_s``, at every frame."""
        damage = self._damage
        num_frames = len(damage.damaged)
        scores = self._scores(num_frames)
        values = {
            "is_damaged": damage.damaged | (scores > 0),
            "missing_after": damage.missing.astype(np.int32),
            "picture_damage": scores,
            **self._sound_values(num_frames),
        }
        return Samples(np.arange(num_frames), values)

    def suspects(self, open_again: Callable[[], AbstractContextManager[InputContainer]]) -> Suspects:
        """The frames that packets and decoder call damaged. To be asked for after the last frame.

        Args:
            open_again: opens the video, whose headers are read again where damage is met in AV1.
        """
        damage = self._damage
        bad = self._scores(len(damage.damaged)) > 0
        follow_gap = np.append(False, damage.missing[:-1] > 0)
        sound = damage.damaged & ~bad & self._proven_by_headers(open_again)
        return Suspects(damage.damaged & ~bad & ~sound, bad, damage.late, follow_gap, sound)

    @classmethod
    def reduce(cls, samples: Samples, start: int, end: int) -> Row:
        """Counts, and their share of the frames that the clip should have."""
        inside = samples.within(start, end)
        damaged, missing = int(inside["is_damaged"].sum()), int(inside["missing_after"].sum())
        share = (damaged + missing) / max(1, len(inside) + missing)
        lost_s, sound_s = (float(inside[name].sum()) for name in ("sound_lost_s", "sound_s"))
        return {
            "damaged_frames": damaged,
            "missing_frames": missing,
            "damaged_share": share,
            "sound_damaged_share": min(1.0, lost_s / sound_s) if sound_s > 0 else None,
        }

    def _proven_by_headers(self, open_again: Callable[[], AbstractContextManager[InputContainer]]) -> NDArray[np.bool_]:
        """Frames that hang on no lost one, as far as headers are read."""
        pts, _, _ = self._log.frames()
        if self._codec != "av1" or not self._damage.damaged.any():
            return np.zeros(len(pts), np.bool_)
        with open_again() as container:
            return np.isin(pts, frames_without_losses(container, self._log))

    @cached_property
    def _damage(self) -> StreamDamage:
        return stream_damage(
            self._log,
            codec=self._codec,
            is_dts_exact=self._is_dts_exact,
            num_listed=self._num_listed,
            num_promised=self._num_promised,
        )

    def _scores(self, num_frames: int) -> NDArray[np.float32]:
        return self._detector.scores() if self._detector is not None else np.zeros(num_frames, np.float32)

    def _sound_values(self, num_frames: int) -> dict[str, NDArray[np.float32]]:
        """Seconds of sound that are lost, and of all sound, while each frame is shown; the last one counts for none."""
        lost_s = sound_s = np.zeros(num_frames, np.float32)
        if self._sound is not None and num_frames > 1:
            edges_s = np.array(self._edges_s)
            lost_s, sound_s = self._sound.lost_s(np.append(edges_s, edges_s[-1]))
        return {"sound_lost_s": lost_s.astype(np.float32), "sound_s": sound_s.astype(np.float32)}

    def _small(self, frame: av.VideoFrame) -> Pictures:
        """Small luma by the cheapest scaling, not upright: damage is compared from frame to frame only."""
        size = self._size = self._size or fit(Size(frame.width, frame.height), LONG_SIDE_PX)
        matrix = Colour.of(frame).matrix  # swscale refuses some that frames tell
        small = self._reformatter.reformat(
            frame,
            size.width,
            size.height,
            "gray",
            src_colorspace=matrix,
            dst_colorspace=matrix,
            interpolation=Interpolation.FAST_BILINEAR,
            threads=1,
        )
        return small.to_ndarray().astype(np.uint8, copy=False)


def bounding_frames(samples: Samples) -> NDArray[np.bool_]:
    """Frames at which clips are bounded: damaged ones, and those after which others are missing."""
    return samples["is_damaged"] | (samples["missing_after"] > 0)
