"""The median frequency of slopes, against pictures whose spectrum is known."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from stages.signals.median_frequency import SIDE_PX, median_frequency

Luma = NDArray[np.uint8]


def rough(highest: float, side: int = 128, seed: int = 1) -> Luma:
    """Noise with equal power along rows and columns up to a frequency, in cycles for a pixel, and none above."""
    random = np.random.default_rng(seed)
    spectrum = np.fft.fft2(random.normal(0, 1, (side, side)))
    is_kept = np.abs(np.fft.fftfreq(side)) <= highest
    values = np.fft.ifft2(spectrum * is_kept[:, None] * is_kept[None]).real
    return np.clip(128 + 40 * values / values.std(), 0, 255).astype(np.uint8)


def letters(side: int = 128) -> Luma:
    page = np.full((4 * side, 4 * side), 235, np.uint8)
    for line, word in enumerate(("edges", "of ink", "stay", "sharp")):
        cv2.putText(page, word, (20, 110 + 120 * line), cv2.FONT_HERSHEY_SIMPLEX, 3.5, (20,), 9, cv2.LINE_AA)
    return np.asarray(cv2.resize(page, (side, side), interpolation=cv2.INTER_AREA), np.uint8)


def tiles(picture: Luma) -> list[Luma]:
    """Quarters, so that the whole of a picture counts."""
    half = len(picture) // 2
    return [picture[down:, across:][:half, :half] for down in (0, half) for across in (0, half)]


@pytest.mark.parametrize("highest", [0.5, 0.4, 0.25, 0.15])
def test_half_of_the_energy_of_slopes_lies_below(highest: float) -> None:
    """Of equal power, that of slopes grows with the square of the frequency: half lies below the cube root of 1/2."""
    assert median_frequency([rough(highest)]) == pytest.approx(highest * 0.5 ** (1 / 3), rel=0.06)


@pytest.mark.parametrize("factor", [1.25, 1.5, 2.0])
@pytest.mark.parametrize("method", [cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4])
def test_enlarging_adds_no_frequencies(factor: float, method: int) -> None:
    """In cycles for the whole side; of pictures of a true size it grows with the side."""
    small, side = letters(), round(128 * factor)
    enlarged = np.asarray(cv2.resize(small, (side, side), interpolation=method), np.uint8)
    before, after, true = (median_frequency(tiles(picture)) for picture in (small, enlarged, letters(side)))
    assert 0.7 * before < after * factor < 1.1 * before
    assert true * factor > 0.85 * factor * before


def test_levels_do_not_count_and_flat_pictures_have_none() -> None:
    picture = letters()
    assert median_frequency([picture.astype(np.uint16) * 4]) == pytest.approx(median_frequency([picture]), rel=1e-3)
    assert median_frequency([picture, np.full((128, 128), 90, np.uint8)]) == pytest.approx(median_frequency([picture]))
    assert np.isnan(median_frequency([np.full((128, 128), 90, np.uint8)]))


def test_small_crops_are_measured_at_the_same_frequencies() -> None:
    picture = rough(0.25, side=240)
    halves = [np.ascontiguousarray(picture[:60, begin : begin + 60]) for begin in (0, 60, 120, 180)]
    assert min(halves[0].shape) < SIDE_PX
    assert median_frequency(halves) == pytest.approx(median_frequency([picture]), rel=0.06)
