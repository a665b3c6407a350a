"""Mode `neighbors`: compares every clip with every other, over all partitions.

    undecided clips ── near-duplicate of a kept clip? ── yes ──> removed
         │ no
    connected components of near-duplicates ── in each, in order of preference: keep a clip, remove its near-duplicates

Moving pieces of one shot are no near-duplicates of each other, see `shot_pieces`.
Afterwards no two kept clips are near-duplicates, and each removed clip is a near-duplicate of a kept one. NeMo Curator
differs: there a clip may be removed because of a clip that is itself removed.
"""

import numpy as np

from stages.dedup.arrays import Clips, Decisions, Positions
from stages.dedup.components import ComponentSearch, Forest
from stages.dedup.independent_set import choose_independent
from stages.dedup.nearest import NearestSearch
from stages.dedup.searches import Deciding, run_here
from stages.dedup.shot_pieces import ShotPieces, shot_pieces
from stages.dedup.similarity import similarity_threshold
from stages.params import DedupParams


def decide(clips: Clips, earlier: Decisions, params: DedupParams) -> Decisions:
    """The decisions for all clips, made here; see `decisions_of`."""
    return run_here(decisions_of(clips, np.arange(len(clips)), earlier, params), clips.vectors)


def decisions_of(clips: Clips, members: Positions, earlier: Decisions, params: DedupParams) -> Deciding[Decisions]:
    """The decisions for the members: those of `earlier`, and new ones where it leaves a clip undecided.

    A group is a kept clip and the removed clips that are nearest to it.
    """
    min_similarity = similarity_threshold(params.eps)
    kept = earlier.kept.copy()
    undecided = members[earlier.is_undecided[members]]
    pieces = shot_pieces(clips.rows)
    found = yield NearestSearch(undecided, np.flatnonzero(kept), pieces=pieces)
    near, similarity = found["nearest"].to_numpy(), found["similarity"].to_numpy()
    uncovered = undecided[~(similarity >= min_similarity)]  # NaN where nothing is kept yet
    forest = Forest(len(uncovered))
    edges = yield ComponentSearch(uncovered, min_similarity, pieces=pieces)
    forest.connect(edges["left"].to_numpy(), edges["right"].to_numpy())
    chosen = choose_independent(clips, uncovered, forest.roots(), min_similarity, params, pieces)
    kept[chosen.kept] = True
    known = ~earlier.is_undecided & (earlier.nearest >= 0) & kept[earlier.nearest]
    nearest = np.where(known, earlier.nearest, -1)
    values = np.where(known, earlier.similarity, np.nan)
    nearest[undecided], values[undecided] = near, similarity
    # What is newly removed was connected with all of its near-duplicates, and is less similar to what was kept before.
    nearest[chosen.removed], values[chosen.removed] = chosen.nearest, chosen.similarity
    open_members = np.setdiff1d(members, chosen.removed, assume_unique=True)
    known_nearest = Decisions(earlier.group, nearest, values)
    return (yield from _assign_groups(open_members, earlier, kept, known_nearest, pieces))


def _assign_groups(
    members: Positions, earlier: Decisions, kept: np.ndarray, known: Decisions, pieces: ShotPieces | None
) -> Deciding[Decisions]:
    """Decisions with the nearest kept clip of every clip.

    Args:
        members: positions, in ascending order, of the clips of which it is not known already.
        earlier: the decisions that stand.
        kept: bool ``[N]``, the clip is kept.
        known: the nearest of the clips that were kept before, as far as it is known. Where it is, only newly kept clips
            are compared.
        pieces: of one shot, which are not compared with each other.
    """
    nearest, similarity = known.nearest, known.similarity
    newly_kept = np.flatnonzero(kept & ~earlier.kept)
    is_known = nearest[members] >= 0
    for queries, targets in ((members[is_known], newly_kept), (members[~is_known], np.flatnonzero(kept))):
        floor = np.where(nearest[queries] >= 0, similarity[queries], -1.0)
        found = yield NearestSearch(queries, targets, pieces=pieces, floor=floor)
        position, value = found["nearest"].to_numpy(), found["similarity"].to_numpy()
        # Between equals a decision stands; where none was made, the older clip is taken.
        is_older = (value == similarity[queries]) & (position < nearest[queries]) & earlier.is_undecided[queries]
        better = (position >= 0) & (~(value <= similarity[queries]) | is_older)
        nearest[queries[better]] = position[better]
        similarity[queries[better]] = value[better]
    return Decisions(np.where(kept, np.arange(len(kept)), nearest), nearest, similarity)
