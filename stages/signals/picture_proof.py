"""Proves suspected frames whole by their pictures: nothing changes at once where damage would come or go.

Frames after a damaged or missing one are suspected, since they may be predicted from it. What is damaged stays so up to
the next keyframe, where it vanishes within one step. So a chain of steps that motion explains, back from the first
trusted frame after the suspected ones, proves all of them:

    frames       0 1 2 3 | 5 6 7 8 [9]     |: a frame is missing; [9]: a keyframe
    suspected              x x x x
    steps                   - - - -        all like those around them: 5 to 8 are whole

Without a trusted frame behind them nothing is proven: a part of the picture that should have changed may stand still.
Nor is it where the picture moves on by more at the trusted frame than at the steps around it: where a frame is missing,
those behind it lag by its motion, and catch up there.

- Frames that look as that frame does are whole, whatever was before.
- Where all packets are there and it is open which of them is damaged, damage comes within one step; frames before that
  step are whole.
- Where an encoder put a keyframe out of turn, the cut is there and not earlier: a picture that has stood still up to it
  is whole.
"""

import functools
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Flags = NDArray[np.bool_]
Blocks = NDArray[np.float32]
Picture = NDArray[np.uint8]

LONG_SIDE_PX = 96
BLOCK_PX, STRIDE_PX = 10, 6
"""Side of a block, and from one block to the next."""
REACH = 6
"""Steps before and after that a step is compared with, its neighbours left out: they may share a frame with it."""
BLOCK_LEVELS = 6.0
"""Grey levels of 255 by which a block may change more than those around it did."""
MEAN_LEVELS = 1.0
"""The same as a mean over the picture; a quarter of what is visible at once."""
STILL_LEVELS = 1.5
"""Blocks of a picture that stands still change by no more."""
MAX_EXCUSED_LEVELS = 20.0
"""No more change than this is explained by such change in other steps."""
JUMP_PX = 0.4
JUMP_RATIO = 2.0
"""A picture catches up where it moves by so many pixels more than in the steps around, and by so many times as much as
they differ: medians over the blocks that tell of motion."""
SLOPE_LEVELS = 3.0
"""Blocks tell of motion where their mean slope is at least so many grey levels a pixel."""
MOVING_SHARE_MIN = 0.1
"""Share of such blocks below which a picture tells nothing of motion."""
MIN_COMPARED = 4
"""Steps that motion is compared with, at least."""


@dataclass(frozen=True, slots=True)
class Suspects:
    """Frames that may be damaged as packets and decoder tell, a bool ``[N]`` each.

    Attributes:
        frames: suspected, and not yet looked at.
        bad: damaged as pictures have shown.
        late: suspected because the decoder notices damage late: all packets up to them are there, and it is open which
            of them is damaged.
        follow_gap: frames before which others are missing.
        sound: damaged by these tests, and whole as headers prove; not among the suspected.
    """

    frames: Flags
    bad: Flags
    late: Flags
    follow_gap: Flags
    sound: Flags

    def runs(self, keyframes: Collection[int]) -> list[tuple[int, int]]:
        """Runs [start, end) of suspected frames, each within a GOP."""
        starts = np.isin(np.arange(len(self.frames)), np.asarray(keyframes))
        edges = np.flatnonzero(self.frames & (starts | ~np.append(False, self.frames[:-1])))
        ends = np.flatnonzero(self.frames & (np.append(starts[1:], True) | ~np.append(self.frames[1:], False))) + 1
        return list(zip(edges.tolist(), ends.tolist(), strict=True))

    def wanted_steps(self, keyframes: Collection[int]) -> Flags:
        """Steps, by their second frame, that `proven_frames` looks at; none where nothing could be proven."""
        wanted = np.zeros(len(self.frames) + 1, np.bool_)
        for start, end in self.runs(keyframes):
            if end < len(self.frames) or self.late[start]:
                wanted[max(1, start - REACH) : end + REACH + 1] = True
        return wanted[:-1]


@dataclass(frozen=True, slots=True)
class Step:
    """What changes from a picture to the next, in overlapping blocks.

    Attributes:
        levels: mean change in grey levels, motion taken off, ``[H, W]``.
        motion: mean motion back, in pixels right and down, ``[H, W, 2]``.
        has_slope: bool ``[H, W]``: the block has slopes that tell of its motion.
    """

    levels: Blocks
    motion: Blocks
    has_slope: Flags


