"""Dedup: one decision over the clips of all partitions, taken by one task."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from stages.dedup.stage import DedupStage, DedupTask, collect
from stages.errors import ManifestError, ParamsError, PhaseError
from stages.manifest import Commit, ManifestRef, last_commit
from stages.params import DedupParams
from stages.phase import Phase
from stages.pipeline import Pipeline
from stages.sources import registered_partitions
from stages.storage import digest
from stages.tasks import Failed, Rejected, Row, Task

NOTHING = "0"
"""Stands in a key for a table decided without an earlier one."""


class DedupPhase(Phase[DedupParams]):
    """Finds near-duplicates among all embedded clips that the filters kept, and chooses which stay.

    Clips decide about one another, so there is one item: all of them. Its key says what was decided over, and from
    which earlier version:

        {hash of code, parameters and clips}-{number}-{digest of the earlier version}      or    {hash}-0

    The newest version bears the hash that the same inputs give again, and then it is the answer; else it
    is the earlier version whose decisions stand.
    """

    inputs = ("embeddings", "filtered_clips")
    input_columns: ClassVar[Mapping[str, list[str]]] = {
        "embeddings": ["partition", "clip_id", "row_key", "model", "weights_hash"]
    }
    key_columns = ("clips_digest", "earlier")

    def items(self, inputs: Mapping[str, pa.Table], output: ManifestRef) -> pa.Table:
        """One row about all clips; none where there are no clips.

        Raises:
            PhaseError: the embeddings come from different models.
            ParamsError: `rank_by` names what no clip has.
        """
        clips = inputs["filtered_clips"]
        embedded = inputs["embeddings"]
        embedded = embedded.filter(_among(clips))
        if not len(embedded):
            return pa.table({name: pa.array([], pa.string()) for name in self.key_columns})
        _check_one_model(embedded)
        embedded, clips = self._once(embedded), self._once(clips.filter(_among(embedded)))
        ranking = _ranking(clips, self.params.rank_by if self.params.keep == "rank" else [])
        keys = dict(zip(embedded["clip_id"].to_pylist(), embedded["row_key"].to_pylist(), strict=True))
        partitions = self._oldest_first(set(embedded["partition"].to_pylist()))
        # The order of registration never changes, so partition names and clip ids stand for all orders.
        lines = sorted(f"{clip_id} {key} {ranking.get(clip_id)}" for clip_id, key in keys.items())
        clips_digest = digest(*partitions, *lines)
        item: Row = {
            "clips_digest": clips_digest,
            "earlier": self._earlier(digest(self._row_key_base, clips_digest), output),
            "partitions": partitions,
            "commits": [self._version(output, partition) for partition in partitions],
            "clip_ids": list(keys),
            "embedding_keys": list(keys.values()),
            "ranking": [ranking.get(clip_id, []) for clip_id in keys],
        }
        return pa.Table.from_pylist([item])

    def row_key(self, item: Row) -> str:
        """What was decided over, and from which earlier version."""
        return f"{digest(self._row_key_base, item['clips_digest'])}-{item['earlier']}"

    def min_rows(self, item: Row) -> int:
        """Every clip has its row."""
        return len(item["clip_ids"])

    def task(self, item: Row, task_id: str) -> Task:
        """The clips by reference."""
        return DedupTask(
            task_id,
            commits=dict(zip(item["partitions"], item["commits"], strict=True)),
            embedding_keys=dict(zip(item["clip_ids"], item["embedding_keys"], strict=True)),
            ranking=dict(zip(item["clip_ids"], item["ranking"], strict=True)),
            previous=int(item["earlier"].split("-")[0]),
        )

    def pipeline(self) -> Pipeline:
        """One stage."""
        return Pipeline("dedup", [DedupStage(self.params, self.root)], collect=collect)

    def outcome_row(self, item: Row, outcome: Rejected | Failed) -> Row:
        """Nothing: a decision over all clips is taken or not.

        Raises:
            PhaseError: always. No table is committed, so that the earlier decisions stay.
        """
        why = outcome.error if isinstance(outcome, Failed) else outcome.detail
        raise PhaseError(
            f"dedup decides over all {len(item['clip_ids'])} clips at once, and could not: {why} "
            "Nothing is committed; the earlier table stays."
        )

    def _earlier(self, wanted: str, output: ManifestRef) -> str:
        """The version whose decisions stand, as it stands in the key: "number-digest", or "0"."""
        newest = last_commit(self.storage(), output)
        if newest is None or self.params.rebuild:
            return NOTHING
        given, _, earlier = _only_key(newest).partition("-")
        if given == wanted:
            return earlier
        return f"{newest.number}-{newest.digest[:12]}" if self._decided_alike(newest) else NOTHING

    def _decided_alike(self, commit: Commit) -> bool:
        """True where eps, rule and whatever else the work reads were what they are now."""
        values: dict[str, Any] = commit.lineage.get("params", {})
        return all(values.get(name) == value for name, value in self.params.affecting("work").items())

    def _oldest_first(self, partitions: set[str]) -> list[str]:
        """In the order of registration; those that never were come last, by name."""
        order = self._numbers
        return sorted(partitions, key=lambda name: (order.get(name, len(order)), name))

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(registered_partitions(self.storage()))}

    def _once(self, table: pa.Table) -> pa.Table:
        """Each clip once: that of the partition registered first, where two registrations took one video."""
        clip_ids, names = table["clip_id"].to_pylist(), table["partition"].to_pylist()
        age = {name: number for number, name in enumerate(self._oldest_first(set(names)))}
        first: dict[str, int] = {}
        for row in sorted(range(len(names)), key=lambda row: age[names[row]]):
            first.setdefault(clip_ids[row], row)
        return table.take(sorted(first.values()))

    def _version(self, output: ManifestRef, partition: str) -> int:
        commit = last_commit(self.storage(), ManifestRef(output.root, "embeddings", partition))
        if commit is None:
            raise ManifestError(
                f"Nothing is committed for embeddings of partition {partition!r}. Materialize it first."
            )
        return commit.number


def _among(table: pa.Table) -> pc.Expression:
    """Rows whose clip is in the table."""
    return pc.field("clip_id").isin(pa.array(table["clip_id"].to_pylist(), pa.string()))


def _only_key(commit: Commit) -> str:
    keys = [key for entry in commit.files for key in entry.items]
    return keys[0] if keys else ""


def _check_one_model(embedded: pa.Table) -> None:
    found = embedded.group_by(["model", "weights_hash"]).aggregate([("partition", "count_distinct")]).to_pylist()
    if len(found) > 1:
        models = sorted(f"{row['model']} ({row['weights_hash']})" for row in found)
        raise PhaseError(
            f"dedup requires the embeddings of all partitions to come from one model, got {models}. "
            "Materialize embeddings of every partition with the same embed parameters."
        )


def _ranking(clips: pa.Table, rank_by: list[str]) -> dict[str, list[float | None]]:
    """Values to rank by, by clip id, turned so that lower is better: "name" is highest first, "-name" lowest first.

    Raises:
        ParamsError: a name is neither a column of numbers of filtered_clips nor a score of any clip.
    """
    if not rank_by:
        return {}
    numbers = [
        field.name
        for field in clips.schema
        if pa.types.is_integer(field.type) or pa.types.is_floating(field.type) or pa.types.is_boolean(field.type)
    ]
    scores = [dict(scores or []) for scores in clips["scores"].to_pylist()]
    scored = {name for entry in scores for name in entry}
    columns: list[list[float | None]] = []
    for entry in rank_by:
        name = entry.removeprefix("-")
        if name not in scored and name not in numbers:
            raise ParamsError(
                f"dedup.rank_by must name columns of numbers {numbers} or scores {sorted(scored)}, got {name!r}."
            )
        values = [row.get(name) for row in scores] if name in scored else clips[name].to_pylist()
        sign = 1.0 if entry.startswith("-") else -1.0
        columns.append([None if value is None else sign * value for value in values])
    return dict(zip(clips["clip_id"].to_pylist(), (list(row) for row in zip(*columns, strict=True)), strict=True))
