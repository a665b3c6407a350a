"""Pieces of one shot are no near-duplicates, unless they stand still."""

from pathlib import Path

import pytest

from stages.tasks import Row
from tests.stages.dedup.tables import Library, angles

NEAR = 0.005


def piece(start_s: float, *, shot: int = 0, motion: str | None = "low", video: str = "v") -> Row:
    return {"video_id": video, "shot_start_pts": shot, "start_s": start_s, "motion_class": motion}


@pytest.mark.parametrize(
    ("facts", "kept"),
    [
        ([piece(0), piece(4), piece(8)], "abc"),
        ([piece(0, motion=None), piece(4), piece(8)], "abc"),
        ([piece(0, motion="still"), piece(4, motion="still"), piece(8)], "a"),
        ([piece(0), piece(4), piece(4, shot=400)], "ab"),  # c is like both, and of another shot
        ([piece(0), piece(4), piece(8, video="w")], "ab"),
        ([piece(0), piece(4), piece(34)], "ab"),  # too long after
    ],
)
def test_pieces_of_one_shot_are_compared_if_they_stand_still(facts: list[Row], kept: str, tmp_path: Path) -> None:
    library = Library(tmp_path)
    library.add("p", angles(a=0, b=1, c=2), facts=dict(zip("abc", facts, strict=True)))
    library.dedup(eps=NEAR, keep="rank", rank_by=["-start_s"], copies=False)
    assert library.kept() == set(kept)


def test_a_new_piece_of_a_kept_shot_is_kept(tmp_path: Path) -> None:
    library = Library(tmp_path)
    library.add("p", angles(a=0), facts={"a": piece(0)})
    library.dedup(eps=NEAR)
    library.add("q", angles(b=1, c=90), facts={"b": piece(4), "c": piece(8)})
    library.dedup(eps=NEAR)
    assert library.kept() == {"a", "b", "c"}
