import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from stages.media import find_standing_marks

HEIGHT, WIDTH = 180, 320
LOGO = (250, 20, 300, 60)
"""Left, top, right, bottom of the mark that is drawn, in pixels."""


def scene(count: int, *, moves: bool = True, brightens: bool = False) -> NDArray[np.uint8]:
    """Texture behind a window that moves, ``[N, H, W]``."""
    wide = np.random.default_rng(7).normal(0, 1, (HEIGHT + 60, WIDTH + 200))
    texture = cv2.GaussianBlur(wide, (0, 0), 4)
    texture = 110 + 60 * texture / np.abs(texture).max() * 2
    pictures = []
    for at in range(count):
        left, top = (9 * at, 3 * at) if moves else (0, 0)
        picture = texture[top : top + HEIGHT, left : left + WIDTH] * (0.4 + 0.06 * at if brightens else 1)
        pictures.append(np.clip(picture, 0, 255).astype(np.uint8))
    return np.stack(pictures)


def marked(pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A crossed frame on each picture."""
    left, top, right, bottom = LOGO
    for picture in pictures:
        cv2.rectangle(picture, (left, top), (right - 1, bottom - 1), 250, 3)
        cv2.line(picture, (left, top), (right - 1, bottom - 1), 250, 3)
    return pictures


def test_logo_before_a_moving_scene_is_found_where_it_is() -> None:
    (box,) = find_standing_marks(marked(scene(12)))
    found = (box.left * WIDTH, box.top * HEIGHT, box.right * WIDTH, box.bottom * HEIGHT)
    np.testing.assert_allclose(found, LOGO, atol=4)


def test_bars_are_no_marks_and_move_no_places() -> None:
    pictures = marked(scene(12))
    pictures[:, :14] = pictures[:, -14:] = 16
    (box,) = find_standing_marks(pictures)
    assert box.left * WIDTH == pytest.approx(LOGO[0], abs=4)
    assert box.bottom * HEIGHT == pytest.approx(LOGO[3], abs=4)


@pytest.mark.parametrize(
    "pictures",
    [
        scene(12),
        marked(scene(12, moves=False)),
        marked(scene(12, moves=False, brightens=True)),
        marked(scene(5)),
        np.zeros((8, HEIGHT, WIDTH), np.uint8),
    ],
    ids=["no logo", "still camera", "light that rises", "few pictures", "black"],
)
def test_nothing_is_found_where_nothing_can_be_told(pictures: NDArray[np.uint8]) -> None:
    assert find_standing_marks(pictures) == []
