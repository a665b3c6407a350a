"""Where size, pixel aspect or rotation of the pictures change inside a stream, and where it begins anew."""

from array import array
from collections.abc import Sequence

import numpy as np

from stages.signals.frame_pictures import FramePictures
from stages.signals.recorder import Recorder
from stages.signals.samples import Samples
from stages.tasks import Row


class PictureFormatRecorder(Recorder):
    """Records the format of the first frame, and of each frame that has another one than the frame before."""

    name = "picture_format"
    clip_columns = ("width", "height", "rotation", "num_restarts")

    def __init__(self) -> None:
        self._last: tuple[int, ...] | None = None
        self._frames = array("q")
        self._values: list[tuple[int, ...]] = []

    def push(self, pictures: FramePictures) -> None:
        """Add the next frame."""
        decoded, displayed = pictures.decoded, pictures.displayed_size
        frame = decoded.frame
        size = (displayed.width, displayed.height, frame.rotation, frame.width, frame.height)
        format_ = (*size, decoded.num_restarts)
        if format_ != self._last:
            self._last = format_
            self._frames.append(decoded.index)
            self._values.append(format_)

    def samples(self) -> Samples:
        """Displayed size, rotation, coded size, and how often the source has begun anew, from each frame on."""
        names = ("displayed_width", "displayed_height", "rotation", "coded_width", "coded_height", "restarts")
        values = np.array(self._values, np.int64).reshape(len(self._values), len(names))
        columns = {name: values[:, column].copy() for column, name in enumerate(names)}
        return Samples(np.array(self._frames, np.int64), columns)

    @classmethod
    def reduce(cls, samples: Samples, start: int, end: int) -> Row:
        """The format of the clip's first frame, which all of its frames have, and the restarts of the whole video."""
        at = int(np.searchsorted(samples.frame, start, side="right")) - 1
        format_ = {name: int(values[at]) for name, values in samples.values.items()}
        return {
            "width": format_["displayed_width"],
            "height": format_["displayed_height"],
            "rotation": format_["rotation"],
            "num_restarts": int(samples["restarts"][-1]),
        }


def format_changes(samples: Samples) -> Sequence[int]:
    """Frames from which on size, pixel aspect or rotation are others than before; no clip goes over one."""
    columns = [samples.values[name] for name in samples.values if name != "restarts"]
    formats = np.stack(columns, axis=1)
    changed = np.flatnonzero((formats[1:] != formats[:-1]).any(axis=1)) + 1
    return [int(frame) for frame in samples.frame[changed]]
