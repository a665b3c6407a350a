"""A slide that was changed is told from another slide of its layout."""

import cv2
import numpy as np
import pytest

from stages.dedup.copies import find_copies, is_same_still
from stages.dedup.copy_stills import match_stills
from stages.dedup.copy_windows import WHOLE, Placement, Window
from tests.stages.dedup.drawn_clips import Change, Picture, mark, noise
from tests.stages.dedup.drawn_slides import SIZE, larger, slide, slide_clip


def cropped(picture: Picture) -> Picture:
    """The part from 5 % to 95 % down and from 2 % to 92 % across."""
    part = picture[round(0.05 * SIZE) : round(0.95 * SIZE), round(0.02 * SIZE) : round(0.92 * SIZE)]
    return np.asarray(cv2.resize(part, (SIZE, SIZE), interpolation=cv2.INTER_AREA), np.float32)


CROP = Window(0.05, 0.95, 0.02, 0.92)
CHANGES: dict[str, tuple[Change, Window]] = {
    "none": (lambda picture: picture, WHOLE),
    "gamma": (lambda picture: np.asarray(255 * (picture / 255) ** 0.6, np.float32), WHOLE),
    "noise": (noise, WHOLE),
    "blur": (lambda picture: cv2.GaussianBlur(picture, (0, 0), 3).astype(np.float32), WHOLE),
    "mark": (mark, WHOLE),
    "crop": (cropped, CROP),
    "crop, window known to two percent": (cropped, Window(0.07, 0.95, 0.0, 0.9)),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_slide_matches_itself_and_no_other_of_its_layout(name: str) -> None:
    change, window = CHANGES[name]
    changed = larger(change(slide(1)))
    same = match_stills(larger(slide(1)), changed, [Placement(window, WHOLE)])
    assert is_same_still(same)
    for number in range(2, 6):
        other = match_stills(larger(slide(number)), changed, [Placement(window, WHOLE)])
        assert not is_same_still(other)
        assert other.same_share < 0.67


def test_still_clips_are_compared_by_their_larger_pictures() -> None:
    clips = {
        0: slide_clip(1, 0),
        1: slide_clip(2, 1),
        2: slide_clip(1, 2, cropped),
        3: slide_clip(2, 3, lambda picture: cv2.GaussianBlur(picture, (0, 0), 3).astype(np.float32)),
    }
    assert [(pair.left, pair.right) for pair in find_copies(clips, {})] == [(0, 2), (1, 3)]


def test_flat_pictures_have_nothing_to_compare() -> None:
    flat = np.full((96, 96), 128, np.float32)
    assert match_stills(flat, flat, [Placement()]).num_blocks == 0


def table(number: int) -> Picture:
    """Rows between lines, whose numbers follow from a number."""
    random = np.random.default_rng(number)
    picture = np.full((SIZE, SIZE), 240, np.uint8)
    for row in range(8):
        y = 60 + 50 * row
        cv2.line(picture, (20, y + 14), (460, y + 14), (120,), 2)
        for column in range(3):
            text = f"{random.uniform(10, 100):.1f}"
            cv2.putText(picture, text, (30 + 150 * column, y), cv2.FONT_HERSHEY_SIMPLEX, 1.0, (20,), 3)
    return picture.astype(np.float32)


def test_tables_with_other_numbers_are_told_apart() -> None:
    blurred = larger(cv2.GaussianBlur(table(1), (0, 0), 3).astype(np.float32))
    assert is_same_still(match_stills(larger(table(1)), blurred, [Placement()]))
    for number in range(2, 8):
        assert not is_same_still(match_stills(larger(table(number)), blurred, [Placement()]))
