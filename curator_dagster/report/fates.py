"""What became of every clip, and of every video that gave none."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pyarrow as pa

from curator_dagster.report.tables import Made

UNFINISHED = "unfinished"
"""The fate of a clip that was kept so far, while later phases have not run."""

_ON_THE_WAY = ("clips", "filtered_clips", "embeddings", "unique_clips")
"""Tables of clips in which a clip that is not kept ends. One without a caption may still be written."""


@dataclass(frozen=True, slots=True)
class Fate:
    """Where a clip, or a video without clips, has ended.

    Attributes:
        id: ``clip_id``, or ``video_id`` where there is no clip.
        partition: of its video.
        asset: the table that decided.
        status: kept (it is in the dataset), rejected, failed or unfinished.
        reason: why it is not kept; empty otherwise.
    """

    id: str
    partition: str
    asset: str
    status: str
    reason: str


def final_fates(made: Mapping[str, Made]) -> dict[str, Fate]:
    """By id. What stands in ``dataset`` counts, whatever tables before it say since; else the first loss does."""
    fates = {fate.id: fate for fate in _fates(made["videos"].table, "videos", "video_id")}
    for clip_id, video_id, fate in _ends_of_split(made["clips"].table):
        fates.pop(video_id, None)
        fates[clip_id or video_id] = fate
    for asset in _ON_THE_WAY[1:]:
        for fate in _fates(made[asset].table, asset, "clip_id"):
            if fate.id in fates and fates[fate.id].status == UNFINISHED:
                fates[fate.id] = fate
    for fate in _fates(made["dataset"].table, "dataset", "clip_id"):
        fates[fate.id] = fate
    return fates


def _ends_of_split(table: pa.Table) -> Iterator[tuple[str | None, str, Fate]]:
    ids = zip(table["clip_id"].to_pylist(), table["video_id"].to_pylist(), strict=True)
    for (clip_id, video_id), fate in zip(ids, _fates(table, "clips", "clip_id", "video_id"), strict=True):
        yield clip_id, video_id, fate


def _fates(table: pa.Table, asset: str, *ids: str) -> Iterator[Fate]:
    """One a row; its id is the first of these columns that is not null."""
    for row in table.select([*dict.fromkeys([*ids, "partition", "status", "reason"])]).to_pylist():
        status = UNFINISHED if row["status"] == "kept" and asset != "dataset" else row["status"]
        yield Fate(
            next(row[name] for name in ids if row[name] is not None),
            row["partition"],
            asset,
            status,
            row["reason"] or "",
        )
