"""The interface of detectors, which find where shots change. Users implement it for their own networks."""

from abc import abstractmethod
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from stages.split.analyser import VideoAnalyser
from stages.split.timeline import Timeline
from stages.split.transitions import Transition
from stages.tasks import Size


class TransitionDetector(VideoAnalyser):
    """Finds transitions of videos, one after another: `begin`, `push` while one is decoded, `transitions` at its end.

    ``split.detector`` names it; clips are made of what lies between its transitions.

    Attributes:
        picture_size: size of the pushed pictures, which are upright.
    """

    picture_size: Size

    @abstractmethod
    def begin(self, frame_rate: Fraction | None) -> None:
        """Start a new video: reset the state of the previous one.

        Args:
            frame_rate: average frames a second; None where the container does not tell.
        """

    @abstractmethod
    def push(self, pictures: NDArray[np.uint8]) -> None:
        """Add the next frames, uint8 ``[N, H, W, 3]``, RGB. Called from one thread, which is not the decoder's."""

    @abstractmethod
    def transitions(self, timeline: Timeline) -> Sequence[Transition]:
        """The transitions of the pushed video, in order, none overlapping another."""
