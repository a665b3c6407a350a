"""The steps of dedup, one after another: each decides over the clips that those before it keep.

    all clips ── step 1 ── kept ── step 2 ── kept ── ...        a step gives a reason to those that it removes

A step takes arrays of clips and the decisions that it made before, and gives decisions; it knows no other step, no
table and no storage. Which steps there are, `stages.dedup.phase` says.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stages.dedup.arrays import NO_GROUP, UNDECIDED, Clips, Decisions, Positions
from stages.dedup.searches import Deciding
from stages.errors import Reason

KEPT = -1
UNKNOWN = -2
"""What `removed_by` holds of a clip that no step removed, and of one that nothing was decided of."""


class Step(Protocol):
    """One step.

    Attributes:
        reason: of the clips that it removes.
        compares_kept: it gives the nearest clip of those that it keeps, too.
    """

    reason: ClassVar[Reason]
    compares_kept: ClassVar[bool]

    def decide(self, clips: Clips, members: Positions, earlier: Decisions) -> Deciding[Decisions]:
        """A decision for every member; those of `earlier` stand.

        Args:
            clips: all clips, of which positions are given.
            members: those that are left, in ascending order. The others are undecided in what is returned.
            earlier: decisions over all clips.
        """
        ...

    def ranks(self, clips: Clips, members: Positions, decided: Decisions) -> Positions:
        """Int64 ``[M]``: rank of each member in its group; 0 for the kept clip."""
        ...

    def explain(self, clips: Clips, decided: Decisions, removed: Positions) -> list[str]:
        """For each of these removed clips, what would have had to be otherwise."""
        ...

    def stands(self, earlier_params: Mapping[str, Any]) -> bool:
        """True where decisions that it took with these parameters of the phase hold for its own.

        They are equal but for those that `DedupPhase` lets a step judge itself.
        """
        return True

    def counts(self) -> Mapping[str, float]:
        """What it counted of the decisions that it took last, for the report."""
        return {}

    def columns(self, decided: Decisions) -> Mapping[str, pa.Array]:
        """Columns of the table that tell more of the decisions, one value a clip; null where there is no more."""
        return {}


@runtime_checkable
class AligningStep(Protocol):
    """A step that knows where in another clip a removed one lies."""

    def times(self, decided: Decisions, removed: Positions) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Rate and offset of each of these removed clips, see `Outcome`; NaN where they are none of this run."""
        ...


@dataclass(frozen=True)
class Outcome:
    """What all steps together decided.

    Attributes:
        removed_by: int8 ``[N]``, index of the step that removed the clip; `KEPT`, or `UNKNOWN`.
        group: int64 ``[N]``, position of the clip that stands for its group, its own where it does itself. That clip
            may be removed by a later step, as one of too many.
        nearest: int64 ``[N]``, position of the most similar clip; -1 for none.
        similarity: float64 ``[N]``, similarity to `nearest`; NaN for none.
        rank: int64 ``[N]``, rank in its group.
        errors: for each clip that is removed, what would have had to be otherwise, by position.
        rate: float64 ``[N]``, of a copy: seconds of its nearest clip for one of its own; NaN for others.
        offset_s: float64 ``[N]``, of a copy: time in its nearest clip at its own start; NaN for others.
        columns: that the steps add to the table.
    """

    removed_by: NDArray[np.int8]
    group: Positions
    nearest: Positions
    similarity: NDArray[np.float64]
    rank: Positions
    errors: dict[int, str]
    rate: NDArray[np.float64]
    offset_s: NDArray[np.float64]
    columns: dict[str, pa.Array] = field(default_factory=lambda: {})

    @classmethod
    def unknown(cls, count: int) -> "Outcome":
        """The outcome of `count` clips of which nothing was decided."""
        none = Decisions.undecided(count)
        rank = np.zeros(count, np.int64)
        by, times = np.full(count, UNKNOWN, np.int8), np.full((2, count), np.nan)
        return cls(by, none.group, none.nearest, none.similarity, rank, {}, times[0], times[1])

    @property
    def kept(self) -> NDArray[np.bool_]:
        """Bool ``[N]``: no step removed the clip."""
        return self.removed_by == KEPT

    def of_step(self, index: int, *, compares_kept: bool) -> Decisions:
        """The decisions of one step, as far as this outcome tells them.

        A clip that a later step removed, or none, was kept by this one.
        """
        own = np.arange(len(self.group))
        passed = (self.removed_by == KEPT) | (self.removed_by > index)
        removed = self.removed_by == index
        stands_alone = self.group == own
        group = np.where(removed, np.where(stands_alone, NO_GROUP, self.group), UNDECIDED)
        knows_nearest = (removed | (passed & stands_alone & compares_kept)) & (self.nearest >= 0)
        return Decisions(
            np.where(passed, own, group),
            np.where(knows_nearest, self.nearest, -1),
            np.where(knows_nearest, self.similarity, np.nan),
        )

    def void(self, index: int) -> None:
        """Forget what one step decided; the decisions of those before it stand."""
        self.removed_by[self.removed_by == KEPT] = index


def _set_times(
    result: Outcome, earlier: Outcome, removed: Positions, rate: NDArray[np.float64], offset_s: NDArray[np.float64]
) -> None:
    """Where a decision stands, what the earlier run told of it stands too."""
    stands = np.isnan(rate)
    result.rate[removed] = np.where(stands, earlier.rate[removed], rate)
    result.offset_s[removed] = np.where(stands, earlier.offset_s[removed], offset_s)


def decide_in_steps(steps: Sequence[Step], clips: Clips, earlier: Outcome) -> Deciding[Outcome]:
    """What the steps decide over all clips, each over those that the ones before it keep."""
    result = Outcome.unknown(len(clips))
    result.removed_by[:] = KEPT
    result.group[:] = members = np.arange(len(clips))
    for index, step in enumerate(steps):
        before = earlier.of_step(index, compares_kept=step.compares_kept).among(members)
        decided = yield from step.decide(clips, members, before)
        removed = members[~decided.kept[members]]
        result.rank[members] = step.ranks(clips, members, decided)
        result.errors.update(zip(removed.tolist(), step.explain(clips, decided, removed), strict=True))
        result.columns.update(step.columns(decided))
        result.removed_by[removed] = index
        if isinstance(step, AligningStep):
            _set_times(result, earlier, removed, *step.times(decided, removed))
        result.group[removed] = np.where(decided.group[removed] == NO_GROUP, removed, decided.group[removed])
        compared = members[decided.nearest[members] >= 0]
        result.nearest[compared] = decided.nearest[compared]
        result.similarity[compared] = decided.similarity[compared]
        members = members[decided.kept[members]]
    while not np.array_equal(group := result.group[result.group], result.group):
        result.group[:] = group  # a clip that stood for a group was put into another's by a later step
    return result
