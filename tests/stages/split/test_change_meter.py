"""How small pictures change: dissolves, fades, motion, flashes, from pictures whose changes are known."""

import numpy as np
import pytest
from numpy.typing import NDArray

from stages.split.change_meter import COLUMNS, ChangeMeter

RATE = 25


def texture(seed: int) -> NDArray[np.float32]:
    """A picture of coarse blocks, 27x48, from 20 to 220."""
    small = np.random.default_rng(seed).integers(20, 220, (9, 16, 3))
    return np.kron(small, np.ones((3, 3, 1))).astype(np.float32)


def measured(pictures: list[NDArray[np.float32]], batch: int = 50) -> dict[str, NDArray[np.float32]]:
    meter = ChangeMeter(RATE)
    for start in range(0, len(pictures), batch):
        meter.push(np.rint(np.stack(pictures[start : start + batch])).astype(np.uint8))
    return meter.measured()


def dissolve(number: int, before: NDArray[np.float32], after: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    return [before + (after - before) * share for share in np.arange(1, number + 1) / (number + 1)]


def test_dissolve_goes_one_way_over_most_of_the_picture() -> None:
    first, second = texture(1), texture(2)
    found = measured([first] * 20 + dissolve(20, first, second) + [second] * 20)
    assert found["change_coherence"][22:38].min() > 0.95
    assert found["change_spread"][21:40].min() > 0.5
    assert found["change_coherence"][:17].tolist() == [0] * 17


def test_motion_changes_parts_to_and_fro() -> None:
    picture = texture(1)
    found = measured([np.roll(picture, index, axis=1) for index in range(60)])
    assert found["change_coherence"][5:-5].max() < 0.3
    wipe = [np.where(np.arange(48)[None, :, None] < index, texture(2), picture) for index in range(48)]
    assert measured(wipe)["change_spread"][2:].max() < 0.15


def test_contrast_falls_with_a_fade() -> None:
    picture = texture(1)
    contrast = measured(dissolve(10, picture, np.full_like(picture, 128)))["contrast"]
    expected = picture.reshape(-1, 3).std(axis=0).mean() * (1 - np.arange(1, 11) / 11)
    np.testing.assert_allclose(contrast, expected, atol=0.3)


def test_picture_returns_after_a_flash_and_not_after_a_cut() -> None:
    picture, white = texture(1), np.full((27, 48, 3), 250, np.float32)
    found = measured([picture] * 20 + [white] * 2 + [picture] * 20 + [texture(2)] * 20)
    assert (found["return_change"][22], found["return_frames"][22]) == (0, 3)
    assert found["return_change"][42] > 50
    assert found["return_change"][:2].tolist() == [255, 255]


@pytest.mark.parametrize("batch", [1, 3, 7, 50])
def test_measures_do_not_depend_on_batches(batch: int) -> None:
    random = np.random.default_rng(3)
    pictures = [random.integers(0, 255, (27, 48, 3)).astype(np.float32) for _ in range(61)]
    whole, parts = measured(pictures, 61), measured(pictures, batch)
    for name in COLUMNS:
        np.testing.assert_allclose(parts[name], whole[name], rtol=1e-4, atol=1e-4)
        assert parts[name].shape == (61,)


@pytest.mark.parametrize("number", [0, 1, 2, 4])
def test_few_frames_have_a_value_each(number: int) -> None:
    found = measured([texture(index) for index in range(number)])
    assert {name: len(values) for name, values in found.items()} == dict.fromkeys(COLUMNS, number)
