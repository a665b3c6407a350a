"""Logos and other marks that stand while the scene behind them moves: edges that are the same in all pictures."""

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.media.active_area import Luma, detect_active_area
from stages.media.clean_area import Box
from stages.media.clip_tasks import evenly_spaced_indices

LEAST_PICTURES = 10
MAX_PICTURES = 16
EDGE_LEVELS = 24.0
"""Grey levels over two pixels, of the mean over time: less is no edge."""
COHERENCE = 0.9
"""Length of the mean gradient over the mean length: 1 for an edge that is the same in all pictures."""
CHANGED = 0.3
"""Deviation over time of a pixel that changes, each picture brought to a mean of 0 and a deviation of 1, so that light
that rises on the whole scene is no change."""
LEAST_CHANGED = 0.85
"""Share of such pixels. Where fewer change, the camera stands, and nothing can be told."""
LEAST_CONTRAST = 4.0
"""In grey levels: the deviation of a picture counts as so much at least, so that noise of a black one is no change."""
NEAR_PX = 9
"""Edges so near one another are one mark."""
BORDER_PX = 4
"""Along bars and the picture's border, where edges always stand."""
LEAST_EDGE_PX = 24
LEAST_SIDE_PX = 6
MOST_AREA = 0.15
"""Of the picture, by the rectangle around the mark: what is larger is scenery that the camera follows."""


def find_standing_marks(luma: Luma) -> list[Box]:
    """Rectangles around marks, in shares of the picture, of the pictures of a clip, uint8 ``[N, H, W]``.

    None are found in fewer than 10 pictures, and none where the scene stands too.
    """
    count, height, width = luma.shape
    if count < LEAST_PICTURES:
        return []
    area = detect_active_area(luma)
    pictures = luma[evenly_spaced_indices(count, MAX_PICTURES), area.top : area.bottom, area.left : area.right]
    if min(pictures.shape[1:]) <= 4 * BORDER_PX:
        return []
    if (_changes(pictures) >= CHANGED).mean() < LEAST_CHANGED:
        return []
    found = marks_among(_standing_edges(pictures), LEAST_EDGE_PX, MOST_AREA * height * width)
    return [
        Box(
            (area.left + box.left) / width,
            (area.top + box.top) / height,
            (area.left + box.right) / width,
            (area.top + box.bottom) / height,
        )
        for box in map(bounds_of, found)
    ]


def marks_among(standing: NDArray[np.bool_], least_edge_px: int, most_area: float) -> list[NDArray[np.bool_]]:
    """The edges of each mark, of all edges that stand, ``[H, W]``: those near one another, off the border.

    Args:
        standing: where an edge stands.
        least_edge_px: pixels of edges of a mark.
        most_area: of the rectangle around it, in pixels.
    """
    inside = np.zeros_like(standing)
    inside[BORDER_PX:-BORDER_PX, BORDER_PX:-BORDER_PX] = True
    standing = standing & inside
    near = cv2.getStructuringElement(cv2.MORPH_RECT, (NEAR_PX, NEAR_PX))
    number, labels = cv2.connectedComponents(cv2.dilate(standing.astype(np.uint8), near), connectivity=8)
    found = (standing & (labels == label) for label in range(1, number))
    return [
        mark
        for mark in found
        if np.count_nonzero(mark) >= least_edge_px
        and min(_sides(bounds_of(mark))) >= LEAST_SIDE_PX
        and bounds_of(mark).area <= most_area
    ]


def bounds_of(mark: NDArray[np.bool_]) -> Box:
    """The rectangle around a mark, in pixels."""
    rows, columns = np.nonzero(mark)
    return Box(int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1)


def _sides(box: Box) -> tuple[float, float]:
    return box.right - box.left, box.bottom - box.top


def _changes(pictures: Luma) -> NDArray[np.float32]:
    """How much each pixel deviates over time, see `CHANGED`."""
    levels = pictures.astype(np.float32)
    contrast = np.maximum(levels.std(axis=(1, 2), keepdims=True), LEAST_CONTRAST)
    return ((levels - levels.mean(axis=(1, 2), keepdims=True)) / contrast).std(axis=0)


def _standing_edges(pictures: Luma) -> NDArray[np.bool_]:
    """Where the same edge is in all pictures, ``[H, W]``."""
    across = np.stack([cv2.Sobel(picture, cv2.CV_32F, 1, 0, scale=0.25) for picture in pictures])
    down = np.stack([cv2.Sobel(picture, cv2.CV_32F, 0, 1, scale=0.25) for picture in pictures])
    strength = np.hypot(across, down).mean(axis=0)
    mean = np.hypot(across.mean(axis=0), down.mean(axis=0))
    return (strength >= EDGE_LEVELS) & (mean >= COHERENCE * strength)
