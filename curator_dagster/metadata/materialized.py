"""What the materializations of one phase show, one a partition."""

import logging
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

import dagster as dg

from curator_dagster.account import why
from curator_dagster.metadata.figures import Amount, amount_of, rates
from curator_dagster.metadata.markdown import BUDGET, markdown_of
from curator_dagster.metadata.tables import reasons_table, stages_detail, stages_table
from curator_dagster.resources import Storage
from curator_dagster.text import visible
from stages.errors import CurationError
from stages.manifest import ALL_PARTITIONS, ManifestRef
from stages.pictures import exhibits as pictures_of
from stages.run import PhaseReport
from stages.schemas import STATUSES
from stages.storage import is_url

logger = logging.getLogger(__name__)

Metadata = Mapping[str, dg.MetadataValue]
Reports = Mapping[str, PhaseReport]

PICTURED_PARTITIONS = 16
"""Partitions of one run that show pictures; of more, so many spread evenly over them."""
READERS = 8
"""Partitions whose tables are read at once."""


def metadata_by_partition(reports: Reports, storage: Storage) -> Iterator[tuple[str, Metadata]]:
    """Each partition of one phase's run, with what its materialization shows.

    A table that cannot be read costs the figures and pictures made from it, never the materialization.
    """
    if not reports:
        return
    refs = {partition: storage.ref(report.asset, partition) for partition, report in reports.items()}
    amounts = _amounts(reports, refs)
    phase = rates(reports, amounts.values())
    pictured = set(sample(list(reports), PICTURED_PARTITIONS))
    for partition, report in reports.items():
        ref = refs[partition]
        pictures = _pictures(report, ref) if partition in pictured else _no_pictures(len(reports))
        yield partition, {**_figures(report, amounts.get(partition), phase), **pictures, **_origin(report, ref)}


def sample(partitions: list[str], wanted: int) -> list[str]:
    """At most `wanted` of the partitions, spread evenly, the first among them."""
    step = max(1.0, len(partitions) / wanted)
    return [partitions[int(place * step)] for place in range(min(wanted, len(partitions)))]


def _amounts(reports: Reports, refs: Mapping[str, ManifestRef]) -> dict[str, Amount]:
    """What the tables of each partition say; nothing of any where one cannot be read."""
    pool = ThreadPoolExecutor(READERS, "metadata")
    try:
        found = pool.map(lambda partition: amount_of(reports[partition], refs[partition]), reports)
        return dict(zip(reports, found, strict=True))
    except (CurationError, OSError) as error:
        logger.warning("Hours of video, decodes and examples are not shown: %s", error)
        return {}
    finally:
        pool.shutdown(cancel_futures=True)  # where one table waits for the store in vain, the others need not try


def _fates(report: PhaseReport) -> dict[str, dg.MetadataValue]:
    count = dg.MetadataValue.int
    rows = "dagster/row_count" if report.partition == ALL_PARTITIONS else "dagster/partition_row_count"
    kept = report.counts.get("kept", 0)
    return {
        rows: count(report.rows),
        **{status: count(report.counts.get(status, 0)) for status in STATUSES},
        "share_kept": dg.MetadataValue.float(round(kept / report.rows, 4) if report.rows else 0.0),
    }


def _figures(report: PhaseReport, amount: Amount | None, phase: Mapping[str, float]) -> dict[str, dg.MetadataValue]:
    """Rows by fate, hours, what the phase did a second, and reasons; without hours where no table could be read."""
    shown = _fates(report)
    if amount is not None and amount.kept_hours is not None:
        shown["hours_of_video"] = dg.MetadataValue.float(round(amount.kept_hours, 4))
    shown.update(_floats(phase))
    if report.reasons:
        shown["reasons"] = reasons_table(report, amount.examples if amount else {})
    return shown


def _floats(values: Mapping[str, float]) -> dict[str, dg.MetadataValue]:
    return {name: dg.MetadataValue.float(round(value, 4)) for name, value in values.items()}


def _pictures(report: PhaseReport, ref: ManifestRef) -> dict[str, dg.MetadataValue]:
    exhibits = pictures_of(ref, report.commit, BUDGET)
    return {name: dg.MetadataValue.md(markdown) for name, markdown in markdown_of(exhibits)}


def _no_pictures(partitions: int) -> dict[str, dg.MetadataValue]:
    told = (
        f"Shown for {PICTURED_PARTITIONS} of the {partitions} partitions of this run. "
        "Materialize this partition alone to see its own; nothing is computed again for that."
    )
    return {"pictures": dg.MetadataValue.text(told)}


def _origin(report: PhaseReport, ref: ManifestRef) -> dict[str, dg.MetadataValue]:
    """Where the table lies, which items were worked on, and what the run did for it."""
    count = dg.MetadataValue.int
    location = f"{ref.root}/{ref.folder}"
    shown: dict[str, dg.MetadataValue] = {
        "manifest": dg.MetadataValue.url(visible(location)) if is_url(location) else dg.MetadataValue.path(location),
        "commit": dg.MetadataValue.text(str(report.commit)),  # a number would be one more plot
        "items": count(report.items),
        "items_reused": count(report.reused),
        "items_redecided": count(report.redecided),
        "items_computed": count(report.computed),
        **_floats({f"phase_{name}": value for name, value in report.counters.items()}),
    }
    if why(report):
        shown["items_made_again_because"] = dg.MetadataValue.text("; ".join(why(report)))
    if report.stages:
        shown["phase_stages"] = stages_table(report)
        shown["phase_stages_detail"] = stages_detail(report)
    return shown
