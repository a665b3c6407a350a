"""PDQ against the package of its authors' code."""

from pathlib import Path

import av
import cv2
import numpy as np
import pdqhash
import pytest
from numpy.typing import NDArray

from stages.signals.pdq import pdq_hash, qualities_of, quality_of

DIFFERENT_BITS_MAX = 2
"""Coefficients that equal the median but for rounding may fall on either side of it."""


def reference(luma: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], int]:
    bits, quality = pdqhash.compute(np.repeat(luma[..., None], 3, axis=2))
    return np.packbits(bits), quality


def distance(left: NDArray[np.uint8], right: NDArray[np.uint8]) -> int:
    return int(np.unpackbits(left ^ right).sum())


@pytest.mark.parametrize("shape", [(64, 64), (5, 5), (63, 200), (128, 128), (129, 65), (272, 640), (480, 854)])
def test_hash_and_quality_are_those_of_the_reference(shape: tuple[int, int]) -> None:
    random = np.random.default_rng(shape[0])
    rough = random.integers(0, 256, (9, 16)).astype(np.uint8)
    picture = np.asarray(cv2.resize(rough, shape[::-1], interpolation=cv2.INTER_CUBIC), np.uint8)
    ours, theirs = pdq_hash(picture), reference(picture)
    assert distance(ours[0], theirs[0]) <= DIFFERENT_BITS_MAX
    assert ours[1] == pytest.approx(theirs[1], abs=1)


def test_hashes_of_a_real_video_are_those_of_the_reference(shared_media: Path) -> None:
    differences, qualities = [], []
    with av.open(str(shared_media / "bikes_10s.mp4")) as container:
        for index, frame in enumerate(container.decode(video=0)):
            if index % 25 == 0:
                luma = np.asarray(frame.to_ndarray(format="gray"), np.uint8)
                ours, theirs = pdq_hash(luma), reference(luma)
                differences.append(distance(ours[0], theirs[0]))
                qualities.append(abs(ours[1] - theirs[1]))
    assert len(differences) == 10
    assert max(differences) <= DIFFERENT_BITS_MAX
    assert max(qualities) <= 1


def test_qualities_of_pictures_are_those_of_each() -> None:
    rough = np.random.default_rng(3).integers(0, 256, (8, 64, 64)).astype(np.uint8)
    pictures = np.stack([cv2.GaussianBlur(each, (0, 0), 0.3 + number) for number, each in enumerate(rough)])
    found = qualities_of(pictures).tolist()
    assert found == [quality_of(each) for each in pictures]
    assert len(set(found)) > 4


def test_a_flat_picture_has_no_quality() -> None:
    assert pdq_hash(np.full((90, 160), 200, np.uint8))[1] == 0


def test_hash_rejects_a_picture_without_room() -> None:
    with pytest.raises(ValueError, match="5 x 5 pixels, got 9 x 4"):
        pdq_hash(np.zeros((4, 9), np.uint8))
