"""Writes frame stores and tables of clips without decoding a video."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from stages.manifest import ManifestRef, RowWriter, commit_table
from stages.media import store_path
from stages.media.frame_store import FOOTER_KEY
from stages.schemas import FRAME_STORE_SCHEMA
from stages.storage import Storage
from stages.tasks import Row

PARTITION = "p"


def jpeg(grey: int, width: int = 64, height: int = 36) -> bytes:
    """A picture of one colour."""
    return cv2.imencode(".jpg", np.full((height, width, 3), grey, np.uint8))[1].tobytes()


def noise(seed: int, width: int = 448, height: int = 336) -> bytes:
    """A picture that no codec makes small."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return cv2.imencode(".jpg", pixels)[1].tobytes()


def write_store(root: Path, video_id: str, pictures: Mapping[int, bytes], *, row_group: int = 2) -> Path:
    """The frame store of a video: pictures by PTS."""
    path = root / store_path(PARTITION, video_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [{"pts": pts, "frame": pts, "jpeg": data} for pts, data in pictures.items()]
    schema = FRAME_STORE_SCHEMA.with_metadata({FOOTER_KEY: b"key"})
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path, row_group_size=row_group)
    return path


def clip_row(video_id: str, start_pts: int, end_pts: int, **columns: Any) -> Row:
    """A row of `clips` or `filtered_clips`, in a time base of a second."""
    span = {"start_pts": start_pts, "end_pts": end_pts, "start_s": float(start_pts), "end_s": float(end_pts)}
    source = {"partition": PARTITION, "video_id": video_id, "uri": f"/videos/{video_id}.mp4"}
    return {**source, "clip_id": f"{video_id}-{start_pts}", **span, "time_base": "1/1", "status": "kept", **columns}


def commit(root: Path, asset: str, rows: list[Row], *, partition: str = PARTITION, **params: Any) -> ManifestRef:
    """The asset's table of a partition, made with these parameters; all rows are one item."""
    storage = Storage(root)
    ref = ManifestRef(storage.root, asset, partition)
    writer = RowWriter(storage, ref, decision_key="d", lineage={})
    writer.append("item", [{**row, "row_key": "item", "decision_key": "d"} for row in rows])
    writer.flush()
    commit_table(storage, ref, writer.files, {"params": params})
    return ref
