"""Speech: how sure a network is that somebody speaks, in blocks of 32 ms of the sound."""

from array import array
from fractions import Fraction
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from av.audio.frame import AudioFrame
from numpy.typing import NDArray

from stages.media import MonoSound
from stages.models import SPEECH_BLOCK_S, SPEECH_RATE_HZ
from stages.signals.frame_pictures import FramePictures
from stages.signals.recorder import Recorder
from stages.signals.samples import Samples
from stages.tasks import Row

if TYPE_CHECKING:
    from stages.models import SpeechDetector  # needs an extra


class SpeechRecorder(Recorder):
    """Listens to the sound that is decoded beside the video.

    Args:
        detector: of this video.
        time_base: seconds per unit of the video's PTS.
    """

    name = "speech"
    clip_columns: ClassVar[tuple[str, ...]] = ()

    def __init__(self, detector: "SpeechDetector", time_base: Fraction) -> None:
        self._detector = detector
        self._sound = MonoSound(SPEECH_RATE_HZ)
        self._seconds_per_pts = float(time_base)
        self._frames_s = array("d")
        self._last_frame_s = 0.0
        self._blocks_s, self._probabilities = array("d"), array("f")
        self._next_s = 0.0

    def hear(self, frame: AudioFrame) -> None:
        """Add the next decoded frame of sound. All are to be added before `samples` is called."""
        for piece in self._sound.push(frame):
            if piece.begins_s is not None:
                self._take(self._detector.finish())
                self._next_s = piece.begins_s
            else:
                self._take(self._detector.push(piece.samples))

    def push(self, pictures: FramePictures) -> None:
        """Add the next frame."""
        decoded = pictures.decoded
        begins_s = decoded.pts * self._seconds_per_pts
        step_s = begins_s - self._frames_s[-1] if self._frames_s else 0.0
        self._last_frame_s = (decoded.frame.duration or 0) * self._seconds_per_pts or step_s
        self._frames_s.append(begins_s)

    def samples(self) -> Samples:
        """``speech`` ``[B]``, 0 to 1, of the blocks that begin while a frame is shown; frames have several, or none."""
        return speech_samples(*self.heard(), np.array(self._frames_s), self._last_frame_s)

    def heard(self) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """When each block begins, in seconds, and its probability. Called once, after the last sound."""
        for piece in self._sound.finish():
            self._take(self._detector.push(piece.samples))
        self._take(self._detector.finish())
        return np.array(self._blocks_s), np.array(self._probabilities, np.float32)

    @classmethod
    def reduce(cls, samples: Samples, start: int, end: int) -> Row:
        """No columns: ``speech_share`` goes by a parameter, see `speech_share`."""
        return {}

    def _take(self, probabilities: NDArray[np.float32]) -> None:
        self._probabilities.extend(probabilities.tolist())
        self._blocks_s.extend((self._next_s + SPEECH_BLOCK_S * np.arange(len(probabilities))).tolist())
        self._next_s += SPEECH_BLOCK_S * len(probabilities)


def speech_samples(
    blocks_s: NDArray[np.float64],
    probabilities: NDArray[np.float32],
    frames_s: NDArray[np.float64],
    last_frame_s: float,
) -> Samples:
    """The measure ``speech`` of blocks of sound, see `SpeechRecorder.samples`.

    Args:
        blocks_s: when each begins.
        probabilities: of each.
        frames_s: when each frame of the video begins.
        last_frame_s: how long the last one is shown.
    """
    order = np.argsort(blocks_s, kind="stable")  # where times overlap, they step back
    frame = np.searchsorted(frames_s, blocks_s[order], side="right") - 1
    end_s = frames_s[-1] + last_frame_s if len(frames_s) else 0.0
    is_shown = (frame >= 0) & (blocks_s[order] < end_s)
    return Samples(frame[is_shown].astype(np.int64), {"speech": probabilities[order][is_shown]})
