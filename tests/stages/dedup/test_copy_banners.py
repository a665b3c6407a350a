"""A banner over a fifth of the picture hides no copy, and other content under the same banner is none."""

import cv2
import numpy as np
import pytest

from stages.dedup.copies import find_copies, is_same_still
from stages.dedup.copy_banners import match_but_banner
from stages.dedup.copy_windows import PARTS, Placement
from tests.stages.dedup.drawn_clips import Change, Picture, clip
from tests.stages.dedup.drawn_slides import SIZE, larger, slide, slide_clip

BELOW = Placement(PARTS[0], PARTS[0])


def banner(top: float) -> Change:
    """A dark plate with words, a fifth of the picture high."""

    def apply(picture: Picture) -> Picture:
        side = len(picture)
        marked = picture.clip(0, 255).astype(np.uint8)
        cv2.rectangle(marked, (0, round(top * side)), (side, round((top + 0.2) * side)), (25,), -1)
        place = (side // 12, round((top + 0.14) * side))
        cv2.putText(marked, "Breaking news", place, cv2.FONT_HERSHEY_SIMPLEX, side / 260, (250,), side // 80)
        return marked.astype(np.float32)

    return apply


@pytest.mark.parametrize("top", [0.02, 0.76])
def test_a_copy_under_a_banner_is_found(top: float) -> None:
    clips = {0: clip(), 1: clip(0.5, 3.0, change=banner(top), video=1), 2: clip(action=2, change=banner(top), video=2)}
    assert [(pair.left, pair.right) for pair in find_copies(clips, {})] == [(0, 1)]


@pytest.mark.parametrize("top", [0.02, 0.76])
def test_a_slide_under_a_banner_is_a_copy_of_itself_only(top: float) -> None:
    clips = {number: slide_clip(number, number) for number in range(1, 5)}
    clips[5] = slide_clip(2, 5, banner(top))
    assert [(pair.left, pair.right) for pair in find_copies(clips, {})] == [(2, 5)]


def lines_only_above(picture: Picture) -> Picture:
    """A slide whose last two lines are not there yet."""
    shown = picture.copy()
    shown[round(0.72 * SIZE) :] = 240
    return shown


def test_a_slide_with_more_lines_has_no_banner() -> None:
    assert match_but_banner(larger(lines_only_above(slide(1))), larger(slide(1)), BELOW) is None


def test_two_slides_are_no_copies_however_alike_their_banner_is() -> None:
    changed = [larger(banner(0.76)(slide(number))) for number in (1, 2)]
    found = match_but_banner(changed[0], changed[1], BELOW)
    assert found is None or not is_same_still(found)
