"""A custom splitter that harms its worker for videos of certain lengths."""

from stages.params import SplitParams
from stages.split import Piece, Timeline
from stages.split.fixed_stride import FixedStrideSplitter
from tests.faults.faulty_stages import HARM

FRAMES = {"segfault": 31, "hang": 33, "eat": 35}
"""By kind of harm, the number of frames of a video that triggers it; other videos are split as usual."""


class PoisonousSplitter(FixedStrideSplitter):
    """Splits as `FixedStrideSplitter`, but harms its worker for videos of the lengths in `FRAMES`."""

    def __init__(self, params: SplitParams) -> None:
        super().__init__(params)
        self._kinds = {frames: kind for kind, frames in FRAMES.items()}

    def pieces(self, timeline: Timeline) -> list[Piece]:
        """The clips, unless the video's length triggers a harm."""
        kind = self._kinds.get(len(timeline))
        if kind is not None:
            HARM[kind]()
        return super().pieces(timeline)
