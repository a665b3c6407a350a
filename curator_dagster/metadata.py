"""What a materialization shows: figures of a phase's report, and the meaning of its table's columns."""

from collections.abc import Mapping

import dagster as dg
import numpy as np
import pyarrow.compute as pc

from stages.manifest import ALL, ManifestRef, read_manifest
from stages.run import PhaseReport
from stages.schemas import ASSETS, STATUSES

Metadata = Mapping[str, dg.MetadataValue]

_REASONS = dg.TableSchema(
    columns=[
        dg.TableColumn("reason", "string", description="Why rows are not kept."),
        dg.TableColumn("rows", "int", description="How many."),
        dg.TableColumn("percent", "float", description="Of all rows of the table."),
    ]
)
_STAGES = dg.TableSchema(
    columns=[
        dg.TableColumn("stage", "string"),
        dg.TableColumn("tasks", "int", description="Worked on by it, over all partitions of the run."),
        dg.TableColumn("retries", "int", description="Tasks tried again after a failure that may pass."),
        dg.TableColumn("busy_s", "float", description="Summed over its workers."),
        dg.TableColumn("longest_s", "float", description="Longest batch."),
        dg.TableColumn("idle_s", "float", description="What its workers waited for the next batch, summed."),
        dg.TableColumn("workers_lost", "int", description="While they held a task of it."),
        dg.TableColumn("peak_memory_mb", "float", description="Largest private memory of a worker of it."),
        dg.TableColumn("peak_queue_mb", "float", description="Most bytes that were held for it at once."),
    ]
)


def column_schema(asset: str) -> dg.TableSchema:
    """Columns of an asset's table, with the meaning of each."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                field.name, str(field.type), description=((field.metadata or {}).get(b"meaning") or b"").decode()
            )
            for field in ASSETS[asset].schema
        ]
    )


def asset_metadata(asset: str) -> dict[str, object]:
    """What is known of an asset before it is materialized."""
    return {
        "dagster/column_schema": column_schema(asset),
        "dagster/storage_kind": "parquet",
        "one_row_is": ASSETS[asset].grain,
    }


def report_metadata(report: PhaseReport, ref: ManifestRef) -> Metadata:
    """What one phase did to one partition."""
    count = dg.MetadataValue.int
    rows = "dagster/row_count" if report.partition == ALL else "dagster/partition_row_count"
    shown: dict[str, dg.MetadataValue] = {
        rows: count(report.rows),
        **{status: count(report.counts.get(status, 0)) for status in STATUSES},
        "reasons": _reasons_table(report),
        "items": count(report.items),
        "items_reused": count(report.reused),
        "items_redecided": count(report.redecided),
        "items_computed": count(report.computed),
        "manifest": dg.MetadataValue.path(f"{ref.root}/{ref.folder}"),
        "commit": count(report.commit),
        "phase_seconds": dg.MetadataValue.float(round(report.seconds, 2)),
    }
    hours = hours_of_video(ref)
    if hours is not None:
        shown["hours_of_video"] = dg.MetadataValue.float(round(hours, 4))
    if report.stages:
        shown["phase_stages"] = _stages_table(report)
    shown.update({f"phase_{name}": dg.MetadataValue.float(value) for name, value in report.notes.items()})
    return shown


def hours_of_video(ref: ManifestRef) -> float | None:
    """Length of the kept rows together; None where the table holds no length."""
    names = ASSETS[ref.asset].schema.names
    columns = ["duration_s"] if "duration_s" in names else ["start_s", "end_s"]
    if columns[-1] not in names:
        return None
    table = read_manifest(ref.root, ref.asset, ref.partition, ["status", *columns]).filter(pc.field("status") == "kept")
    ends = np.nan_to_num(table[columns[-1]].to_numpy().astype(float))
    starts = np.nan_to_num(table[columns[0]].to_numpy().astype(float)) if len(columns) > 1 else 0.0
    return float(np.sum(ends - starts)) / 3600


def _reasons_table(report: PhaseReport) -> dg.MetadataValue:
    records = [
        dg.TableRecord({"reason": reason, "rows": rows, "percent": round(100 * rows / report.rows, 1)})
        for reason, rows in report.reasons.items()
    ]
    return dg.MetadataValue.table(records, schema=_REASONS)


def _stages_table(report: PhaseReport) -> dg.MetadataValue:
    records = [
        dg.TableRecord(
            {
                "stage": name,
                "tasks": stats.tasks,
                "retries": stats.retries,
                "busy_s": round(stats.busy_s, 2),
                "longest_s": round(stats.longest_s, 2),
                "idle_s": round(stats.idle_s, 2),
                "workers_lost": sum(stats.deaths.values()),
                "peak_memory_mb": round(stats.peak_memory_bytes / 1e6, 1),
                "peak_queue_mb": round(stats.peak_queue_bytes / 1e6, 1),
            }
        )
        for name, stats in report.stages.items()
    ]
    return dg.MetadataValue.table(records, schema=_STAGES)
