"""Whether a still picture gives way to another: slides that differ little, titles and motion, known by construction."""

import numpy as np
import pytest
from numpy.typing import NDArray

from stages.split.slow_change_meter import COLUMNS, FRAMES, SlowChangeMeter
from tests.stages.split.test_change_meter import dissolve, texture

Picture = NDArray[np.float32]
STILL = 32


def slide(seed: int) -> Picture:
    """Grey lines of text on the same light paper; two of these differ by some 10 levels in the mean."""
    random = np.random.default_rng(seed)
    picture = np.full((27, 48, 3), 230, np.float32)
    for row in range(6, 24, 3):
        width = int(random.integers(8, 40))
        picture[row : row + 2, 4 : 4 + width] -= random.uniform(20, 120, (2, width, 1)).astype(np.float32)
    return picture


def measured(pictures: list[Picture], batch: int = 50, noise: float = 0.0) -> dict[str, NDArray[np.float32]]:
    random, meter = np.random.default_rng(5), SlowChangeMeter()
    for start in range(0, len(pictures), batch):
        part = np.stack(pictures[start : start + batch])
        meter.push(np.rint(np.clip(part + random.normal(0, noise, part.shape), 0, 255)).astype(np.uint8))
    return meter.measured()


def uncovered(number: int) -> list[Picture]:
    """The second slide comes over the first from the left."""
    edges = np.arange(1, number + 1) / (number + 1) * 48
    return [np.where(np.arange(48)[None, :, None] < edge, slide(2), slide(1)).astype(np.float32) for edge in edges]


@pytest.mark.parametrize("number", [0, 6, 23, 50])
@pytest.mark.parametrize("noise", [0.0, 1.0])
@pytest.mark.parametrize("is_wipe", [False, True], ids=["dissolve", "wipe"])
def test_slide_that_gives_way_to_another_settles(number: int, noise: float, is_wipe: bool) -> None:
    between = uncovered(number) if is_wipe else dissolve(number, slide(1), slide(2))
    found = measured([slide(1)] * STILL + between + [slide(2)] * STILL, noise=noise)
    best = int(found["settled_change"].argmax())
    expected = float(np.abs(slide(1) - slide(2)).mean())
    assert 0.85 * expected < found["settled_change"][best] < 1.05 * expected
    assert found["settled_share"][best] > 0.9
    assert found["settled_area"][best] > 0.25
    assert 0.6 * number <= found["settled_length"][best] <= number + 6 * FRAMES


def with_title(picture: Picture, share: float) -> Picture:
    shown = picture.copy()
    shown[20:23, 6:36] += share * (20 - shown[20:23, 6:36])
    return shown


def passing(number: int) -> list[Picture]:
    """A dark block moves over the slide and stays at its other side."""
    pictures = [slide(1).copy() for _ in range(number)]
    for index, picture in enumerate(pictures):
        left = index * 32 // max(1, number - 1)
        picture[4:24, left : left + 16] = 20
    return [pictures[0]] * STILL + pictures + [pictures[-1]] * STILL


@pytest.mark.parametrize(
    "pictures",
    [
        [slide(1)] * 90,
        [slide(1)] * STILL
        + [with_title(slide(1), share) for share in np.linspace(0, 1, 12)]
        + [with_title(slide(1), 1)] * STILL,
        passing(30),
        [np.roll(texture(1), index, axis=1) for index in range(90)],
        [slide(1)] * STILL + dissolve(8, slide(1), slide(2)) + dissolve(8, slide(2), slide(1)) + [slide(1)] * STILL,
    ],
    ids=["still", "title", "something moves", "pan", "and back"],
)
def test_other_changes_do_not_settle_over_the_picture(pictures: list[Picture]) -> None:
    found = measured(pictures)
    assert not ((found["settled_change"] > 3) & (found["settled_share"] > 0.9) & (found["settled_area"] > 0.25)).any()


@pytest.mark.parametrize("batch", [1, 7])
def test_measures_do_not_depend_on_batches(batch: int) -> None:
    pictures = [slide(1)] * STILL + dissolve(10, slide(1), slide(2)) + [slide(2)] * STILL
    whole, parts = measured(pictures), measured(pictures, batch)
    for name in COLUMNS:
        np.testing.assert_array_equal(parts[name], whole[name])
        assert whole[name].shape == (len(pictures),)


@pytest.mark.parametrize("number", [0, 1, 3, 4, 27])
def test_few_frames_have_a_value_each(number: int) -> None:
    found = measured([texture(1)] * number)
    assert {name: len(values) for name, values in found.items()} == dict.fromkeys(COLUMNS, number)
