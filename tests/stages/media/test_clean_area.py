import itertools
import random

import numpy as np
import pytest

from stages.media import Box, covered_share, largest_rectangle

SIDE = 9


def drawn(seed: int) -> list[Box]:
    """Boxes on a grid of 9 x 9, some of them reaching out of it, some empty."""
    draw = random.Random(seed)

    def edges() -> tuple[int, int]:
        start = draw.randint(-2, SIDE)
        return start, start + draw.randint(0, 5)

    boxes: list[Box] = []
    for _ in range(draw.randint(0, 9)):
        (left, right), (top, bottom) = edges(), edges()
        boxes.append(Box(left, top, right, bottom))
    return boxes


def grid(boxes: list[Box]) -> np.ndarray:
    """True where a cell lies in a box."""
    covered = np.zeros((SIDE, SIDE), np.bool_)
    for box in boxes:
        left, top, right, bottom = (int(max(0, edge)) for edge in box)
        covered[top:bottom, left:right] = True
    return covered


@pytest.mark.parametrize("seed", range(60))
def test_largest_rectangle_is_that_of_trying_all(seed: int) -> None:
    boxes, bounds = drawn(seed), Box(0, 0, SIDE, SIDE)
    covered = grid(boxes)
    ends = list(itertools.combinations(range(SIDE + 1), 2))
    best = max(
        (
            (right - left) * (bottom - top)
            for left, right in ends
            for top, bottom in ends
            if not covered[top:bottom, left:right].any()
        ),
        default=0,
    )
    found = largest_rectangle(boxes, bounds)
    assert (found.area if found else 0) == best
    if found:
        left, top, right, bottom = (int(edge) for edge in found)
        assert not covered[top:bottom, left:right].any()


@pytest.mark.parametrize("seed", range(40))
def test_covered_share_is_that_of_the_cells(seed: int) -> None:
    boxes = drawn(seed)
    assert covered_share(boxes, Box(0, 0, SIDE, SIDE)) == pytest.approx(grid(boxes).mean())


def test_many_boxes_take_no_longer_than_pictures() -> None:
    """80 words of a slide: a few hundredths of a second, the picture's text takes one."""
    draw = random.Random(1)
    boxes = [Box(x, y, x + 0.05, y + 0.02) for x, y in ((draw.random(), draw.random()) for _ in range(80))]
    found = largest_rectangle(boxes)
    assert found is not None
    assert all(found.within(box).area == 0 for box in boxes)
