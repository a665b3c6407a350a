"""Table values in the metadata of a materialization: reasons of rows that are not kept, and stages."""

from collections.abc import Mapping

import dagster as dg

from curator_dagster.printable_text import printable
from stages.run import PhaseReport
from stages.schemas import STATUSES

MAX_EXAMPLE_CHARS = 200

_REASONS = dg.TableSchema(
    columns=[
        dg.TableColumn("reason", "string", description="Why rows are not kept."),
        dg.TableColumn("rows", "int", description="How many."),
        dg.TableColumn("percent", "float", description="Of all rows of the table."),
        dg.TableColumn("example", "string", description="What one of these rows says, and what to do."),
    ]
)
_STAGES = dg.TableSchema(
    columns=[
        dg.TableColumn("stage", "string"),
        dg.TableColumn("tasks", "int", description="Worked on by it, over all partitions of the run."),
        dg.TableColumn("busy_s", "float", description="Summed over its workers."),
        dg.TableColumn("idle_s", "float", description="What its workers waited for the next batch, summed."),
        dg.TableColumn("lost", "int", description="Workers that ended while they held a task of it."),
        dg.TableColumn("peak_mb", "float", description="Largest private memory of a worker of it."),
    ]
)

_FURTHER = dg.TableSchema(
    columns=[
        dg.TableColumn("embedder", "string", description="Its name in embed.more."),
        *(dg.TableColumn(status, "int", description=f"Rows of its table that are {status}.") for status in STATUSES),
        dg.TableColumn("reused", "int", description="Items whose rows existed."),
        dg.TableColumn("computed", "int", description="Items computed by this run."),
        dg.TableColumn("phase_seconds", "float", description="Of its pass, all partitions of the run together."),
        dg.TableColumn("commit", "string", description="Version of its table."),
        dg.TableColumn("reasons", "string", description="Why rows are not kept."),
    ]
)


def further_table(report: PhaseReport) -> dg.TableMetadataValue:
    """The figures of each further table of a partition, by its name."""
    records = [
        dg.TableRecord(
            {
                "embedder": name,
                **{status: each.counts.get(status, 0) for status in STATUSES},
                "reused": each.reused,
                "computed": each.computed,
                "phase_seconds": round(each.seconds, 1),
                "commit": str(each.commit),
                "reasons": printable(", ".join(f"{reason}: {rows}" for reason, rows in each.reasons.items())),
            }
        )
        for name, each in report.further.items()
    ]
    return dg.MetadataValue.table(records, schema=_FURTHER)


def reasons_table(report: PhaseReport, examples: Mapping[str, str]) -> dg.TableMetadataValue:
    """Rows by reason, most frequent first, each with an example."""
    records = [
        dg.TableRecord(
            {
                "reason": printable(reason),
                "rows": rows,
                "percent": round(100 * rows / report.rows, 1),
                "example": printable(examples.get(reason, ""), MAX_EXAMPLE_CHARS),
            }
        )
        for reason, rows in report.reasons.items()
    ]
    return dg.MetadataValue.table(records, schema=_REASONS)


def stages_table(report: PhaseReport) -> dg.TableMetadataValue:
    """Work of each stage in the run, in few columns; `stages_detail` has the rest."""
    records = [
        dg.TableRecord(
            {
                "stage": name,
                "tasks": stats.tasks,
                "busy_s": round(stats.busy_s, 1),
                "idle_s": round(stats.idle_s, 1),
                "lost": sum(stats.deaths.values()),
                "peak_mb": round(stats.peak_memory_bytes / 1e6),
            }
        )
        for name, stats in report.stages.items()
    ]
    return dg.MetadataValue.table(records, schema=_STAGES)


def stages_detail(report: PhaseReport) -> dg.JsonMetadataValue:
    """Numbers of each stage that `stages_table` leaves out."""
    return dg.MetadataValue.json(
        {
            name: {
                "retries": stats.retries,
                "longest_batch_s": round(stats.longest_s, 2),
                "workers_lost_by_reason": stats.deaths,
                "peak_queue_mb": round(stats.peak_queue_bytes / 1e6, 1),
                "counted": stats.counters,
            }
            for name, stats in report.stages.items()
        }
    )
