"""Bounds pieces at damage, as at a cut. Pure arithmetic.

Clean stretches that are long enough become pieces. What lies between them, damage and stretches that are too short, is
a piece of its own, so that lost time has a row. Of a piece with damage (x), where 4 frames are long enough:

    frames      0 1 2 3 4 5 x x 8 9 x 11 12 13 14 15
    pieces      |---------| |-----| |--------------|
                   clean    damaged      clean
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from stages.split.spans import Piece, snap_inward
from stages.split.timeline import Timeline


def bound_at_damage(
    pieces: Sequence[Piece],
    timeline: Timeline,
    is_damaged: NDArray[np.bool_],
    *,
    min_length_s: float,
    boundaries: Sequence[int],
) -> list[Piece]:
    """The pieces, each divided where frames are damaged, in order and none twice.

    Args:
        pieces: of the splitter.
        timeline: of the stream.
        is_damaged: bool ``[N]``, a frame each; true too for a frame after which others are missing, since the time up
            to the next frame belongs to it.
        min_length_s: shorter clean stretches are not divided off.
        boundaries: where pieces may begin and end.
    """
    shortest = timeline.units(min_length_s)
    found: dict[tuple[int, int], Piece] = {}
    for piece in pieces:
        inside = is_damaged[piece.start : piece.end]
        if not inside.any():
            found.setdefault((piece.start, piece.end), piece)
            continue
        runs = (snap_inward(start + piece.start, end + piece.start, boundaries) for start, end in _clean_runs(inside))
        clean = [run for run in runs if run and timeline.at(run[1]) - timeline.at(run[0]) >= shortest]
        for start, end in _with_rest(clean, piece):
            found.setdefault((start, end), _part(piece, start, end))
    return list(found.values())


def _clean_runs(is_damaged: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Runs [start, end) of frames that are not damaged."""
    edges = np.flatnonzero(np.diff(np.concatenate([[True], is_damaged, [True]]).astype(np.int8)))
    return [(int(start), int(end)) for start, end in zip(edges[::2], edges[1::2], strict=True)]


def _with_rest(clean: list[tuple[int, int]], piece: Piece) -> Iterator[tuple[int, int]]:
    """The clean stretches, and what lies between them and the piece's ends."""
    end = piece.start
    for stretch in clean:
        if end < stretch[0]:
            yield end, stretch[0]
        yield stretch
        end = stretch[1]
    if end < piece.end:
        yield end, piece.end


def _part(piece: Piece, start: int, end: int) -> Piece:
    return replace(
        piece,
        start=start,
        end=end,
        starts_at_cut=piece.starts_at_cut and start == piece.start,
        ends_at_cut=piece.ends_at_cut and end == piece.end,
    )
