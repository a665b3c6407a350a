"""Reads what is committed under a root: of each asset the newest tables of all partitions, and what made them."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pyarrow as pa

from stages.manifest import Commit, ManifestRef, committed_partitions, last_commit, read_commit_rows
from stages.schemas import ASSETS
from stages.storage import Storage

READERS = 8
"""Partitions that are read at once: on an object store each costs some round trips."""

_FATE = ["partition", "video_id", "status", "reason", "error"]
_SPAN = ["uri", "clip_id", "start_pts", "end_pts", "start_s", "end_s", "width", "height"]
_COLUMNS = {
    "videos": [*_FATE, "uri", "duration_s"],
    "clips": [*_FATE, *_SPAN],
    "filtered_clips": [*_FATE, *_SPAN, "scores", "thresholds"],
    "embeddings": [*_FATE, "clip_id"],
    "captions": [*_FATE, "clip_id", "caption"],
    "unique_clips": [*_FATE, "clip_id", "group_id", "similarity"],
    "dataset": [*_FATE, *_SPAN, "path", "preview_path", "caption", "scores"],
}
"""What the page needs; vectors above all stay where they are."""


@dataclass(frozen=True)
class Made:
    """What is committed of one asset.

    Attributes:
        asset: its name.
        commits: the newest by partition; none where the phase has not run.
        table: their rows, with the columns that the page needs.
    """

    asset: str
    commits: Mapping[str, Commit]
    table: pa.Table


def read_all(storage: Storage) -> dict[str, Made]:
    """Every asset in the order of the phases, also those that are not made yet.

    Raises:
        ManifestError: a commit, or a file that one names, is missing or damaged.
    """
    with ThreadPoolExecutor(READERS, "report") as pool:
        return {asset: _read(storage, asset, pool) for asset in ASSETS}


def _read(storage: Storage, asset: str, pool: ThreadPoolExecutor) -> Made:
    refs = [ManifestRef(storage.root, asset, name) for name in committed_partitions(storage, asset)]
    found = zip(refs, pool.map(lambda ref: last_commit(storage, ref), refs), strict=True)
    commits = {ref.partition: commit for ref, commit in found if commit is not None}
    columns = _COLUMNS[asset]

    def rows(partition: str) -> pa.Table:
        return read_commit_rows(storage, ManifestRef(storage.root, asset, partition), commits[partition], columns)

    empty = ASSETS[asset].schema.empty_table().select(columns)
    return Made(asset, commits, pa.concat_tables([empty, *pool.map(rows, commits)]))
