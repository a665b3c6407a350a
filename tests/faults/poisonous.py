"""A splitter of somebody else's that does to its worker what the length of a video says."""

from stages.params import SplitParams
from stages.split import Piece, Timeline
from stages.split.fixed_stride import FixedStrideSplitter
from tests.faults.poison import HARM

FRAMES = {"segfault": 31, "hang": 33, "eat": 35}
"""Length of a video that harms so; other videos are split as usual."""


class PoisonousSplitter(FixedStrideSplitter):
    """Splits as its parent, and falls for videos of some lengths."""

    def __init__(self, params: SplitParams) -> None:
        super().__init__(params)
        self._kinds = {frames: kind for kind, frames in FRAMES.items()}

    def pieces(self, timeline: Timeline) -> list[Piece]:
        """The clips, where it lives to tell them."""
        kind = self._kinds.get(len(timeline))
        if kind is not None:
            HARM[kind]()
        return super().pieces(timeline)
