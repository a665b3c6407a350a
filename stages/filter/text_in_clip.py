"""What is made of the text in a clip's pictures: one list of boxes, one text, the largest clean rectangle."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stages.media import WHOLE, Box, Luma, detect_active_area, largest_rectangle
from stages.models import TextBox
from stages.tasks import Row

LEAST_CONFIDENCE = 0.7
"""Of a box that counts. Texture that is taken for text is read with less."""
LEAST_CHARACTERS = 2
"""Letters and digits of a box that counts; a pole is read as an I."""
SAME_OVERLAP = 0.5
"""Intersection over union from which on boxes of two pictures are one that stands."""
MARGIN_PX = 2
"""Around a box, in stored pixels, for what the clean rectangle keeps away from it: strokes end a little outside."""
DETAIL_PX = 4
"""Pixels between two that are compared: out-of-focus backgrounds change over such a distance, and strokes do too."""
LEAST_STEP = 8
"""In grey levels, both directions together: less is noise, or flat."""


_Found = tuple[int, Box, TextBox]
"""Number of the picture, place in it, what is read."""


@dataclass(frozen=True, slots=True)
class ClipBox:
    """A box of text, or of a logo, in a clip.

    Attributes:
        box: around all boxes of the pictures, in shares of the picture.
        text: as read most surely; None for a logo without text.
        confidence: of that reading; None for a logo.
        pictures: that it is in, of those looked at.
        stands: it is in all of them, and there are several.
    """

    box: Box
    text: str | None
    confidence: float | None
    pictures: int
    stands: bool

    def as_row(self) -> Row:
        """As an entry of the column ``text_boxes``."""
        sides = {name: round(value, 5) for name, value in self.box._asdict().items()}
        return {
            **sides,
            "text": self.text,
            "confidence": None if self.confidence is None else round(self.confidence, 4),
            "pictures": self.pictures,
            "stands": self.stands,
        }


def counted(boxes: Iterable[TextBox], width: int, height: int) -> list[tuple[Box, TextBox]]:
    """The boxes that count as text, with their places in shares of the picture."""
    return [
        (Box(each.left / width, each.top / height, each.right / width, each.bottom / height).within(WHOLE), each)
        for each in boxes
        if each.confidence >= LEAST_CONFIDENCE
        and sum(character.isalnum() for character in each.text) >= LEAST_CHARACTERS
    ]


def boxes_of_clip(pictures: Sequence[Sequence[tuple[Box, TextBox]]]) -> list[ClipBox]:
    """The boxes of all pictures, those that lie on one another merged, from the top down."""
    groups: list[list[_Found]] = []
    for number, found in enumerate(pictures):
        for box, read in found:
            _group_of(groups, number, box).append((number, box, read))
    return _from_the_top(_merged(group, len(pictures)) for group in groups)


def _group_of(groups: list[list[_Found]], number: int, box: Box) -> list[_Found]:
    """The group of earlier pictures whose last box this one lies on most; a new one where there is none."""
    overlaps = [_overlap(group[-1][1], box) if group[-1][0] < number else 0.0 for group in groups]
    best = max(range(len(groups)), key=overlaps.__getitem__, default=None)
    if best is None or overlaps[best] < SAME_OVERLAP:
        groups.append([])
        return groups[-1]
    return groups[best]


def _merged(group: Sequence[_Found], num_pictures: int) -> ClipBox:
    boxes = [box for _, box, _ in group]
    around = Box(
        min(box.left for box in boxes),
        min(box.top for box in boxes),
        max(box.right for box in boxes),
        max(box.bottom for box in boxes),
    )
    best = max((read for _, _, read in group), key=lambda read: read.confidence)
    return ClipBox(around, best.text, best.confidence, len(group), len(group) == num_pictures > 1)


def _overlap(first: Box, second: Box) -> float:
    """Intersection over union."""
    inside = first.within(second).area
    return inside / (first.area + second.area - inside) if inside else 0.0


def joined_marks(lasting: Sequence[Box], standing: Iterable[Box]) -> list[Box]:
    """The marks of all scenes of a video, and those of the clip alone that are none of them."""
    return [
        *lasting,
        *(
            mark
            for mark in standing
            if all(mark.within(each).area < SAME_OVERLAP * min(mark.area, each.area) for each in lasting)
        ),
    ]


def with_marks(boxes: Sequence[ClipBox], marks: Iterable[Box], num_pictures: int) -> list[ClipBox]:
    """The boxes, and those marks that are no text among them, from the top down."""
    logos = [
        ClipBox(mark, None, None, num_pictures, stands=True)
        for mark in marks
        if all(mark.within(each.box).area < SAME_OVERLAP * min(mark.area, each.box.area) for each in boxes)
    ]
    return _from_the_top([*boxes, *logos])


def _from_the_top(boxes: Iterable[ClipBox]) -> list[ClipBox]:
    return sorted(boxes, key=lambda each: (round(each.box.top, 2), each.box.left))


def joined_text(boxes: Iterable[ClipBox]) -> str:
    """The texts of the boxes, joined by a space; what another one holds too is left out."""
    texts = list(dict.fromkeys(text for each in boxes if (text := (each.text or "").strip())))
    folded = ["".join(text.casefold().split()) for text in texts]
    kept = [
        text
        for index, text in enumerate(texts)
        if not any(
            folded[index] in other and (len(other) > len(folded[index]) or position < index)
            for position, other in enumerate(folded)
            if position != index
        )
    ]
    return " ".join(kept)


def detail_in_boxes(luma: NDArray[np.uint8], boxes: Iterable[Box]) -> float:
    """The share of a picture's detail that lies in boxes, 0 to 1: near 1 for a title card, which shows nothing else.

    Detail is how much pixels differ from those to the right and below.
    """
    height, width = luma.shape
    levels = np.pad(luma.astype(np.int16), ((0, DETAIL_PX), (0, DETAIL_PX)), mode="edge")
    here = levels[:height, :width]
    steps = np.abs(levels[:height, DETAIL_PX:] - here) + np.abs(levels[DETAIL_PX:, :width] - here)
    detail = np.where(steps >= LEAST_STEP, steps, 0)
    inside = np.zeros(luma.shape, np.bool_)
    for box in boxes:
        top, left = int(box.top * height) - DETAIL_PX, int(box.left * width) - DETAIL_PX
        bottom, right = math.ceil(box.bottom * height) + DETAIL_PX, math.ceil(box.right * width) + DETAIL_PX
        inside[max(0, top) : bottom, max(0, left) : right] = True
    total = int(detail.sum(dtype=np.int64))
    return int(detail[inside].sum(dtype=np.int64)) / total if total else 0.0


def clean_area_of(luma: Luma, boxes: Iterable[ClipBox]) -> Box | None:
    """The largest rectangle inside the black bars of a clip's pictures, ``[N, H, W]``, that keeps away from the boxes.

    None where there is none.
    """
    _, height, width = luma.shape
    area = detect_active_area(luma)
    lines = [area.left, area.top, width - area.right, height - area.bottom]
    # A line more beside a bar, since the stored pictures show its edge to a line of theirs.
    left, top, right, bottom = (line + 1 if line else 0 for line in lines)
    inside = Box(left / width, top / height, 1 - right / width, 1 - bottom / height)
    if not inside.area:
        return None
    across, down = MARGIN_PX / width, MARGIN_PX / height
    wide = [
        Box(each.box.left - across, each.box.top - down, each.box.right + across, each.box.bottom + down)
        for each in boxes
    ]
    return largest_rectangle(wide, inside)
