"""The index of a partition: one Parquet file with all columns of each kept clip, for training.

    {root}/dataset/index/{partition}.parquet

Its columns, one row a kept clip, in the order of the asset ``dataset``:

    dataset         all columns
    filtered_clips  columns that `dataset` lacks: splitter, shot, keyframe flags, frame store, motion, thresholds
    unique_clips    group_id, group_size, nearest_clip_id, similarity, rank
    embeddings      embedding, num_embedded_frames, and its model and weights_hash as embedding_model and
                    embedding_weights_hash
    captions        windows: a list of start_frame, end_frame (in the clip), caption, model, prompt_id

It is made from the newest tables under the root, and equal tables give equal bytes. Where a table has no row of a
clip, its columns are null. ``embedding`` comes after all small columns; readers of other columns need not read it.
"""

import io

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stages.manifest import ALL, ManifestRef, last_commit, read_commit
from stages.schemas import ASSETS
from stages.storage import Storage
from stages.write.captions import CAPTION_COLUMNS, WINDOW_TYPE, windows_by_clip
from stages.write.paths import index_path

_OUTCOME_COLUMNS = ("status", "reason", "error", "row_key", "decision_key")
_SCORE_PARTS = ("score_keys", "picture_scores", "clip_embedding")
"""What the scores were made of; it stays in `filtered_clips`."""
_JOINED_COLUMNS: dict[str, dict[str, str]] = {
    "filtered_clips": {
        name: name
        for name in ASSETS["filtered_clips"].schema.names
        if name not in (*_OUTCOME_COLUMNS, *_SCORE_PARTS) and name not in ASSETS["dataset"].schema.names
    },
    "unique_clips": {name: name for name in ("group_id", "group_size", "nearest_clip_id", "similarity", "rank")},
    "embeddings": {
        "model": "embedding_model",
        "weights_hash": "embedding_weights_hash",
        "num_embedded_frames": "num_embedded_frames",
        "embedding": "embedding",
    },
}
"""Columns that are joined from other assets, with their names in the index."""


def write_index(storage: Storage, output: ManifestRef, table: pa.Table) -> None:
    """Write the kept rows of this version of ``dataset``, joined with the newest other tables, as one whole file."""
    index = table.filter(pc.field("status") == "kept")
    clip_ids: list[str] = index["clip_id"].to_pylist()
    index = index.append_column(pa.field("windows", pa.list_(WINDOW_TYPE)), _caption_windows(storage, output, clip_ids))
    for asset, names in _JOINED_COLUMNS.items():
        rows = _kept_rows(storage, output, asset, ["clip_id", *names])
        positions = {clip_id: position for position, clip_id in enumerate(rows["clip_id"].to_pylist())}
        found = rows.take(pa.array([positions.get(clip_id) for clip_id in clip_ids], pa.int64()))
        for name, index_name in names.items():
            index = index.append_column(ASSETS[asset].schema.field(name).with_name(index_name), found[name])
    buffer = io.BytesIO()
    pq.write_table(index, buffer, compression="zstd")
    storage.write_bytes(index_path(output.partition), buffer.getvalue())


def _caption_windows(storage: Storage, output: ManifestRef, clip_ids: list[str]) -> pa.Array:
    captions = _kept_rows(storage, output, "captions", list(CAPTION_COLUMNS))
    windows = windows_by_clip(captions)
    return pa.array([windows.get(clip_id, []) for clip_id in clip_ids], pa.list_(WINDOW_TYPE))


def _kept_rows(storage: Storage, output: ManifestRef, asset: str, columns: list[str]) -> pa.Table:
    """Kept rows of the output's partition in the newest table of an asset; no rows where there is no table."""
    for partition in (output.partition, ALL):
        ref = ManifestRef(output.root, asset, partition)
        if commit := last_commit(storage, ref):
            rows = read_commit(storage, ref, commit, [*columns, "status"], output.partition)
            return rows.filter(pc.field("status") == "kept").select(columns)
    return ASSETS[asset].schema.empty_table().select(columns)
