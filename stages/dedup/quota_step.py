"""The step that balances a library: at most so many clips of a kind, copies and duplicates apart."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from stages import lazy
from stages.dedup.arrays import NO_GROUP, Clips, Decisions, Positions
from stages.dedup.quotas import over_quota
from stages.dedup.searches import Deciding
from stages.dedup.steps import Step
from stages.errors import Reason
from stages.params import QUOTA_BY_CLUSTER, DedupParams, Quota, parse_quotas


@dataclass(frozen=True)
class QuotaDecisions(Decisions):
    """The decisions of the step.

    Attributes:
        classes: by the quota's `by`, the class of each member.
        refused: the `by` of the quota that had no room, by position.
        members: positions of the clips that were decided over.
    """

    classes: Mapping[str, Sequence[str]]
    refused: Mapping[int, str]
    members: Positions


class QuotaStep(Step):
    """Removes the clips that find no room in a quota. Those that were kept before come first, then the best."""

    reason: ClassVar[Reason] = Reason.OVER_QUOTA
    compares_kept: ClassVar[bool] = False

    def __init__(self, params: DedupParams) -> None:
        self.params = params
        self.quotas = parse_quotas(params.quotas)

    def decide(self, clips: Clips, members: Positions, earlier: Decisions) -> Deciding[Decisions]:
        """A decision for every member. What was kept stays; what found no room is asked for again."""
        yield from ()  # nothing is searched for
        classes = {quota.by: self._classes_of(quota, clips, members) for quota in self.quotas}
        order = lazy.load("stages.dedup.ranking:order_of_all")(clips, members, self.params)
        among = np.searchsorted(members, order)
        refused = over_quota(self.quotas, classes, among, earlier.kept[members])
        decided = Decisions.undecided(len(clips))
        decided.group[members] = members
        decided.group[members[list(refused)]] = NO_GROUP
        by_position = {int(members[number]): by for number, by in refused.items()}
        return QuotaDecisions(decided.group, decided.nearest, decided.similarity, classes, by_position, members)

    def ranks(self, clips: Clips, members: Positions, decided: Decisions) -> Positions:
        """0: there are no groups."""
        return np.zeros(len(members), np.int64)

    def explain(self, clips: Clips, decided: Decisions, removed: Positions) -> list[str]:
        """The quota that had no room for each removed clip, and how large it is."""
        if not isinstance(decided, QuotaDecisions):
            raise TypeError(f"Decisions of quotas must be QuotaDecisions, got {type(decided).__name__}.")
        most = {quota.by: quota.most(len(decided.members)) for quota in self.quotas}
        places = np.searchsorted(decided.members, removed).tolist()
        return [
            f"Of {by} {decided.classes[by][place]} at most {most[by]} clips are kept, and there were as many."
            for by, place in zip((decided.refused[position] for position in removed.tolist()), places, strict=True)
        ]

    def stands(self, earlier_params: Mapping[str, Any]) -> bool:
        """True for decisions with the same quotas."""
        return (earlier_params.get("quotas") or []) == self.params.quotas

    def columns(self, decided: Decisions) -> Mapping[str, pa.Array]:
        """``quota_classes``: what each member counts as; null for clips that an earlier step removed."""
        if not isinstance(decided, QuotaDecisions):
            raise TypeError(f"Decisions of quotas must be QuotaDecisions, got {type(decided).__name__}.")
        names = list(decided.classes)
        counts = np.zeros(len(decided.group), np.int32)
        counts[decided.members] = len(names)
        offsets = pa.array(np.concatenate([[0], np.cumsum(counts, dtype=np.int32)]))
        values = [name for classes in zip(*decided.classes.values(), strict=True) for name in classes]
        mask = pa.array(counts == 0)
        keys = pa.array(names * len(decided.members), pa.string())
        return {"quota_classes": pa.MapArray.from_arrays(offsets, keys, pa.array(values, pa.string()), mask=mask)}

    def _classes_of(self, quota: Quota, clips: Clips, members: Positions) -> Sequence[str]:
        """The class of each member."""
        if quota.by != QUOTA_BY_CLUSTER:
            return clips.rows[quota_column(quota.by)].take(pa.array(members)).to_pylist()
        cluster_labels = lazy.load("stages.dedup.quota_clusters:cluster_labels")
        return [str(label) for label in cluster_labels(clips.vectors, members, quota.clusters, self.params.seed)]


def quota_column(by: str) -> str:
    """The column of the planned clips that holds the classes of a quota."""
    return f"quota {by}"
