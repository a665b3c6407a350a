"""The measure ``fast``: small pictures of the frames between hashed ones, which `HashRecorder` collects."""

from typing import ClassVar

from stages.signals.frame_pictures import FramePictures
from stages.signals.hashes import HashRecorder
from stages.signals.recorder import Recorder
from stages.signals.samples import Samples
from stages.tasks import Row


class FastRecorder(Recorder):
    """Hands over what the recorder of hashes collected of fast motion; those know the bars around it.

    Args:
        hashes: the recorder of the same decode.
    """

    name = "fast"
    clip_columns: ClassVar[tuple[str, ...]] = ()

    def __init__(self, hashes: HashRecorder) -> None:
        self._hashes = hashes

    def push(self, pictures: FramePictures) -> None:
        """Nothing: the recorder of hashes gets the same frames."""

    def samples(self) -> Samples:
        """``fast_thumbnail`` ``[N, 576]``."""
        return self._hashes.fast_samples()

    @classmethod
    def reduce(cls, samples: Samples, start: int, end: int) -> Row:
        """No columns; dedup reads the pictures."""
        return {}
