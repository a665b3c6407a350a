"""Pieces bounded at damage."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.split.damage_bounds import bound_at_damage
from stages.split.spans import Piece, Shot, Timeline

TIMELINE = Timeline(range(0, 1000, 10), 1000, Fraction(1, 100), range(0, 100, 10))
"""100 frames, 10 a second, a keyframe a second."""
WHOLE = Shot(0, 100, 0.5, 0.5)


def bounded(
    bad: list[int], *pieces: tuple[int, int], min_length_s: float = 1.0, keyframes: bool = False
) -> list[tuple[int, int]]:
    is_damaged = np.zeros(100, np.bool_)
    is_damaged[bad] = True
    found = bound_at_damage(
        [Piece(start, end, WHOLE, starts_at_cut=True, ends_at_cut=True) for start, end in pieces or [(0, 100)]],
        TIMELINE,
        is_damaged,
        min_length_s=min_length_s,
        boundaries=[*TIMELINE.keyframes, 100] if keyframes else range(101),
    )
    return [(piece.start, piece.end) for piece in found]


@pytest.mark.parametrize(
    ("bad", "expected"),
    [
        ([], [(0, 100)]),
        ([40], [(0, 40), (40, 41), (41, 100)]),
        ([40, 45], [(0, 40), (40, 46), (46, 100)]),  # half a second between is too short
        ([5, 95], [(0, 6), (6, 95), (95, 100)]),
        ([0], [(0, 1), (1, 100)]),
        ([99], [(0, 99), (99, 100)]),
        (list(range(0, 100, 5)), [(0, 100)]),
    ],
)
def test_clean_stretches_and_what_lies_between_are_pieces(bad: list[int], expected: list[tuple[int, int]]) -> None:
    assert bounded(bad) == expected


def test_pieces_end_at_keyframes_where_they_must() -> None:
    assert bounded([44], keyframes=True) == [(0, 40), (40, 50), (50, 100)]


def test_overlapping_pieces_give_none_twice() -> None:
    assert bounded([40], (0, 60), (30, 100)) == [(0, 40), (40, 41), (41, 60), (30, 40), (41, 100)]


def test_only_the_ends_of_the_piece_lie_at_its_cuts() -> None:
    piece = Piece(10, 90, WHOLE, starts_at_cut=True, ends_at_cut=True)
    is_damaged = np.arange(100) == 50
    found = bound_at_damage([piece], TIMELINE, is_damaged, min_length_s=1, boundaries=range(101))
    assert [(each.starts_at_cut, each.ends_at_cut) for each in found] == [(True, False), (False, False), (False, True)]


@given(st.sets(st.integers(0, 99)), st.sampled_from([0.1, 0.5, 2.0]), st.booleans())
def test_pieces_cover_all_and_long_clean_ones_hold_no_damage(bad: set[int], shortest: float, keyframes: bool) -> None:
    found = bounded(sorted(bad), min_length_s=shortest, keyframes=keyframes)
    assert [start for start, _ in found] == [0, *(end for _, end in found[:-1])]
    assert found[-1][1] == 100
    for start, end in found:
        if not bad & set(range(start, end)):
            assert end - start >= 10 * shortest
