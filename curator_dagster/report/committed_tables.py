"""Reads the newest committed tables of each asset under a root."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pyarrow as pa

from stages.manifest import Commit, ManifestRef, committed_partitions, last_commit, read_commit
from stages.schemas import ASSETS
from stages.storage import Storage

READ_THREADS = 8
"""Partitions read in parallel: on an object store each takes some round trips."""

_OUTCOME = ["partition", "video_id", "status", "reason", "error"]
_SPAN = ["uri", "clip_id", "start_pts", "end_pts", "start_s", "end_s", "width", "height"]
_COLUMNS = {
    "videos": [*_OUTCOME, "uri", "duration_s"],
    "clips": [*_OUTCOME, *_SPAN],
    "filtered_clips": [*_OUTCOME, *_SPAN, "scores", "thresholds"],
    "embeddings": [*_OUTCOME, "clip_id"],
    "captions": [*_OUTCOME, "clip_id", "window_index", "caption"],
    "unique_clips": [*_OUTCOME, "clip_id", "group_id", "similarity"],
    "dataset": [*_OUTCOME, *_SPAN, "path", "preview_path", "caption", "scores"],
}
"""Columns that the page needs; vectors in particular are not read."""


@dataclass(frozen=True)
class CommittedAsset:
    """The committed tables of one asset.

    Attributes:
        asset: its name.
        commits: newest commit by partition; empty where the phase has not run.
        table: rows of all partitions, with the columns that the page needs.
    """

    asset: str
    commits: Mapping[str, Commit]
    table: pa.Table


def read_committed(storage: Storage) -> dict[str, CommittedAsset]:
    """Committed tables by asset in the order of the phases, also of assets that are not made yet.

    Raises:
        ManifestError: a commit, or a file that one names, is missing or damaged.
    """
    with ThreadPoolExecutor(READ_THREADS, "report") as pool:
        return {asset: _read_asset(storage, asset, pool) for asset in ASSETS}


def _read_asset(storage: Storage, asset: str, pool: ThreadPoolExecutor) -> CommittedAsset:
    refs = [ManifestRef(storage.root, asset, name) for name in committed_partitions(storage, asset)]
    found = zip(refs, pool.map(lambda ref: last_commit(storage, ref), refs), strict=True)
    commits = {ref.partition: commit for ref, commit in found if commit is not None}
    columns = _COLUMNS[asset]

    def rows(partition: str) -> pa.Table:
        return read_commit(storage, ManifestRef(storage.root, asset, partition), commits[partition], columns)

    empty = ASSETS[asset].schema.empty_table().select(columns)
    return CommittedAsset(asset, commits, pa.concat_tables([empty, *pool.map(rows, commits)]))
