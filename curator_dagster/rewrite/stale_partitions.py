"""Finds partitions whose `dataset` no longer holds the clips that dedup keeps.

Dedup keeps its earlier decisions, so a new partition does not change old ones. A decision changes where a clip that was
kept disappears (its source was superseded, or a filter rejects it), where `eps` or the rule changes, and on a rebuild.
Then clips of any partition may be lost or return. `unique_clips` has no partitions, so Dagster cannot say which
partitions are affected. The tables can: a partition is stale where the clips of its `dataset` differ from those that
`unique_clips` keeps of it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stages.manifest import ALL, Commit, ManifestRef, last_commit, read_commit
from stages.storage import Storage


def last_dedup_commit(storage: Storage) -> Commit | None:
    """The newest version of `unique_clips`; None where dedup has not run."""
    return last_commit(storage, _unique_clips(storage))


@dataclass(frozen=True)
class StalePartition:
    """A partition whose `dataset` is out of date, and the parameters of `write` that it was written with."""

    partition: str
    params: Mapping[str, Any]


def stale_partitions(
    storage: Storage, dedup_commit: Commit, partitions: Sequence[str]
) -> Iterator[StalePartition | None]:
    """One entry a partition, in order; None where it is up to date or was never written.

    Costs two storage requests for a partition that was written after the dedup commit. Of one that was written before
    it, the row files are read too.

    Args:
        storage: of the root.
        dedup_commit: a version of `unique_clips`.
        partitions: keys to compare.
    """
    kept: dict[str, set[str]] | None = None
    for partition in partitions:
        ref = ManifestRef(storage.root, "dataset", partition)
        written = last_commit(storage, ref)
        if written is None or written.lineage["inputs"].get("unique_clips", {}).get(ALL) == dedup_commit.number:
            yield None
            continue
        if kept is None:
            kept = _kept_clips(storage, dedup_commit)
        clips = set(read_commit(storage, ref, written, ["clip_id"])["clip_id"].to_pylist())
        yield None if clips == kept.get(partition, set()) else StalePartition(partition, written.lineage["params"])


def _kept_clips(storage: Storage, dedup_commit: Commit) -> dict[str, set[str]]:
    table = read_commit(storage, _unique_clips(storage), dedup_commit, ["partition", "clip_id", "status"])
    is_kept = [status == "kept" for status in table["status"].to_pylist()]
    clips = table.filter(is_kept).group_by("partition").aggregate([("clip_id", "list")])
    lists = zip(clips["partition"].to_pylist(), clips["clip_id_list"].to_pylist(), strict=True)
    return {partition: set(clip_ids) for partition, clip_ids in lists}


def _unique_clips(storage: Storage) -> ManifestRef:
    return ManifestRef(storage.root, "unique_clips", ALL)
