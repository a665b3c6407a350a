"""Copies that were turned by quarters or mirrored are found, and how pictures lie is PDQ's own matter."""

import cv2
import numpy as np
import pdqhash
import pytest

from stages.dedup.copies import find_copies
from stages.dedup.copy_turns import TURNS, Turn, turned
from stages.signals.pdq import pdq_hash
from tests.stages.dedup.drawn_clips import clip, place
from tests.stages.dedup.drawn_slides import slide_clip

BY_NUMPY = {
    Turn(): lambda picture: picture,
    Turn(False, True, True): lambda picture: np.rot90(picture, 2),
    Turn(False, True, False): np.flipud,
    Turn(False, False, True): np.fliplr,
    Turn(True, False, False): np.transpose,
    Turn(True, True, False): lambda picture: np.rot90(picture, 1),
    Turn(True, False, True): lambda picture: np.rot90(picture, 3),
    Turn(True, True, True): lambda picture: np.rot90(picture, 2).T,
}
DIHEDRAL = (
    Turn(),
    Turn(True, True, False),
    Turn(False, True, True),
    Turn(True, False, True),
    Turn(False, True, False),
    Turn(False, False, True),
    Turn(True, False, False),
    Turn(True, True, True),
)
"""The order of `pdqhash.compute_dihedral`."""


@pytest.mark.parametrize("turn", TURNS)
def test_a_turn_is_that_of_numpy_and_is_undone(turn: Turn) -> None:
    picture = np.arange(16).reshape(4, 4)
    assert np.array_equal(turned(picture, turn), BY_NUMPY[turn](picture))
    assert np.array_equal(turned(turned(picture, turn), turn.back()), picture)


@pytest.mark.parametrize("turn", TURNS)
def test_hashes_of_turned_pictures_are_those_that_the_reference_derives(turn: Turn) -> None:
    picture = np.clip(cv2.resize(place(3), (128, 128)), 0, 255).astype(np.uint8)
    derived = pdqhash.compute_dihedral(np.repeat(picture[..., None], 3, axis=2))[0]
    ours = np.unpackbits(pdq_hash(np.ascontiguousarray(turned(picture, turn)))[0])
    differences = [int((ours != each).sum()) for each in derived]
    # The reference makes pictures small a little off their middle, which a turn makes seen.
    assert differences[DIHEDRAL.index(turn)] <= 56
    assert sorted(differences)[1] >= 88


@pytest.mark.parametrize("turn", TURNS[1:])
@pytest.mark.parametrize("turned_number", [0, 1])
def test_a_turned_copy_is_found(turn: Turn, turned_number: int) -> None:
    clips = {
        turned_number: clip(0.5, 3.0, change=lambda picture: turned(picture, turn)),
        1 - turned_number: clip(video=1),
        2: clip(action=2, video=2),
    }
    (pair,) = find_copies(clips, {})
    assert (pair.left, pair.right, pair.rate) == (0, 1, pytest.approx(1.0, abs=0.04))
    assert pair.offset_s == pytest.approx(0.5 if turned_number == 0 else -0.5, abs=0.1)


def test_a_turned_slide_is_a_copy_of_itself_only() -> None:
    clips = {0: slide_clip(1, 0), 1: slide_clip(2, 1), 2: slide_clip(1, 2, lambda picture: turned(picture, TURNS[5]))}
    assert [(pair.left, pair.right) for pair in find_copies(clips, {})] == [(0, 2)]
