"""The filter that looks for burned-in text and title cards."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from stages import media
from stages.errors import StageError
from stages.filter.base import Filter, Limit, Measured
from stages.filter.text_in_clip import (
    boxes_of_clip,
    clean_area_of,
    counted,
    detail_in_boxes,
    joined_marks,
    joined_text,
    with_marks,
)
from stages.media import FRAME_KEY_COLUMNS, Box, covered_share, evenly_spaced_indices
from stages.models import TextReader
from stages.stage import WorkerMetadata
from stages.tasks import Clip

MARKS_VERSION = 2
"""To be raised whenever the same pictures have other marks."""


@dataclass
class TextFilter(Filter):
    """Text in a few of the clip's pictures: how much it covers, whether there is anything else, and what it says.

    A clip with more text than `text_max` passes where the largest rectangle without any is `text_clean_min` of the
    picture or more, for ``write.crop=clean`` to cut out. A title card never does.
    """

    text_max: float
    text_card_max: float
    text_clean_min: float
    text_pictures: int

    name = "text"
    needs_frames = True
    needs_marks = True
    columns = FRAME_KEY_COLUMNS
    limits = (Limit("text_card", "text_card_max", "max"), Limit("text", "text_max", "max"))
    judges_by = ("text_clean_min",)
    reductions: ClassVar[Mapping[str, str]] = {"text": "mean", "text_card": "max"}

    def __post_init__(self) -> None:
        self._reader: TextReader | None = None

    def identity(self) -> dict[str, Any]:
        """The models, the number of pictures, and the version of what stands."""
        weights = TextReader.weights_hash()
        return {"model": "PP-OCR", "weights_hash": weights, "pictures": self.text_pictures, "marks": MARKS_VERSION}

    def setup(self, worker_metadata: WorkerMetadata) -> None:
        """Load the models, on the worker's device."""
        self._reader = TextReader(worker_metadata.device, worker_metadata.num_threads)

    def thresholds(self) -> dict[str, float]:
        """As of every filter, with the share of a clean rectangle."""
        return {**super().thresholds(), "text_clean_min": self.text_clean_min}

    def score(self, clip: Clip) -> Measured:
        """Four scores, and the columns ``text``, ``text_boxes`` and ``clean_area``.

        ``text``: share of each picture that text covers. ``text_card``: share of its detail that lies in text.
        ``text_stands``: share that text and logos cover which stand in all pictures; None for one picture.
        ``text_clean``: area of the largest rectangle without text, logos and bars.
        """
        if clip.frames is None or not len(clip.frames) or self._reader is None:
            raise StageError(f"Clip {clip.clip_id} must carry pictures, and setup be called before.")
        luma = clip.frames.luma()
        _, height, width = luma.shape
        looked_at = evenly_spaced_indices(len(luma), self.text_pictures)
        found = [counted(self._reader.read(clip.frames.images[index]), width, height) for index in looked_at]
        marks = joined_marks([Box(*each) for each in clip.lasting_marks], media.find_standing_marks(luma))
        boxes = with_marks(boxes_of_clip(found), marks, len(looked_at))
        clean = clean_area_of(luma, boxes)
        scores = {
            "text": np.array([covered_share([box for box, _ in picture]) for picture in found], np.float32),
            "text_card": np.array(
                [
                    detail_in_boxes(luma[index], [box for box, _ in picture])
                    for index, picture in zip(looked_at, found, strict=True)
                ],
                np.float32,
            ),
            "text_stands": covered_share([each.box for each in boxes if each.stands]) if len(found) > 1 else None,
            "text_clean": 0.0 if clean is None else clean.area,
        }
        columns = {
            "text": joined_text(boxes),
            "text_boxes": [each.as_row() for each in boxes],
            "clean_area": None if clean is None else [round(edge, 5) for edge in clean],
        }
        return Measured(scores, columns)

    def violation(self, scores: Mapping[str, float | None]) -> str | None:
        """The message of a limit that is violated, where no clean rectangle makes up for the text."""
        clean = scores.get("text_clean")
        if self.text_clean_min < 1 and clean is not None and clean >= self.text_clean_min:
            scores = {**scores, "text": None}
        return super().violation(scores)
