"""The final outcome of every clip, and of every video without clips."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pyarrow as pa

from curator_dagster.report.committed_tables import CommittedAsset

UNFINISHED = "unfinished"
"""Status of a clip that is kept so far, while later phases have not run."""

_INTERMEDIATE_ASSETS = ("clips", "filtered_clips", "embeddings", "unique_clips")
"""Tables in which a clip that is not kept has its final outcome. A clip without caption may still be written."""


@dataclass(frozen=True, slots=True)
class FinalOutcome:
    """The last table that decided on a clip, or on a video without clips, and its decision.

    Attributes:
        id: ``clip_id``, or ``video_id`` where there is no clip.
        partition: of its video.
        asset: of that table.
        status: kept (it is in the dataset), rejected, failed or unfinished.
        reason: why it is not kept; empty otherwise.
    """

    id: str
    partition: str
    asset: str
    status: str
    reason: str


def final_outcomes(committed: Mapping[str, CommittedAsset]) -> dict[str, FinalOutcome]:
    """Outcome by id: that of ``dataset`` where it has the clip, else that of the first table that does not keep it."""
    outcomes = {outcome.id: outcome for outcome in _outcomes_of_rows(committed["videos"].table, "videos", "video_id")}
    for clip_id, video_id, outcome in _outcomes_of_split(committed["clips"].table):
        outcomes.pop(video_id, None)
        outcomes[clip_id or video_id] = outcome
    for asset in _INTERMEDIATE_ASSETS[1:]:
        for outcome in _outcomes_of_rows(committed[asset].table, asset, "clip_id"):
            if outcome.id in outcomes and outcomes[outcome.id].status == UNFINISHED:
                outcomes[outcome.id] = outcome
    for outcome in _outcomes_of_rows(committed["dataset"].table, "dataset", "clip_id"):
        outcomes[outcome.id] = outcome
    return outcomes


def _outcomes_of_split(table: pa.Table) -> Iterator[tuple[str | None, str, FinalOutcome]]:
    ids = zip(table["clip_id"].to_pylist(), table["video_id"].to_pylist(), strict=True)
    for (clip_id, video_id), outcome in zip(ids, _outcomes_of_rows(table, "clips", "clip_id", "video_id"), strict=True):
        yield clip_id, video_id, outcome


def _outcomes_of_rows(table: pa.Table, asset: str, *ids: str) -> Iterator[FinalOutcome]:
    """One for each row; its id is the first of the `ids` columns that is not null."""
    for row in table.select([*dict.fromkeys([*ids, "partition", "status", "reason"])]).to_pylist():
        status = UNFINISHED if row["status"] == "kept" and asset != "dataset" else row["status"]
        yield FinalOutcome(
            next(row[name] for name in ids if row[name] is not None),
            row["partition"],
            asset,
            status,
            row["reason"] or "",
        )
