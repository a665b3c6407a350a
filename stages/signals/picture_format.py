"""Where size, pixel aspect, rotation or colours of the pictures change inside a stream, and where it begins anew."""

from array import array
from collections.abc import Sequence

import av
import numpy as np

from stages.media import Colour
from stages.signals.frame_pictures import FramePictures
from stages.signals.recorder import Recorder
from stages.signals.samples import Samples, concatenated
from stages.tasks import Row

_RGB = -1
"""Stands for the matrix of what has none."""
_NAMES = (
    *("displayed_width", "displayed_height", "rotation", "coded_width", "coded_height"),
    *("bit_depth", "matrix", "color_range", "hdr_transfer", "wide_primaries", "restarts"),
)


class PictureFormatRecorder(Recorder):
    """Records the format of the first frame, and of each frame that has another one than the frame before.

    Of colours, what a picture's numbers mean where it is shown: tags that change nothing are no change.
    """

    name = "picture_format"
    version = "2"
    clip_columns = ("width", "height", "rotation", "bit_depth", "is_hdr", "num_restarts")

    def __init__(self) -> None:
        self._last: tuple[int, ...] | None = None
        self._bit_depths: dict[str, int] = {}
        self._frames = array("q")
        self._values: list[tuple[int, ...]] = []

    def push(self, pictures: FramePictures) -> None:
        """Add the next frame."""
        decoded, displayed = pictures.decoded, pictures.displayed_size
        frame = decoded.frame
        size = (displayed.width, displayed.height, frame.rotation, frame.width, frame.height)
        format_ = (*size, self._bit_depth(frame), *_colours(frame), decoded.num_restarts)
        if format_ != self._last:
            self._last = format_
            self._frames.append(decoded.index)
            self._values.append(format_)

    def _bit_depth(self, frame: av.VideoFrame) -> int:
        name = frame.format.name
        if name not in self._bit_depths:  # PyAV makes an object for each component
            self._bit_depths[name] = frame.format.components[0].bits
        return self._bit_depths[name]

    def samples(self) -> Samples:
        """Displayed size, rotation, coded size, colours, and how often the source has begun anew, from a frame on."""
        values = np.array(self._values, np.int64).reshape(len(self._values), len(_NAMES))
        columns = {name: values[:, column].copy() for column, name in enumerate(_NAMES)}
        return Samples(np.array(self._frames, np.int64), columns)

    def joined(self, sections: Sequence[Samples]) -> Samples:
        """The samples, without those that repeat the format of the section before."""
        found = concatenated(sections)
        formats = np.stack(list(found.values.values()), axis=1)
        is_new = np.append(True, (formats[1:] != formats[:-1]).any(axis=1))
        return Samples(found.frame[is_new], {name: values[is_new] for name, values in found.values.items()})

    @classmethod
    def reduce(cls, samples: Samples, start: int, end: int) -> Row:
        """The format of the clip's first frame, which all of its frames have, and the restarts of the whole video."""
        at = int(np.searchsorted(samples.frame, start, side="right")) - 1
        format_ = {name: int(values[at]) for name, values in samples.values.items()}
        return {
            "width": format_["displayed_width"],
            "height": format_["displayed_height"],
            "rotation": format_["rotation"],
            "bit_depth": format_["bit_depth"],
            "is_hdr": format_["hdr_transfer"] > 0,
            "num_restarts": int(samples["restarts"][-1]),
        }


def _colours(frame: av.VideoFrame) -> tuple[int, int, int, int]:
    """Matrix and range; transfer of HDR, and primaries far from those of BT.709, else 0."""
    colour = Colour.of(frame)
    matrix = _RGB if colour.matrix is None else colour.matrix
    primaries = 0 if colour.has_usual_primaries else colour.primaries
    return matrix, int(colour.color_range), colour.transfer if colour.is_hdr else 0, primaries


def format_changes(samples: Samples) -> Sequence[int]:
    """Frames from which on size, pixel aspect, rotation or colours are others than before; no clip goes over one."""
    columns = [samples.values[name] for name in samples.values if name != "restarts"]
    formats = np.stack(columns, axis=1)
    changed = np.flatnonzero((formats[1:] != formats[:-1]).any(axis=1)) + 1
    return [int(frame) for frame in samples.frame[changed]]
