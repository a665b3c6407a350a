"""A detector of one's own, outside the registry."""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from stages.split import Timeline, Transition, TransitionDetector
from stages.tasks import Size


class FixedDetector(TransitionDetector):
    """Finds a dissolve [70, 80) and a fade of the last 25 frames, whatever it sees; stores nothing."""

    picture_size = Size(32, 18)
    num_frames = 0

    def begin(self, frame_rate: Fraction | None) -> None:
        assert frame_rate == 25
        self.num_frames = 0

    def push(self, pictures: NDArray[np.uint8]) -> None:
        assert pictures.shape[1:] == (18, 32, 3)
        self.num_frames += len(pictures)

    def transitions(self, timeline: Timeline) -> Sequence[Transition]:
        end = self.num_frames
        return [Transition(70, 80, "dissolve", 0.75), Transition(end - 25, end, "fade", 0.5)]
