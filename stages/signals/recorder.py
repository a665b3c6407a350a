"""The interface of the measures of a decode."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from stages.signals.frame_pictures import FramePictures
from stages.signals.samples import Samples, concatenated
from stages.tasks import Row


class Recorder(ABC):
    """Measures the frames of one video while it is decoded, and reduces what it measured to the columns of a clip.

    Attributes:
        name: of the measure, as ``split.signals`` has it.
        version: to be raised whenever the same frames would get other values; part of the signals' key.
        clip_columns: names of the columns that `reduce` gives.
        looks_back: a sample looks at the frame before its own too, which the first frame of a section lacks: that one
            is measured with the section before.
    """

    name: ClassVar[str]
    version: ClassVar[str] = "1"
    clip_columns: ClassVar[tuple[str, ...]]
    looks_back: ClassVar[bool] = False

    def skip(self, pts: int) -> None:  # noqa: B027 - most measures have times, some have none
        """Pass over a frame before the section that is decoded: times at which the measure looks go by it.

        The video's first two frames, and those of the last seconds before the section, are enough.
        """

    @abstractmethod
    def push(self, pictures: FramePictures) -> None:
        """Add the next frame; PTS must rise."""

    @abstractmethod
    def samples(self) -> Samples:
        """What was measured. Called once, after the last frame."""

    def joined(self, sections: Sequence[Samples]) -> Samples:
        """The samples of a video, of those of its sections in order, each without those of frames of others."""
        return concatenated(sections)

    @classmethod
    @abstractmethod
    def reduce(cls, samples: Samples, start: int, end: int) -> Row:
        """The columns of a clip of frames [start, end); None where nothing was measured in it."""
