"""What was measured of each frame of a video, and candidates for transitions in it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from stages.split.change_meter import RETURN_S, STEP_S
from stages.split.timeline import Timeline

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class FrameSignals:
    """Values of each frame, all ``[N]``; see `TransNetV2Detector.measured` and `ChangeMeter.measured`.

    Attributes:
        step: frames in `STEP_S`, at the mean rate.
        flash: frames that a flash lasts at most.
    """

    shot: Floats
    transition: Floats
    change: Floats
    spread: Floats
    coherence: Floats
    contrast: Floats
    return_change: Floats
    return_frames: Floats
    wipe_share: Floats
    wipe_order: Floats
    wipe_length: Floats
    settled_change: Floats
    settled_share: Floats
    settled_area: Floats
    settled_length: Floats
    step: int
    flash: int

    @classmethod
    def of(cls, measured: Mapping[str, NDArray[Any]], timeline: Timeline) -> Self:
        """The columns of a video's signals."""
        length_s = float((timeline.end_pts - timeline.at(0)) * timeline.time_base) if len(timeline) else 1.0
        rate = len(timeline) / length_s
        return cls(
            measured["shot_probability"],
            measured["transition_probability"],
            measured["still_change"],
            measured["change_spread"],
            measured["change_coherence"],
            measured["contrast"],
            measured["return_change"],
            measured["return_frames"],
            measured["wipe_share"],
            measured["wipe_order"],
            measured["wipe_length"],
            measured["settled_change"],
            measured["settled_share"],
            measured["settled_area"],
            measured["settled_length"],
            max(1, round(STEP_S * rate)),
            max(2, round(RETURN_S * rate)),
        )

    def __len__(self) -> int:
        return len(self.change)

    @property
    def fed(self) -> NDArray[np.int64]:
        """Frames that the network got."""
        return np.flatnonzero(~np.isnan(self.shot))

    def probability(self, start: int, end: int) -> float:
        """The larger of both outputs in the frames [start, end); 0 where the network got none of them."""
        values = np.concatenate([self.shot[start:end], self.transition[start:end]])
        return 0.0 if np.isnan(values).all() else float(np.nanmax(values))


@dataclass(frozen=True, slots=True)
class Candidate:
    """Frames [start, end) that may be one transition; those of a cut are none.

    Attributes:
        is_wipe: an edge passes over the picture meanwhile.
    """

    start: int
    end: int
    probability: float
    is_wipe: bool = False


def merged(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The candidates in order; those that overlap or touch become one."""
    found: list[Candidate] = []
    for each in sorted(candidates, key=lambda each: each.start):
        if found and each.start <= found[-1].end:
            last = found.pop()
            probability = max(last.probability, each.probability)
            is_wipe = last.is_wipe and each.is_wipe
            found.append(Candidate(last.start, max(last.end, each.end), probability, is_wipe=is_wipe))
        else:
            found.append(each)
    return found


def touches_any(found: Candidate, others: Sequence[Candidate], distance: int = 1) -> bool:
    """True if the candidate overlaps one of the others, or lies at most so many frames away."""
    return any(other.start - distance <= found.end and found.start <= other.end + distance for other in others)


def runs(is_in: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Runs [start, end) of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], is_in, [False]]).astype(np.int8)))
    return [(int(start), int(end)) for start, end in zip(edges[::2], edges[1::2], strict=True)]
