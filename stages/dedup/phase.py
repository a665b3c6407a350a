"""The dedup phase: one item and one task, which decides over the clips of all partitions."""

from collections.abc import Collection, Iterable, Mapping
from functools import cached_property
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from stages.dedup.stage import DedupStage, DedupTask, collect
from stages.errors import ManifestError, ParamsError, PhaseError, did_you_mean
from stages.manifest import Commit, ManifestRef, last_commit
from stages.params import DedupParams
from stages.phase import Phase
from stages.pipeline import Pipeline
from stages.schemas import ASSETS
from stages.sources import registered_partitions
from stages.storage import digest
from stages.tasks import Failed, Rejected, Row, Task

NO_EARLIER_VERSION = "0"
"""The part of a key that names the earlier version, where there is none."""


class DedupPhase(Phase[DedupParams]):
    """Finds near-duplicates among all embedded clips that the filters kept, and decides which of them are kept.

    The decision for a clip depends on all others, so there is one item: all clips. Its key holds a hash of them and
    names the earlier version whose decisions were kept:

        {hash of code, parameters and clips}-{number}-{digest of the earlier version}      or    {hash}-0

    If the newest version has the hash of the current inputs, it is reused. Otherwise its decisions
    are kept if it was made with the current work parameters, and only undecided clips are decided.
    """

    inputs = ("embeddings", "filtered_clips")
    input_columns: ClassVar[Mapping[str, list[str]]] = {
        "embeddings": ["partition", "clip_id", "row_key", "model", "weights_hash"]
    }
    key_columns = ("clips_digest", "earlier")

    def items(self, inputs: Mapping[str, pa.Table], output: ManifestRef) -> pa.Table:
        """One item for all clips; none where there are no clips.

        Raises:
            PhaseError: the embeddings are of different models.
            ParamsError: `rank_by` names neither a column of numbers nor a score.
        """
        clips = inputs["filtered_clips"]
        embedded = inputs["embeddings"]
        embedded = embedded.filter(_has_clip_in(clips))
        if not len(embedded):
            return pa.table({name: pa.array([], pa.string()) for name in self.key_columns})
        _check_one_model(embedded)
        clips = self._drop_repeated_clips(clips.filter(_has_clip_in(embedded)))
        embedded = self._drop_repeated_clips(embedded)
        ranking = _ranking_values(clips, self.params.rank_by if self.params.keep == "rank" else [])
        keys = dict(zip(embedded["clip_id"].to_pylist(), embedded["row_key"].to_pylist(), strict=True))
        partitions = self._in_registration_order(set(embedded["partition"].to_pylist()))
        # The order of registration never changes, so partition names and clip ids determine the order of clips.
        lines = sorted(f"{clip_id} {key} {ranking.get(clip_id)}" for clip_id, key in keys.items())
        clips_digest = digest(*partitions, *lines)
        item: Row = {
            "clips_digest": clips_digest,
            "earlier": self._earlier_version(digest(self._row_key_base, clips_digest), output),
            "partitions": partitions,
            "commits": [self._embeddings_commit(output, partition) for partition in partitions],
            "clip_ids": list(keys),
            "embedding_keys": list(keys.values()),
            "ranking": [ranking.get(clip_id, []) for clip_id in keys],
        }
        return pa.Table.from_pylist([item])

    def row_key(self, item: Row) -> str:
        """Hash of code, parameters and clips, and the earlier version; see the class."""
        return f"{digest(self._row_key_base, item['clips_digest'])}-{item['earlier']}"

    def min_rows(self, item: Row) -> int:
        """One row per clip."""
        return len(item["clip_ids"])

    def task(self, item: Row, task_id: str) -> Task:
        """The task with references to all clips."""
        return DedupTask(
            task_id,
            commits=dict(zip(item["partitions"], item["commits"], strict=True)),
            embedding_keys=dict(zip(item["clip_ids"], item["embedding_keys"], strict=True)),
            ranking=dict(zip(item["clip_ids"], item["ranking"], strict=True)),
            earlier_commit=int(item["earlier"].split("-")[0]),
        )

    def pipeline(self) -> Pipeline:
        """The stage that decides."""
        return Pipeline("dedup", [DedupStage(self.params, self.root)], collect=collect)

    def outcome_row(self, item: Row, outcome: Rejected | Failed) -> Row:
        """No row: without the decision over all clips there is no table.

        Raises:
            PhaseError: always. Nothing is committed, so that the earlier version stays the newest.
        """
        message = outcome.error if isinstance(outcome, Failed) else outcome.detail
        raise PhaseError(
            f"dedup decides over all {len(item['clip_ids'])} clips at once, and could not: {message} "
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
        """True where the commit was made with the current values of all work parameters."""
        values: dict[str, Any] = commit.lineage.get("params", {})
        return all(values.get(name) == value for name, value in self.params.affecting("work").items())

    def _in_registration_order(self, partitions: set[str]) -> list[str]:
        """The partitions in the order of registration; partitions that are not registered come last, by name."""
        order = self._registration_order
        return sorted(partitions, key=lambda name: (order.get(name, len(order)), name))

    @cached_property
    def _registration_order(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(registered_partitions(self.storage()))}

    def _drop_repeated_clips(self, table: pa.Table) -> pa.Table:
        """The table with each clip once. If two registrations took one video, the earlier partition's row stays."""
        clip_ids, names = table["clip_id"].to_pylist(), table["partition"].to_pylist()
        order = {name: number for number, name in enumerate(self._in_registration_order(set(names)))}
        first: dict[str, int] = {}
        for row in sorted(range(len(names)), key=lambda row: order[names[row]]):
            first.setdefault(clip_ids[row], row)
        return table.take(sorted(first.values()))

    def _embeddings_commit(self, output: ManifestRef, partition: str) -> int:
        commit = last_commit(self.storage(), ManifestRef(output.root, "embeddings", partition))
        if commit is None:
            raise ManifestError(
                f"Nothing is committed for embeddings of partition {partition!r}. Materialize it first."
            )
        return commit.number


def _has_clip_in(table: pa.Table) -> pc.Expression:
    """Expression for rows whose clip is in the table."""
    return pc.field("clip_id").isin(pa.array(table["clip_id"].to_pylist(), pa.string()))


def _committed_row_key(commit: Commit) -> str:
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


def check_rank_by(rank_by: Iterable[str], scores: Collection[str], beginnings: tuple[str, ...] = ()) -> None:
    """Check the names of `rank_by` before there is a table, against the schema of `filtered_clips` and these scores.

    Args:
        rank_by: names, each with "-" before it for the lowest first.
        scores: names that are known.
        beginnings: of names of further scores, of which no more is known.

    Raises:
        ParamsError: a name is neither a column of numbers nor one of the scores.
    """
    numbers = _number_columns(ASSETS["filtered_clips"].schema)
    names = [entry.removeprefix("-") for entry in rank_by]
    unknown = [name for name in names if name not in {*numbers, *scores} and not name.startswith(beginnings)]
    if unknown:
        raise ParamsError("\n".join(_unknown_ranking(name, numbers, scores) for name in unknown), "dedup.rank_by")


def _number_columns(schema: pa.Schema) -> list[str]:
    """The columns that clips can be ranked by."""
    kinds = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean)
    return [field.name for field in schema if any(is_kind(field.type) for is_kind in kinds)]


