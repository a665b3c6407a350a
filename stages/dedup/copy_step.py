"""The step that finds copies: the same pictures in the same order, however they were changed."""

import uuid
from collections.abc import Iterator, Mapping
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stages import lazy
from stages.dedup.arrays import Clips, Decisions, Positions
from stages.dedup.searches import Deciding
from stages.dedup.steps import Step
from stages.errors import Reason
from stages.params import DedupParams
from stages.storage import Storage


class _Alignment(NamedTuple):
    """How a clip lies in another: second of the other = rate * second of the clip + offset."""

    likeness: float
    rate: float
    offset_s: float


_Copies = dict[int, dict[int, _Alignment]]
"""For each clip, the clips that it is a copy of."""


class CopyStep(Step):
    """Removes copies. New clips are compared with each other and with those that were kept before.

    Of a group of copies the best by `dedup.keep` stays; of the others, each is a copy of one that stays.

    Args:
        params: of the phase.
        root: whose signals hold the hashes.
    """

    reason: ClassVar[Reason] = Reason.COPY
    compares_kept: ClassVar[bool] = False

    def __init__(self, params: DedupParams, root: str) -> None:
        self.params = params
        self.root = root
        self._run_token = uuid.uuid4().hex  # made in the driver, hence the same in all workers of a run
        self._copies: _Copies = {}
        self._counts: dict[str, float] = {}

    def decide(self, clips: Clips, members: Positions, earlier: Decisions) -> Deciding[Decisions]:
        """A decision for every member; those of `earlier` stand."""
        kept = earlier.kept.copy()
        undecided = members[earlier.is_undecided[members]]
        self._counts = {}
        self._copies = yield from self._find(clips, undecided, members[kept[members]])
        uncovered = [
            each for each in undecided.tolist() if not any(kept[other] for other in self._copies.get(each, {}))
        ]
        kept[self._keep(clips, np.array(uncovered, np.int64))] = True
        decisions = Decisions(
            np.where(kept, np.arange(len(clips)), earlier.group), earlier.nearest.copy(), earlier.similarity.copy()
        )
        for position in undecided[~kept[undecided]].tolist():
            others = {other: each for other, each in self._copies[position].items() if kept[other]}
            decisions.group[position] = decisions.nearest[position] = max(
                others, key=lambda other: (others[other].likeness, -other)
            )
        self._counts["dedup_copies"] = float((~kept[undecided]).sum())
        return decisions

    def ranks(self, clips: Clips, members: Positions, decided: Decisions) -> Positions:
        """Rank of each member in its group, by the rule `dedup.keep`."""
        return lazy.load("stages.dedup.ranking:ranks")(clips, decided.group, self.params)[members]

    def explain(self, clips: Clips, decided: Decisions, removed: Positions) -> list[str]:
        """Of which clip each removed one is a copy."""
        return [f"It is a copy of clip {clips.ids[int(decided.nearest[position])]}." for position in removed.tolist()]

    def times(self, decided: Decisions, removed: Positions) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Rate and offset of each removed clip in the one that it is a copy of; NaN where an earlier run told them."""
        found = [self._copies.get(each, {}).get(int(decided.nearest[each])) for each in removed.tolist()]
        nothing = _Alignment(np.nan, np.nan, np.nan)
        return (
            np.array([(each or nothing).rate for each in found], np.float64),
            np.array([(each or nothing).offset_s for each in found], np.float64),
        )

    def counts(self) -> Mapping[str, float]:
        """Clips that no hashes are recorded of, pairs that were compared, and copies."""
        return self._counts

    def _find(self, clips: Clips, new: Positions, known: Positions) -> Deciding[_Copies]:
        """The copies of each new clip, and of each new clip's copy."""
        is_recorded = clips.rows["signals_key"].is_valid().to_numpy()
        self._counts["dedup_clips_without_hashes"] = float((~is_recorded[new]).sum())
        new, known = new[is_recorded[new]], known[is_recorded[known]]
        if not len(new):
            return {}
        found = yield from lazy.load("stages.dedup.copy_pairs:copy_pairs")(
            Storage(self.root),
            clips.rows,
            new,
            known,
            overlap_min=self.params.copy_overlap,
            run_token=self._run_token,
        )
        self._counts["dedup_copy_candidates"] = found.num_candidates
        copies: _Copies = {}
        for pair in found.pairs.to_pylist():
            left, right, there = (
                pair["left"],
                pair["right"],
                _Alignment(pair["likeness"], pair["rate"], pair["offset_s"]),
            )
            copies.setdefault(left, {})[right] = there
            copies.setdefault(right, {})[left] = _Alignment(
                there.likeness, 1 / there.rate, -there.offset_s / there.rate
            )
        return copies

    def _keep(self, clips: Clips, uncovered: Positions) -> Positions:
        """Of clips that are copies of none that is kept, those to keep: the best first, then who is no copy of it."""
        groups = _groups(self._copies, uncovered.tolist())
        ordered: Positions = lazy.load("stages.dedup.ranking:order_groups")(clips, uncovered, groups, self.params)
        kept: set[int] = set()
        for position in ordered.tolist():
            if kept.isdisjoint(self._copies.get(position, {})):
                kept.add(position)
        return np.array(sorted(kept), np.int64)


def _groups(copies: Mapping[int, Mapping[int, _Alignment]], members: list[int]) -> Positions:
    """The number of each member's group: those that copies connect."""
    group: dict[int, int] = {}
    among = set(members)
    for number, first in enumerate(members):
        for position in _reached(copies, first, among) if first not in group else ():
            group[position] = number
    return np.array([group[each] for each in members], np.int64)


def _reached(copies: Mapping[int, Mapping[int, _Alignment]], first: int, among: set[int]) -> Iterator[int]:
    seen, left = {first}, [first]
    while left:
        position = left.pop()
        yield position
        new = {other for other in copies.get(position, {}) if other in among and other not in seen}
        seen |= new
        left += sorted(new)