class StepMeter:
    """Measures what changes from one picture to the next. Keeps the flow's buffers; not thread-safe."""

    def __init__(self) -> None:
        self._method = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    def measure(self, before: Picture, after: Picture) -> Step:
        """The step between two pictures.

        Args:
            before: luma, ``[H, W]``.
            after: of the same size.
        """
        flow = self._method.calc(after, before, None)  # type: ignore[call-overload]
        no_second_map: Any = None
        places = flow + _pixels(*after.shape)
        moved = cv2.remap(before, places, no_second_map, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        slopes = cv2.magnitude(*(cv2.Sobel(after, cv2.CV_32F, *axis, scale=1 / 8) for axis in ((1, 0), (0, 1))))
        levels = _in_blocks(cv2.absdiff(moved, after).astype(np.float32))
        return Step(levels, _in_blocks(flow), _in_blocks(slopes) > SLOPE_LEVELS)


def _in_blocks(values: NDArray[Any]) -> Blocks:
    """Means of blocks."""
    first = STRIDE_PX // 2
    return cv2.blur(values, (BLOCK_PX, BLOCK_PX))[first::STRIDE_PX, first::STRIDE_PX].astype(np.float32)


@functools.lru_cache(maxsize=4)
def _pixels(height: int, width: int) -> NDArray[np.float32]:
    """Column and row of each pixel, ``[H, W, 2]``."""
    return np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1).astype(np.float32)


def proven_frames(suspects: Suspects, keyframes: Collection[int], steps: Mapping[int, Step]) -> Flags:
    """The suspected frames that are whole as their pictures prove.

    Args:
        suspects: of the stream.
        keyframes: indices of its keyframes.
        steps: by their second frame, as `StepMeter` has them; unknown steps prove nothing.
    """
    trusted = ~(suspects.frames | suspects.bad)
    for start, end in reversed(suspects.runs(keyframes)):
        is_sudden = {step: _is_sudden(step, steps, suspects.follow_gap) for step in range(start, end + 1)}
        if end < len(trusted) and trusted[end]:
            if not _catches_up(end, steps, suspects.follow_gap):
                trusted[_proven_from(start, end, is_sudden, suspects.follow_gap) : end] = True
            trusted[_equal_from(start, end, steps) : end] = True
            if start > 0 and trusted[start - 1] and _is_out_of_turn(end, keyframes):
                trusted[start:end] |= all(_is_still(steps.get(step)) for step in range(start, end))
        step = start
        while step < end and suspects.late[step] and step > 0 and trusted[step - 1] and not is_sudden[step]:
            trusted[step] = True
            step += 1
    return trusted & suspects.frames


def _proven_from(start: int, end: int, is_sudden: Mapping[int, bool], follow_gap: Flags) -> int:
    """First frame of a run that the chain of steps up to its end proves; the end where it proves none.

    A gap of missing frames breaks the chain. Any other sudden step leaves open which of its sides is damaged.
    """
    sudden = [step for step in range(max(start, 1), end + 1) if is_sudden[step]]
    if any(step == end or not follow_gap[step] for step in sudden):
        return end
    return max([start, *sudden])


def _equal_from(start: int, end: int, steps: Mapping[int, Step]) -> int:
    """First frame of a run that looks as the frame at its end does, as do all frames between."""
    total = 0.0
    while end > start and end in steps and _is_still(steps[end]):
        total += float(steps[end].levels.mean())
        if total > MEAN_LEVELS:
            break
        end -= 1
    return end


def _is_out_of_turn(frame: int, keyframes: Collection[int]) -> bool:
    """True for a keyframe that comes before the longest distance of keyframes in the stream has passed."""
    keys = sorted(keyframes)
    distances = dict(zip(keys[1:], np.diff(keys).tolist(), strict=True))
    return frame in distances and distances[frame] < max(distances.values())


def _is_still(step: Step | None) -> bool:
    return step is not None and bool(step.levels.max() <= STILL_LEVELS)


def _is_sudden(place: int, steps: Mapping[int, Step], follow_gap: Flags) -> bool:
    """True where blocks change more than they or their neighbours do in the steps around; true where it is unknown."""
    others = [steps[other].levels for other in _around(place, steps, follow_gap) if abs(other - place) > 1]
    if not others:
        return True
    usual = cv2.dilate(np.max(others, axis=0), np.ones((3, 3), np.uint8))
    more = np.maximum(0, steps[place].levels - np.minimum(usual, MAX_EXCUSED_LEVELS))
    return bool(more.max() > BLOCK_LEVELS or more.mean() > MEAN_LEVELS)


def _catches_up(place: int, steps: Mapping[int, Step], follow_gap: Flags) -> bool:
    """True where the picture moves on by more than in the steps around; false where that cannot be told."""
    others = [steps[other].motion for other in _around(place, steps, follow_gap)]
    if len(others) < MIN_COMPARED or steps[place].has_slope.mean() < MOVING_SHARE_MIN:
        return False
    usual = np.median(others, axis=0)
    jump, *spread = (
        np.linalg.norm(motion - usual, axis=-1)[steps[place].has_slope] for motion in (steps[place].motion, *others)
    )
    return bool(np.median(jump) > max(JUMP_PX, JUMP_RATIO * np.median(np.median(spread, axis=0))))


def _around(place: int, steps: Mapping[int, Step], follow_gap: Flags) -> list[int]:
    """Steps that a known one is compared with: those around it, without gaps and of pictures of the same size."""
    near = (other for other in range(place - REACH, place + REACH + 1) if other != place)
    return [
        other
        for other in near
        if {place, other} <= steps.keys()
        and not follow_gap[other]
        and steps[other].levels.shape == steps[place].levels.shape
    ]