def _unknown_ranking(name: str, numbers: Iterable[str], scores: Iterable[str]) -> str:
    known = [*sorted(scores), *numbers]
    return (
        f"dedup.rank_by must name scores {sorted(scores)} or columns of numbers {list(numbers)}, "
        f"got {name!r}.{did_you_mean(name, known)}"
    )


def _ranking_values(clips: pa.Table, rank_by: list[str]) -> dict[str, list[float | None]]:
    """Values to rank by, by clip id; lower is better. They are negated for "name" (highest first), not for "-name".

    Raises:
        ParamsError: a name is neither a column of numbers of filtered_clips nor a score of any clip.
    """
    if not rank_by:
        return {}
    numbers = _number_columns(clips.schema)
    scores = [dict(scores or []) for scores in clips["scores"].to_pylist()]
    scored = {name for entry in scores for name in entry}
    columns: list[list[float | None]] = []
    for entry in rank_by:
        name = entry.removeprefix("-")
        if name not in scored and name not in numbers:
            raise ParamsError(_unknown_ranking(name, numbers, scored), "dedup.rank_by")
        values = [row.get(name) for row in scores] if name in scored else clips[name].to_pylist()
        sign = 1.0 if entry.startswith("-") else -1.0
        columns.append([None if value is None else sign * value for value in values])
    return dict(zip(clips["clip_id"].to_pylist(), (list(row) for row in zip(*columns, strict=True)), strict=True))
