"""The step that finds near-duplicates by their embeddings: what looks alike to the network."""

from typing import ClassVar

from stages import lazy
from stages.dedup.arrays import Clips, Decisions, Positions
from stages.dedup.searches import Deciding
from stages.dedup.steps import Step
from stages.errors import Reason
from stages.params import DedupParams


class SemanticStep(Step):
    """Removes near-duplicates by cosine similarity of embeddings, in one of the modes of `dedup.mode`."""

    reason: ClassVar[Reason] = Reason.DUPLICATE
    compares_kept: ClassVar[bool] = True

    def __init__(self, params: DedupParams) -> None:
        self.params = params

    def decide(self, clips: Clips, members: Positions, earlier: Decisions) -> Deciding[Decisions]:
        """A decision for every member; see `stages.dedup.neighbors` and `stages.dedup.cluster`."""
        decisions_of = lazy.load(f"stages.dedup.{self.params.mode}:decisions_of")
        return (yield from decisions_of(clips, members, earlier, self.params))

    def ranks(self, clips: Clips, members: Positions, decided: Decisions) -> Positions:
        """Rank of each member in its group, by the rule `dedup.keep`."""
        return lazy.load("stages.dedup.ranking:ranks")(clips, decided.group, self.params)[members]

    def explain(self, clips: Clips, decided: Decisions, removed: Positions) -> list[str]:
        """The similarity of each removed clip, and the one that it should have had."""
        return [self._too_similar(clips, decided, position) for position in removed.tolist()]

    def _too_similar(self, clips: Clips, decided: Decisions, position: int) -> str:
        kept, nearest = int(decided.group[position]), int(decided.nearest[position])
        near = f"kept clip {clips.ids[kept]}"
        if nearest != kept:
            near = f"clip {clips.ids[nearest]}, which belongs to kept clip {clips.ids[kept]},"
        return f"Similarity to {near} must be below {1 - self.params.eps:g}, got {decided.similarity[position]:.6f}."
