"""The dedup phase: one item and one task, which decides over the clips of all partitions."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stages.dedup import quota_columns
from stages.dedup.copy_columns import COPY_COLUMNS
from stages.dedup.copy_step import CopyStep
from stages.dedup.dedup_tasks import DedupTask, again, collect
from stages.dedup.planning import EMBEDDING_COLUMNS, PlannedClips, plan_clips
from stages.dedup.quality import QUALITY_COLUMNS, quality_values
from stages.dedup.quota_step import QuotaStep
from stages.dedup.rank_columns import columns_to_read, ranking_values
from stages.dedup.semantic import SemanticStep
from stages.dedup.shot_pieces import PIECE_COLUMNS
from stages.dedup.stage import DedupStage, SearchStage
from stages.dedup.steps import Step
from stages.errors import PhaseError
from stages.manifest import Commit, ManifestRef, last_commit
from stages.params import DedupParams, parse_quotas
from stages.phase import Phase
from stages.pipeline import Pipeline
from stages.sources import registered_partitions
from stages.storage import digest
from stages.tasks import Failed, Rejected, Row, Task

NO_EARLIER_VERSION = "0"
"""The part of a key that names the earlier version, where there is none."""


def steps_of(params: DedupParams, root: str) -> list[Step]:
    """The steps of the phase, in order; each decides over the clips that those before it keep."""
    copies: list[Step] = [CopyStep(params, root)] if params.copies else []
    return [*copies, SemanticStep(params), *([QuotaStep(params)] if params.quotas else [])]


class DedupPhase(Phase[DedupParams]):
    """Finds near-duplicates among all embedded clips that the filters kept, and decides which of them are kept.

    The decision for a clip depends on all others, so there is one item: all clips. Its key holds a hash of them and
    names the earlier version whose decisions were kept:

        {hash of code, parameters and clips}-{number}-{digest of the earlier version}      or    {hash}-0

    If the newest version has the hash of the current inputs, it is reused. Otherwise its decisions
    are kept if it was made with the current work parameters, and only undecided clips are decided.
    """

    inputs = ("embeddings", "filtered_clips")
    input_columns: ClassVar[Mapping[str, list[str]]] = {"embeddings": list(EMBEDDING_COLUMNS)}
    key_columns = ("clips_digest", "earlier")

    def __init__(self, params: DedupParams, root: str) -> None:
        super().__init__(params, root)
        self._planned: dict[str, PlannedClips] = {}
        self._quotas = parse_quotas(params.quotas)

    @property
    def _rank_by(self) -> list[str]:
        return self.params.rank_by if self.params.keep == "rank" else []

    def _ranking(self, clips: pa.Table) -> NDArray[np.float64]:
        return quality_values(clips) if self.params.keep == "quality" else ranking_values(clips, self._rank_by)

    def columns_of(self, asset: str) -> list[str] | None:
        """No vector of embeddings, and of filtered_clips what clips are ranked and counted by."""
        if asset == "filtered_clips":
            named = [*PIECE_COLUMNS, *columns_to_read(self._rank_by), *quota_columns.columns_to_read(self._quotas)]
            named += COPY_COLUMNS if self.params.copies else ()
            named += QUALITY_COLUMNS if self.params.keep == "quality" else ()
            return list(dict.fromkeys(["partition", "clip_id", *named]))
        return super().columns_of(asset)

    def items(self, inputs: Mapping[str, pa.Table], output: ManifestRef) -> pa.Table:
        """One item for all clips; none where there are no clips.

        Raises:
            PhaseError: the embeddings are of different models.
            ParamsError: `rank_by` or a quota names no column and no score.
        """
        planned = plan_clips(inputs, self._registration_order, self._ranking, self._quotas)
        if not len(planned):
            return pa.table({name: pa.array([], pa.string()) for name in self.key_columns})
        self._planned = {planned.digest: planned}
        inputs_hash = digest(self._row_key_base, planned.digest)
        item: Row = {"clips_digest": planned.digest, "earlier": self._earlier_version(inputs_hash, output)}
        return pa.Table.from_pylist([{**item, "num_clips": len(planned)}])

    def row_key(self, item: Row) -> str:
        """Hash of code, parameters and clips, and the earlier version; see the class."""
        return f"{digest(self._row_key_base, item['clips_digest'])}-{item['earlier']}"

    def row_keys(self, items: pa.Table) -> list[str]:
        """`row_key` of the one item, or none."""
        return [self.row_key(item) for item in items.to_pylist()]

    def min_rows(self, item: Row) -> int:
        """One row per clip."""
        return item["num_clips"]

    def task(self, item: Row, task_id: str) -> Task:
        """The task with the keys of all clips, as they were planned."""
        clips, earlier = self._planned[item["clips_digest"]], int(item["earlier"].split("-")[0])
        return DedupTask(task_id, clips=clips, earlier_commit=earlier)

    def pipeline(self) -> Pipeline:
        """The stage that decides, and the one that searches for it."""
        stages = [
            DedupStage(steps_of(self.params, self.root), self.root, table=self.params.table_read("embeddings")),
            SearchStage(self.root, self.params.resources()),
        ]
        return Pipeline("dedup", [*stages], collect=collect, again=again)

    def outcome_row(self, item: Row, outcome: Rejected | Failed) -> Row:
        """No row: without the decision over all clips there is no table.

        Raises:
            PhaseError: always. Nothing is committed, so that the earlier version stays the newest.
        """
        message = outcome.error if isinstance(outcome, Failed) else outcome.detail
        raise PhaseError(
            f"dedup decides over all {item['num_clips']} clips at once, and could not: {message} "
            "Nothing is committed; the earlier table stays."
        )

    def _earlier_version(self, inputs_hash: str, output: ManifestRef) -> str:
        """The earlier version whose decisions are kept, in the form of the key: "number-digest", or "0"."""
        newest = last_commit(self.storage(), output)
        if newest is None or self.params.rebuild:
            return NO_EARLIER_VERSION
        newest_hash, _, earlier = _committed_row_key(newest).partition("-")
        if newest_hash == inputs_hash:
            return earlier
        return f"{newest.number}-{newest.digest[:12]}" if self._has_same_work_params(newest) else NO_EARLIER_VERSION

    def _has_same_work_params(self, commit: Commit) -> bool:
        """True where the commit was made with the current values of all work parameters but the quotas.

        What is a copy or a duplicate does not hang on them; `QuotaStep` says what becomes of their own decisions.
        """
        values: dict[str, Any] = commit.lineage.get("params", {})
        used = {**self.params.affecting("work"), "embedder": self.params.embedder}
        values = {"embedder": "", **values}  # commits of earlier releases name none
        return all(values.get(name) == value for name, value in used.items() if name != "quotas")

    @cached_property
    def _registration_order(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(registered_partitions(self.storage()))}


def _committed_row_key(commit: Commit) -> str:
    keys = [key for entry in commit.files for key in entry.items]
    return keys[0] if keys else ""
