"""Steps one after another: each decides over what those before it keep, and its decisions stand in the next run."""

from typing import ClassVar

import numpy as np
import pytest

from stages.dedup.arrays import NO_GROUP, UNDECIDED, Clips, Decisions, Positions
from stages.dedup.searches import Deciding, run_here
from stages.dedup.semantic import SemanticStep
from stages.dedup.steps import KEPT, Outcome, Step, decide_in_steps
from stages.errors import Reason
from stages.params import DedupParams
from tests.stages.dedup.tables import angles
from tests.stages.dedup.test_neighbors import make_clips


class Pairs(Step):
    """Removes the second of each pair of clips that are told to be copies."""

    reason: ClassVar[Reason] = Reason.SUPERSEDED
    compares_kept: ClassVar[bool] = False

    def __init__(self, copies: dict[int, int]) -> None:
        self.copies = copies
        self.decided: list[int] = []

    def decide(self, clips: Clips, members: Positions, earlier: Decisions) -> Deciding[Decisions]:
        yield from ()
        decided = Decisions.undecided(len(clips))
        decided.group[members] = members
        self.decided = np.flatnonzero(earlier.is_undecided).tolist()
        for copy, original in self.copies.items():
            decided.group[copy] = decided.nearest[copy] = original
            decided.similarity[copy] = 0.5
        return decided

    def ranks(self, clips: Clips, members: Positions, decided: Decisions) -> Positions:
        return (~decided.kept[members]).astype(np.int64)

    def explain(self, clips: Clips, decided: Decisions, removed: Positions) -> list[str]:
        return [f"copy of {decided.group[position]}" for position in removed]


class AtMost(Step):
    """Keeps the first clips, as many as are allowed."""

    reason: ClassVar[Reason] = Reason.TOO_SMALL
    compares_kept: ClassVar[bool] = False

    def __init__(self, count: int) -> None:
        self.count = count

    def decide(self, clips: Clips, members: Positions, earlier: Decisions) -> Deciding[Decisions]:
        yield from ()
        decided = Decisions.undecided(len(clips))
        decided.group[members] = np.where(np.arange(len(members)) < self.count, members, NO_GROUP)
        return decided

    def ranks(self, clips: Clips, members: Positions, decided: Decisions) -> Positions:
        return np.zeros(len(members), np.int64)

    def explain(self, clips: Clips, decided: Decisions, removed: Positions) -> list[str]:
        return [f"more than {self.count}"] * len(removed)


def clips_and_steps() -> tuple[Clips, list[Step]]:
    """1 is a copy of 0, which is near 2; 3 is alone; 4 is one too many."""
    clips = make_clips(list(angles(a=4, b=180, c=0, d=90, e=270).values()), [[2.0], [1.0], [0.0], [3.0], [4.0]])
    semantic = SemanticStep(DedupParams(eps=0.005, keep="rank", rank_by=["-x"]))
    return clips, [Pairs({1: 0}), semantic, AtMost(2)]


def decided(clips: Clips, steps: list[Step], earlier: Outcome | None = None) -> Outcome:
    return run_here(decide_in_steps(steps, clips, earlier or Outcome.unknown(len(clips))), clips.vectors)


def test_each_step_decides_over_what_is_left() -> None:
    clips, steps = clips_and_steps()
    outcome = decided(clips, steps)
    assert outcome.removed_by.tolist() == [1, 0, KEPT, KEPT, 2]
    assert outcome.group.tolist() == [2, 2, 2, 3, 4], "a copy belongs to the group of what it is a copy of"
    assert outcome.nearest.tolist()[:2] == [2, 0]
    assert outcome.nearest[4] >= 0, "what a step compared stays known where a later one removes the clip"
    assert outcome.rank.tolist() == [1, 1, 0, 0, 0]
    assert outcome.errors[1] == "copy of 0"
    assert outcome.errors[4] == "more than 2"
    assert outcome.errors[0].startswith("Similarity to kept clip clip-002 must be below 0.995")


def test_decisions_of_each_step_stand() -> None:
    clips, steps = clips_and_steps()
    first = decided(clips, steps)
    again = decided(clips, steps, first)
    for name in ("removed_by", "group", "nearest", "similarity", "rank", "errors"):
        np.testing.assert_equal(getattr(again, name), getattr(first, name))
    assert isinstance(steps[0], Pairs)
    assert steps[0].decided == []


@pytest.mark.parametrize(("index", "group"), [(0, [0, 0, 2, 3, 4]), (1, [2, UNDECIDED, 2, 3, 4])])
def test_a_clip_that_a_later_step_removed_was_kept_by_those_before(index: int, group: list[int]) -> None:
    clips, steps = clips_and_steps()
    found = decided(clips, steps).of_step(index, compares_kept=index == 1)
    assert found.group.tolist()[2:] == group[2:]
    assert (found.group[1] == UNDECIDED) == (group[1] == UNDECIDED)


def test_what_hung_on_a_clip_that_is_no_member_is_undecided() -> None:
    made = Decisions(np.array([0, 0, 2, NO_GROUP]), np.array([2, 0, 0, -1]), np.array([0.1, 0.9, 0.1, np.nan]))
    left = made.among(np.array([1, 2, 3]))
    assert left.group.tolist() == [UNDECIDED, UNDECIDED, 2, NO_GROUP]
    assert left.nearest.tolist() == [-1, -1, -1, -1]
    assert np.isnan(left.similarity).all()
