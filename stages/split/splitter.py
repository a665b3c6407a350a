"""The interface of splitters, which divide a video into clips. Users implement it for their own splitters."""

from abc import abstractmethod
from collections.abc import Sequence
from fractions import Fraction

from stages.split.analyser import VideoAnalyser
from stages.split.spans import Piece, keyframe_boundaries
from stages.split.timeline import Timeline
from stages.tasks import Size


class Splitter(VideoAnalyser):
    """Divides videos into pieces, one after another: `begin`, `push` while the video is decoded, `pieces` at its end.

    Attributes:
        picture_size: size of the pushed pictures, which are upright; None if the splitter needs no pictures.
    """

    picture_size: Size | None = None

    def begin(self) -> None:
        """Start a new video: reset the state of the previous one."""

    def begin_video(self, frame_rate: Fraction | None) -> None:
        """Start a new video, whose average frames a second are known or None; calls `begin`."""
        self.begin()

    @abstractmethod
    def pieces(self, timeline: Timeline) -> list[Piece]:
        """The pieces of the pushed video that become clips, in order."""

    def boundaries(self, timeline: Timeline) -> Sequence[int]:
        """Boundaries where clips may begin and end: all, or only keyframes with ``split.snap_to_keyframes``."""
        return keyframe_boundaries(timeline) if self.params.snap_to_keyframes else range(len(timeline) + 1)
