"""Logos that stand over a whole video: edges that are the same in scene after scene, whether the camera moves or not.

    scene 1, pictures ..   mean gradient   -+
    scene 2, pictures ..   mean gradient   -+- median, and in how many scenes each agrees with it -> edges -> rectangles
    scene 3, pictures ..   mean gradient   -+

The gradient of a logo survives the median over scenes, that of what they show does not (Dekel et al., On the
Effectiveness of Visible Watermarks, CVPR 2017).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.media.active_area import ActiveArea, Luma, black_frames, detect_active_area
from stages.media.clean_area import Box
from stages.media.clip_tasks import evenly_spaced_indices
from stages.media.standing_marks import BORDER_PX, MOST_AREA, bounds_of, marks_among

FEWEST_SCENES = 3
MOST_SCENES = 24
SMALL_PX = (32, 18)
"""Width and height of the pictures by which scenes are told apart."""
CHANGED_LEVELS = 24.0
CHANGED_SHARE = 0.5
"""Of the small picture's pixels, that differ by so much and more from a scene's first picture: another scene."""
EDGE_LEVELS = 16.0
"""Grey levels over two pixels, of the median over scenes: less is no edge."""
LEAST_ALONG = 0.4
"""Of the median's length, that a scene's gradient has in its direction where it agrees."""
MOST_ACROSS = 0.6
"""Of that, what it has across at most."""
AGREEING = 0.8
"""Share of the scenes that agree; of up to four all."""
LEAST_EDGE_PX = 40
IN_CLIP = 0.5
"""Share of a mark's edges that a clip's pictures must have, too: a logo may come after the titles."""
CLIP_PICTURES = 16
"""Of a clip, that are compared with the marks of its video: enough of them."""

_Gradients = NDArray[np.float32]
"""Across and down, ``[2, H, W]``."""


@dataclass(frozen=True)
class LastingMarks:
    """What stands in all scenes of a video.

    Attributes:
        gradient: float32 ``[2, H, W]``, the median over scenes; empty where there are too few.
        edges: bool ``[H, W]`` for each mark.
    """

    gradient: _Gradients
    edges: tuple[NDArray[np.bool_], ...]

    def within(self, luma: Luma) -> list[Box]:
        """Rectangles, in shares of the picture, around the marks that a clip's pictures ``[N, H, W]`` have too."""
        if not self.edges or luma.shape[1:] != self.edges[0].shape:
            return []
        shown = _agrees(_mean_gradient(luma), self.gradient)
        height, width = luma.shape[1:]
        return [
            Box(box.left / width, box.top / height, box.right / width, box.bottom / height)
            for box in (bounds_of(each) for each in self.edges if shown[each].mean() >= IN_CLIP)
        ]


def find_lasting_marks(luma: Luma) -> LastingMarks:
    """The marks of a video, of pictures spread over it ``[N, H, W]``; none where it has fewer than three scenes."""
    visible = luma[~black_frames(luma)] if len(luma) else luma
    scenes = _scenes(visible)
    if len(scenes) < FEWEST_SCENES:
        return LastingMarks(np.zeros((2, 0, 0), np.float32), ())
    chosen = [scenes[index] for index in evenly_spaced_indices(len(scenes), MOST_SCENES)]
    gradients = np.stack([_mean_gradient(visible[scene]) for scene in chosen])
    median = np.median(gradients, axis=0).astype(np.float32)
    agreeing = sum(_agrees(each, median).astype(np.int32) for each in gradients)
    needed = len(chosen) if len(chosen) < 5 else int(np.ceil(AGREEING * len(chosen)))
    standing = (np.hypot(*median) >= EDGE_LEVELS) & (agreeing >= needed)
    return LastingMarks(median, tuple(_marks(standing, detect_active_area(visible))))


def _marks(standing: NDArray[np.bool_], area: ActiveArea) -> Iterator[NDArray[np.bool_]]:
    """The edges of each mark inside the bars."""
    inside = (slice(area.top, area.bottom), slice(area.left, area.right))
    if min(standing[inside].shape) <= 4 * BORDER_PX:
        return
    for mark in marks_among(standing[inside], LEAST_EDGE_PX, MOST_AREA * standing.size):
        edges = np.zeros_like(standing)
        edges[inside] = mark
        yield edges


def _scenes(luma: Luma) -> list[list[int]]:
    """The pictures of each scene; those that come back to one belong to it."""
    found: list[tuple[NDArray[np.float32], list[int]]] = []
    for index, picture in enumerate(luma):
        small = cv2.resize(picture, SMALL_PX, interpolation=cv2.INTER_AREA).astype(np.float32)
        same = (scene for first, scene in found if (np.abs(small - first) >= CHANGED_LEVELS).mean() < CHANGED_SHARE)
        scene = next(same, None)
        if scene is None:
            found.append((small, [index]))
        else:
            scene.append(index)
    return [scene for _, scene in found]


def _mean_gradient(luma: Luma) -> _Gradients:
    total = np.zeros((2, *luma.shape[1:]), np.float32)
    for picture in luma:
        total[0] += cv2.Sobel(picture, cv2.CV_32F, 1, 0, scale=0.25)
        total[1] += cv2.Sobel(picture, cv2.CV_32F, 0, 1, scale=0.25)
    return (total / len(luma)).astype(np.float32, copy=False)


def _agrees(gradient: _Gradients, median: _Gradients) -> NDArray[np.bool_]:
    """Where a gradient has the direction and a good part of the length of the median."""
    length = np.hypot(*median)
    across_unit, down_unit = median / np.maximum(length, 1e-3)
    along = gradient[0] * across_unit + gradient[1] * down_unit
    across = np.abs(gradient[1] * across_unit - gradient[0] * down_unit)
    return (along >= LEAST_ALONG * length) & (across <= MOST_ACROSS * np.maximum(along, 1))
