"""The pictures of a section that `HashRecorder` would look at: their hashes hang on pictures of other sections.

Bars are told by two seconds of pictures before and after, and which still pictures are stored by all before. So these
are measured once all sections are decoded, by `hashes_of`.
"""

from array import array
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import ClassVar

import numpy as np

from stages.media import Indivisible
from stages.signals.fast_pictures import FastMotion
from stages.signals.frame_pictures import FramePictures
from stages.signals.hashes import HashRecorder, PictureTimes, hashed_luma, thumbnail
from stages.signals.recorder import Recorder
from stages.signals.samples import Samples
from stages.tasks import Row

COMPARED_PICTURES = 3
"""Hashed pictures of which `FastMotion` tells whether motion is fast; before a section has as many, all are kept."""


class HashPictureRecorder(Recorder):
    """Keeps the pictures of frames that are hashed, and of those between that may be.

    Args:
        time_base: seconds per unit of PTS.
    """

    name = "hash_pictures"
    clip_columns: ClassVar[tuple[str, ...]] = ()

    def __init__(self, time_base: Fraction) -> None:
        self._times = PictureTimes(time_base)
        self._motion = FastMotion(time_base)
        self._num_due = 0
        self._frames, self._pts, self._is_due, self._heights = array("q"), array("q"), array("b"), array("q")
        self._pictures = bytearray()
        self._length = 0

    def push(self, pictures: FramePictures) -> None:
        """Add the next frame.

        Raises:
            Indivisible: it has another size than those before.
        """
        decoded = pictures.decoded
        is_due = self._times.is_due(decoded.pts)
        if not is_due and self._num_due >= COMPARED_PICTURES and not self._motion.is_due(decoded.pts):
            return
        luma = hashed_luma(pictures)
        if is_due:
            self._num_due += 1
            self._motion.add(decoded.pts, thumbnail(luma))
        self._frames.append(decoded.index)
        self._pts.append(decoded.pts)
        self._is_due.append(is_due)
        self._heights.append(luma.shape[0])
        self._length = self._length or luma.size
        if luma.size != self._length:
            raise Indivisible("The size of the pictures changes.")
        self._pictures += luma.tobytes()

    def skip(self, pts: int) -> None:
        """Count its time."""
        self._times.is_due(pts)

    def samples(self) -> Samples:
        """``pts``, ``is_due``, ``height`` ``[N]`` and ``luma`` ``[N, H * W]``."""
        luma = np.frombuffer(self._pictures, np.uint8).reshape(-1, max(1, self._length))
        columns = {"pts": self._pts, "height": self._heights}
        values = {name: np.array(column, np.int64) for name, column in columns.items()}
        is_due = np.array(self._is_due, np.bool_)
        return Samples(np.array(self._frames, np.int64), {**values, "is_due": is_due, "luma": luma})

    @classmethod
    def reduce(cls, samples: Samples, start: int, end: int) -> Row:
        """No columns: the pictures are no measure."""
        return {}


def hashes_of(sections: Iterable[Samples], time_base: Fraction) -> Sequence[Samples]:
    """Of the pictures of all sections, in order, the measures ``hashes``, ``fast`` and ``stills``.

    Args:
        sections: of `HashPictureRecorder`; each is read once, when it is needed.
        time_base: seconds per unit of PTS.
    """
    recorder = HashRecorder(time_base)
    for section in sections:
        for number, frame in enumerate(section.frame.tolist()):
            # A copy, since the recorder holds some: of a view, it would hold the section.
            luma = section["luma"][number].reshape(int(section["height"][number]), -1).copy()
            add = recorder.add_due if section["is_due"][number] else recorder.add_other
            add(frame, int(section["pts"][number]), luma)
        del section  # before the next one is read
    return recorder.samples(), recorder.fast_samples(), recorder.still_samples()
