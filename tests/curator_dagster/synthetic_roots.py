"""Roots with tables of made-up clips, written as the phases write them, for tests of what reads tables."""

import io
from collections import defaultdict
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from stages.manifest import ALL, ManifestRef
from stages.params import PHASES
from stages.schemas import ASSETS, FRAME_STORE_SCHEMA
from stages.storage import Storage, digest
from stages.tasks import Row
from tests.made_tables import commit_items

JPEG = b"\xff\xd8\xff\xe0 a picture \xff\xd9"
WEBP = b"RIFF a preview WEBP"


def commit(storage: Storage, asset: str, partition: str, rows: list[Row]) -> None:
    """These rows are the asset's table of the partition, made with the default parameters of its phase."""
    phase = next(name for name, kind in PHASES.items() if kind.asset == asset)
    params = PHASES[phase]().model_dump(mode="json")
    lineage = {"phase": phase, "code_version": "1", "params": params, "identity": {}, "packages": {"av": "18"}}
    # Another row is another item, else the table would be the one before.
    items = ((digest(str(number), str(row)), [{"status": "kept", **row}]) for number, row in enumerate(rows))
    commit_items(ManifestRef(storage.root, asset, partition), items, decision_key="", made_with=lineage)


def clip(number: int, **columns: Any) -> Row:
    """A clip of two seconds, the number-th of its video; ``ends`` has its outcome by the asset that loses it."""
    start = 2.0 * number
    return {
        "partition": f"p{number % 3}",
        "video_id": f"v{number % 3}",
        "uri": f"/videos/{number % 3}.mp4",
        "clip_id": f"clip{number}",
        "start_pts": number * 2000,
        "end_pts": number * 2000 + 2000,
        "start_s": start,
        "end_s": start + 2.0,
        "width": 64,
        "height": 48,
        "scores": {"motion": 0.01 * number, "black": 0.1},
        "thresholds": {"motion_min": 0.005, "black_max": 0.5},
        **columns,
    }


CLIP_ASSETS = ("clips", "filtered_clips", "embeddings", "captions", "unique_clips", "dataset")


def write_root(storage: Storage, clips: list[Row], *, until: str = "dataset") -> None:
    """Tables of all assets as far as `until`; a clip with ``ends`` is kept in those before, and in none after."""
    videos: dict[str, dict[str, Row]] = defaultdict(dict)
    for row in clips:
        facts = {name: row[name] for name in ("partition", "video_id", "uri")}
        videos[row["partition"]][row["video_id"]] = {**facts, "duration_s": 100.0}
    for partition, members in videos.items():
        commit(storage, "videos", partition, list(members.values()))
    going = clips
    for asset in CLIP_ASSETS[: CLIP_ASSETS.index(until) + 1] if until != "videos" else ():
        tables: dict[str, list[Row]] = defaultdict(list)
        for row in going:
            end = row.get("ends", {}).get(asset, {})
            tables[ALL if asset == "unique_clips" else row["partition"]].append({**_of(asset, row), **end})
        for partition, rows in tables.items():
            commit(storage, asset, partition, rows)
        going = [row for row in going if asset not in row.get("ends", {}) or asset == "captions"]


def _of(asset: str, row: Row) -> Row:
    return {name: value for name, value in row.items() if name in ASSETS[asset].schema.names}


def write_frames(storage: Storage, partition: str, video_id: str, times: list[int], jpeg: bytes = JPEG) -> None:
    """A frame store with a picture at each of these PTS, in row groups of two."""
    rows = [{"pts": pts, "frame": place, "jpeg": jpeg + bytes([place])} for place, pts in enumerate(times)]
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=FRAME_STORE_SCHEMA), buffer, row_group_size=2)
    storage.write_bytes(f"frames/{partition}/{video_id}.parquet", buffer.getvalue())
