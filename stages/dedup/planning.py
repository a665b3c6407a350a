"""Plans dedup: which clips are compared, in which order, and the hash of all that they are.

Everything is done by columns: the rows of a library of millions of clips never become Python objects.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stages.dedup.arrow import pc
from stages.dedup.plan_digest import digest_of_lines
from stages.dedup.quota_columns import with_classes
from stages.dedup.quota_step import quota_column
from stages.errors import PhaseError
from stages.manifest import COMMIT_COLUMN
from stages.params import Quota

EMBEDDING_COLUMNS = ("partition", "video_id", "uri", "clip_id", "row_key", "model", "weights_hash", COMMIT_COLUMN)
"""What the plan reads of embeddings: no vector."""


_PLACE = "place"
"""Column with the place of a clip's row among those of filtered_clips."""


@dataclass(frozen=True)
class PlannedClips:
    """The clips that dedup decides over, oldest first: in the order of registration of partitions, then by id.

    Attributes:
        rows: `EMBEDDING_COLUMNS` of each clip. A clip that two registrations took is here once, as of the earlier.
        filtered: the clips' rows of filtered_clips, likewise, and what they count as, a column for each quota.
        ranking: float64 ``[N, R]``, values to rank by; lower is better, NaN where the clip has no value.
        digest: hash of all that decisions depend on.
    """

    rows: pa.Table
    filtered: pa.Table
    ranking: NDArray[np.float64]
    digest: str

    def __len__(self) -> int:
        return len(self.rows)


def plan_clips(
    inputs: Mapping[str, pa.Table],
    registration_order: Mapping[str, int],
    ranking_of: Callable[[pa.Table], NDArray[np.float64]],
    quotas: Sequence[Quota] = (),
) -> PlannedClips:
    """The clips that were embedded and that the filters keep.

    Args:
        inputs: kept rows of ``embeddings`` and ``filtered_clips``.
        registration_order: number of each registered partition.
        ranking_of: of rows of filtered_clips, the values that they are ranked by.
        quotas: of which clips must have classes.

    Raises:
        PhaseError: the embeddings are of different models.
        ParamsError: `rank_by` or a quota names no column and no score.
    """
    embedded, filtered = inputs["embeddings"], inputs["filtered_clips"]
    order = _in_order({*_values(embedded["partition"]), *_values(filtered["partition"])}, registration_order)
    filtered = _oldest_of_each(filtered, order)
    place = pc.index_in(embedded["clip_id"], value_set=_whole(filtered["clip_id"]))
    embedded = embedded.append_column(_PLACE, place).filter(pc.is_valid(place))
    _check_one_model(embedded)
    rows = _oldest_first(embedded, order)
    filtered = filtered.take(rows[_PLACE])
    rows = rows.drop_columns([_PLACE])
    ranking = ranking_of(filtered)
    filtered = with_classes(filtered, quotas)
    partitions = _in_order(_values(rows["partition"]), registration_order)
    # The order of registration never changes, so partition names and clip ids determine the order of clips.
    return PlannedClips(rows, filtered, ranking, digest_of_lines(partitions, _lines(rows, ranking, filtered)))


def _lines(rows: pa.Table, ranking: NDArray[np.float64], filtered: pa.Table) -> pa.Array:
    """One line a clip with what its decision depends on, sorted."""
    values: pa.Array | pa.Scalar = pa.scalar("None")
    if ranking.shape[1]:
        lists = [[None if np.isnan(value) else value for value in row] for row in ranking.tolist()]
        values = pa.array([str(each) for each in lists], pa.string())
    classes = [_whole(filtered[name]) for name in filtered.column_names if name.startswith(quota_column(""))]
    lines = pc.binary_join_element_wise(_whole(rows["clip_id"]), _whole(rows["row_key"]), values, *classes, " ")
    return lines.take(pc.sort_indices(lines))


def _oldest_first(table: pa.Table, order: Sequence[str]) -> pa.Table:
    """Each clip once, in the order of partitions and then by id."""
    table = _oldest_of_each(table, order)
    place = _place(table, order)
    by_partition = np.argsort(place, kind="stable")
    table, place = table.take(pa.array(by_partition)), place[by_partition]
    ids = _whole(table["clip_id"])
    rises = pc.less(ids[:-1], ids[1:]).to_numpy(zero_copy_only=False)
    if (rises | (place[:-1] != place[1:])).all():  # as collected rows are: a sort of very many texts takes seconds
        return table
    keys = pa.table({"place": place, "clip_id": ids})
    return table.take(pc.sort_indices(keys, sort_keys=[("place", "ascending"), ("clip_id", "ascending")]))


def _oldest_of_each(table: pa.Table, order: Sequence[str]) -> pa.Table:
    """Each clip once. If two registrations took one video, the earlier partition's row stays."""
    if pc.count_distinct(table["clip_id"]).as_py() == len(table):
        return table
    by_place = np.argsort(_place(table, order), kind="stable")
    numbers = table["clip_id"].combine_chunks().dictionary_encode().indices.to_numpy()[by_place]
    _, first = np.unique(numbers, return_index=True)
    return table.take(pa.array(by_place[first]))


def _place(table: pa.Table, order: Sequence[str]) -> NDArray[np.int32]:
    """The place of each row's partition in the order."""
    return pc.index_in(table["partition"], value_set=pa.array(order, pa.string())).to_numpy()


def _in_order(partitions: Collection[str], registration_order: Mapping[str, int]) -> list[str]:
    """The partitions in the order of registration; partitions that are not registered come last, by name."""
    last = len(registration_order)
    return sorted(partitions, key=lambda name: (registration_order.get(name, last), name))


def _values(column: pa.ChunkedArray) -> set[str]:
    return set(column.unique().to_pylist())


def _whole(column: pa.ChunkedArray) -> pa.Array:
    """The column in one piece."""
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def _check_one_model(embedded: pa.Table) -> None:
    found = embedded.group_by(["model", "weights_hash"]).aggregate([]).to_pylist()
    if len(found) > 1:
        models = sorted(f"{row['model']} ({row['weights_hash']})" for row in found)
        raise PhaseError(
            f"dedup requires the embeddings of all partitions to come from one model, got {models}. "
            "Materialize embeddings of every partition with the same embed parameters."
        )
