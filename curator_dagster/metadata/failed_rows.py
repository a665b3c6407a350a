"""The rows of a table that failed, each with its video, the reason and the error, as a table of the metadata."""

import logging
import shlex

import dagster as dg
import pyarrow.compute as pc

from curator_dagster.printable_text import printable
from stages.errors import CurationError
from stages.manifest import ManifestRef, read_manifest
from stages.run import PhaseReport
from stages.tasks import Row

logger = logging.getLogger(__name__)

MAX_FAILED_ROWS = 20
"""Rows of the table; Dagster stores it with every materialization."""
_MAX_ERROR_CHARS = 400

# The page is about 50 letters wide: the table has no uri, and an error names the file only.
_VIDEO_COLUMNS = [
    dg.TableColumn("video", "string", description="File name of the source video."),
    dg.TableColumn("reason", "string", description="Why it failed, in a word."),
    dg.TableColumn("error", "string", description="What went wrong, and what to do."),
]
_CLIP_COLUMN = dg.TableColumn("clip_id", "string", description="Of the clip; empty where the whole video failed.")


def failed_rows_metadata(report: PhaseReport, ref: ManifestRef) -> dict[str, dg.MetadataValue]:
    """``failed_videos``, or ``failed_clips`` of assets that are made of clips; nothing where no row failed.

    Of more rows than `MAX_FAILED_ROWS`, an entry says how many there are and which command lists them.
    """
    total = report.counts.get("failed", 0)
    if not total:
        return {}
    has_clips = report.asset not in ("videos", "clips")
    columns = ["status", "reason", "error", "uri", *(["clip_id"] if has_clips else [])]
    try:
        table = read_manifest(ref.root, ref.asset, ref.partition, columns)
    except (CurationError, OSError) as error:
        logger.warning("Failed rows are not shown: %s", error)
        return {}
    rows = table.filter(pc.field("status") == "failed").slice(0, MAX_FAILED_ROWS).to_pylist()
    schema = dg.TableSchema([_VIDEO_COLUMNS[0], *([_CLIP_COLUMN] if has_clips else []), *_VIDEO_COLUMNS[1:]])
    name = "failed_clips" if has_clips else "failed_videos"
    records = [dg.TableRecord({column.name: _value(row, column.name) for column in schema.columns}) for row in rows]
    metadata: dict[str, dg.MetadataValue] = {name: dg.MetadataValue.table(records, schema=schema)}
    if total > len(rows):
        command = f"curator show {shlex.quote(printable(ref.root))} {ref.asset} --status failed"
        metadata[f"{name}_not_shown"] = dg.MetadataValue.text(f"{total - len(rows)} more: {command}")
    return metadata


def _value(row: Row, column: str) -> str:
    uri = str(row["uri"])
    name = uri.rsplit("/", 1)[-1]
    if column == "video":
        return printable(name)
    return printable(str(row[column] or "").replace(uri, name), _MAX_ERROR_CHARS)
