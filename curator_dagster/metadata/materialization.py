"""Metadata of the materializations of a phase, one for each partition."""

import logging
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

import dagster as dg

from curator_dagster.metadata.failed_rows import failed_rows_metadata
from curator_dagster.metadata.locations import dataset_location_metadata, location_value
from curator_dagster.metadata.markdown import BUDGET, render_markdown
from curator_dagster.metadata.table_statistics import TableStatistics, phase_rates, table_statistics
from curator_dagster.metadata.table_values import further_table, reasons_table, stages_detail, stages_table
from curator_dagster.phase_summary import causes_of
from curator_dagster.resources import Storage
from stages.errors import CurationError
from stages.manifest import ALL, ManifestRef
from stages.pictures import exhibits as pictures_of
from stages.run import PhaseReport
from stages.schemas import STATUSES

logger = logging.getLogger(__name__)

Metadata = Mapping[str, dg.MetadataValue]
Reports = Mapping[str, PhaseReport]

MAX_PARTITIONS_WITH_PICTURES = 16
"""Partitions of one run with pictures; of a larger run, so many spread evenly."""
READ_THREADS = 8
"""Partitions whose tables are read in parallel."""


def materialization_metadata(reports: Reports, storage: Storage) -> Iterator[tuple[str, Metadata]]:
    """Metadata by partition of one run of a phase.

    Where a table cannot be read, the statistics and pictures made from it are left out; the materialization stays.
    """
    if not reports:
        return
    refs = {partition: storage.ref(report.asset, partition) for partition, report in reports.items()}
    statistics = _statistics_by_partition(reports, refs)
    phase = phase_rates(reports, statistics.values())
    pictured = set(evenly_spaced(list(reports), MAX_PARTITIONS_WITH_PICTURES))
    for partition, report in reports.items():
        ref = refs[partition]
        pictures = _picture_metadata(report, ref) if partition in pictured else _pictures_left_out(len(reports))
        yield (
            partition,
            {
                **dataset_location_metadata(report, ref),
                **_statistics_metadata(report, statistics.get(partition)),
                **failed_rows_metadata(report, ref),
                **_reasons_metadata(report, statistics.get(partition)),
                **pictures,
                **_provenance_metadata(report, ref),
                **_further_metadata(report, storage),
                **_float_metadata(phase),
                **_stages_metadata(report),
            },
        )


def evenly_spaced(partitions: list[str], max_partitions: int) -> list[str]:
    """At most `max_partitions` of the partitions, spread evenly, the first among them."""
    step = max(1.0, len(partitions) / max_partitions)
    return [partitions[int(index * step)] for index in range(min(max_partitions, len(partitions)))]


def _statistics_by_partition(reports: Reports, refs: Mapping[str, ManifestRef]) -> dict[str, TableStatistics]:
    """Statistics of the tables of each partition; empty where any table cannot be read."""
    pool = ThreadPoolExecutor(READ_THREADS, "metadata")
    try:
        found = pool.map(lambda partition: table_statistics(reports[partition], refs[partition]), reports)
        return dict(zip(reports, found, strict=True))
    except (CurationError, OSError) as error:
        logger.warning("Hours of video, decodes and examples are not shown: %s", error)
        return {}
    finally:
        pool.shutdown(cancel_futures=True)  # after a store that does not answer, other tables are not tried


def _row_counts(report: PhaseReport) -> dict[str, dg.MetadataValue]:
    count = dg.MetadataValue.int
    rows = "dagster/row_count" if report.partition == ALL else "dagster/partition_row_count"
    kept = report.counts.get("kept", 0)
    return {
        rows: count(report.rows),
        **{status: count(report.counts.get(status, 0)) for status in STATUSES},
        "share_kept": dg.MetadataValue.float(round(kept / report.rows, 4) if report.rows else 0.0),
    }


def _statistics_metadata(
    report: PhaseReport, statistics_of_table: TableStatistics | None
) -> dict[str, dg.MetadataValue]:
    """Rows by status and hours of video; without hours where no table could be read."""
    metadata = _row_counts(report)
    if statistics_of_table is not None and statistics_of_table.kept_hours is not None:
        metadata["hours_of_video"] = dg.MetadataValue.float(round(statistics_of_table.kept_hours, 4))
    if statistics_of_table is not None and statistics_of_table.first_videos:
        metadata["first_videos"] = dg.MetadataValue.text(statistics_of_table.first_videos)
    return metadata


def _reasons_metadata(report: PhaseReport, statistics_of_table: TableStatistics | None) -> dict[str, dg.MetadataValue]:
    if not report.reasons:
        return {}
    return {"reasons": reasons_table(report, statistics_of_table.examples if statistics_of_table else {})}


def _float_metadata(values: Mapping[str, float]) -> dict[str, dg.MetadataValue]:
    return {name: dg.MetadataValue.float(round(value, 4)) for name, value in values.items()}


def _picture_metadata(report: PhaseReport, ref: ManifestRef) -> dict[str, dg.MetadataValue]:
    exhibits = pictures_of(ref, report.commit, BUDGET)
    return {name: dg.MetadataValue.md(markdown) for name, markdown in render_markdown(exhibits)}


def _pictures_left_out(partitions: int) -> dict[str, dg.MetadataValue]:
    message = (
        f"Shown for {MAX_PARTITIONS_WITH_PICTURES} of the {partitions} partitions of this run. "
        "Materialize this partition alone to see its own; nothing is computed again for that."
    )
    return {"pictures": dg.MetadataValue.text(message)}


def _provenance_metadata(report: PhaseReport, ref: ManifestRef) -> dict[str, dg.MetadataValue]:
    """Location and version of the table, and items by reuse."""
    count = dg.MetadataValue.int
    metadata: dict[str, dg.MetadataValue] = {
        "manifest": location_value(f"{ref.root}/{ref.folder}"),
        "commit": dg.MetadataValue.text(str(report.commit)),  # a number would be one more plot
        "items": count(report.items),
        "items_reused": count(report.reused),
        "items_redecided": count(report.redecided),
        "items_computed": count(report.computed),
    }
    if causes := causes_of(report):
        metadata["items_made_again_because"] = dg.MetadataValue.text(causes)
    if report.superseded:
        metadata["superseded_by"] = dg.MetadataValue.text(report.superseded)
    if report.supersedes:
        metadata["committed_over"] = dg.MetadataValue.text(report.supersedes)
    return metadata


def _further_metadata(report: PhaseReport, storage: Storage) -> dict[str, dg.MetadataValue]:
    """Figures of each further embedder by its name, and its rows that failed."""
    if not report.further:
        return {}
    metadata: dict[str, dg.MetadataValue] = {"further_embedders": further_table(report)}
    for name, each in report.further.items():
        failed = failed_rows_metadata(each, storage.ref(each.asset, each.partition))
        metadata |= {f"{name}_{key}": value for key, value in failed.items()}
    return metadata


def _stages_metadata(report: PhaseReport) -> dict[str, dg.MetadataValue]:
    """What the stages counted and did in the whole run."""
    metadata = _float_metadata({f"phase_{name}": value for name, value in report.counters.items()})
    if report.stages:
        metadata["phase_stages"] = stages_table(report)
        metadata["phase_stages_detail"] = stages_detail(report)
    if report.left_out_nodes:
        metadata["phase_left_out_nodes"] = dg.MetadataValue.json(report.left_out_nodes)
    return metadata
