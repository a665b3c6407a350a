"""Slides of one layout that are drawn: a bar above, a heading, and lines of words."""

import cv2
import numpy as np

from stages.dedup.copy_hashes import ClipHashes
from stages.signals.hashes import THUMBNAIL_PX
from stages.signals.stills import STILL_PX
from tests.stages.dedup.drawn_clips import Change, Picture, clip

SIZE = 480


def slide(number: int) -> Picture:
    """A slide whose words follow from its number, float32 ``[480, 480]``."""
    random = np.random.default_rng(number)
    picture = np.full((SIZE, SIZE), 240, np.uint8)
    cv2.rectangle(picture, (0, 0), (SIZE, 70), (90,), -1)
    for line in range(7):
        letters = random.integers(97, 123, int(random.integers(8, 18)))
        text = "".join(chr(letter) if letter % 5 else " " for letter in letters)
        y, scale = (48, 1.3) if line == 0 else (95 + 55 * line, 1.0)
        cv2.putText(picture, text, (24, y), cv2.FONT_HERSHEY_SIMPLEX, scale, (250,) if line == 0 else (20,), 3)
    return picture.astype(np.float32)


def larger(picture: Picture) -> Picture:
    """As it is stored of what stands still."""
    return np.asarray(cv2.resize(picture, (STILL_PX, STILL_PX), interpolation=cv2.INTER_AREA).clip(0, 255), np.float32)


def slide_clip(number: int, video: int, change: Change = lambda picture: picture) -> ClipHashes:
    """A clip of four seconds that shows a slide."""
    shown = clip(video=video)
    picture = change(slide(number))
    small = cv2.resize(picture, (THUMBNAIL_PX, THUMBNAIL_PX), interpolation=cv2.INTER_AREA).clip(0, 255)
    still = larger(picture).astype(np.uint8)
    return ClipHashes(
        shown.seconds,
        np.repeat(small.astype(np.uint8).reshape(1, -1), len(shown.seconds), axis=0),
        shown.quality,
        np.arange(4.0),
        np.repeat(still.reshape(1, -1), 4, axis=0),
        video,
        video,
        0.0,
        4.0,
    )
