"""The interface of the measures of a decode."""

from abc import ABC, abstractmethod
from typing import ClassVar

from stages.signals.frame_pictures import FramePictures
from stages.signals.samples import Samples
from stages.tasks import Row


class Recorder(ABC):
    """Measures the frames of one video while it is decoded, and reduces what it measured to the columns of a clip.

    Attributes:
        name: of the measure, as ``split.signals`` has it.
        version: to be raised whenever the same frames would get other values; part of the signals' key.
        clip_columns: names of the columns that `reduce` gives.
    """

    name: ClassVar[str]
    version: ClassVar[str] = "1"
    clip_columns: ClassVar[tuple[str, ...]]

    @abstractmethod
    def push(self, pictures: FramePictures) -> None:
        """Add the next frame; PTS must rise."""

    @abstractmethod
    def samples(self) -> Samples:
        """What was measured. Called once, after the last frame."""

    @classmethod
    @abstractmethod
    def reduce(cls, samples: Samples, start: int, end: int) -> Row:
        """The columns of a clip of frames [start, end); None where nothing was measured in it."""
