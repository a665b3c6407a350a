"""A custom splitter that crashes, hangs or exhausts the memory of its worker for videos of certain lengths."""

from stages.params import SplitParams
from stages.split import Piece, Timeline
from stages.split.fixed_stride import FixedStrideSplitter
from tests.faults.faulty_stages import FAULTS

FRAMES_BY_FAULT = {"segfault": 31, "hang": 33, "exhaust_memory": 35}
"""By kind of fault, the number of frames of a video that triggers it; other videos are split as usual."""


class FaultySplitter(FixedStrideSplitter):
    """Splits as `FixedStrideSplitter`, but has a fault for videos of the lengths in `FRAMES_BY_FAULT`."""

    def __init__(self, params: SplitParams) -> None:
        super().__init__(params)
        self._fault_by_frames = {frames: kind for kind, frames in FRAMES_BY_FAULT.items()}

    def pieces(self, timeline: Timeline) -> list[Piece]:
        """The clips, unless the video's length triggers a fault."""
        kind = self._fault_by_frames.get(len(timeline))
        if kind is not None:
            FAULTS[kind]()
        return super().pieces(timeline)
