"""The measure ``stills``: larger pictures of what stands still, which `HashRecorder` collects beside its hashes."""

from typing import ClassVar

from stages.signals.frame_pictures import FramePictures
from stages.signals.hashes import HashRecorder
from stages.signals.recorder import Recorder
from stages.signals.samples import Samples
from stages.tasks import Row


class StillRecorder(Recorder):
    """Hands over what the recorder of hashes collected of still pictures; those know the bars around them.

    Args:
        hashes: the recorder of the same decode.
    """

    name = "stills"
    clip_columns: ClassVar[tuple[str, ...]] = ()

    def __init__(self, hashes: HashRecorder) -> None:
        self._hashes = hashes

    def push(self, pictures: FramePictures) -> None:
        """Nothing: the recorder of hashes gets the same frames."""

    def samples(self) -> Samples:
        """``still`` ``[N, 9216]``."""
        return self._hashes.still_samples()

    @classmethod
    def reduce(cls, samples: Samples, start: int, end: int) -> Row:
        """No columns; dedup reads the pictures."""
        return {}
