"""The step of every asset: finds the input tables, runs the phase, and yields materializations and check results."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import replace

import dagster as dg

from curator_dagster.checks.evaluation import evaluate_checks
from curator_dagster.committed_inputs import input_tables
from curator_dagster.config import params_from_config, validate_run_config
from curator_dagster.curation import Curation
from curator_dagster.interrupts import signals_as_keyboard_interrupt
from curator_dagster.invented_partitions import remove_invented_partitions_of_run
from curator_dagster.metadata import materialization_metadata
from curator_dagster.partitioning import TimeWindowPartitioning
from curator_dagster.phase_summary import changed_params_line, further_reports, precedence_lines, summary_line
from curator_dagster.progress import progress_callback, progress_logger
from curator_dagster.resources import Storage
from curator_dagster.watch.source import SourceBucket
from stages.errors import CurationError
from stages.manifest import ALL
from stages.params import Params
from stages.run import PhaseReport, Session, trusting

Reports = Mapping[str, PhaseReport]
AssetResult = dg.MaterializeResult | dg.AssetCheckResult


def run_phase(curation: Curation, context: dg.AssetExecutionContext, config: Params) -> Iterator[AssetResult]:
    """Bring the asset's tables of all partitions of the run up to date; materialize each, then check each.

    Raises:
        dg.Failure: the phase stopped; partitions that it committed before are materialized. Or a blocking check
            failed; then all partitions are materialized.
    """
    asset = config.asset
    session: Session = getattr(context.resources, curation.scoped("session"))
    storage: Storage = getattr(context.resources, curation.scoped("storage"))
    reports_before, has_failed = len(session.reports), True
    try:
        has_remote_workers = session.executor_params.is_remote
        with trusting(curation.trust):
            validate_run_config(
                curation,
                context.run.run_config,
                storage.root,
                has_remote_workers=has_remote_workers,
                are_clips_scored=asset not in ("videos", "clips", "filtered_clips"),
            )
        partitions = partition_keys_of_run(context)
        if isinstance(curation.partitioning, TimeWindowPartitioning) and asset == "videos":
            source: SourceBucket = getattr(context.resources, curation.scoped("source"))
            curation.partitioning.register_window_sources(partitions, storage.open(), source.location, config)
        inputs = input_tables(storage.open(), config, partitions)
        outputs = [storage.ref(asset, partition) for partition in partitions]
        for each in (config, *config.further()):
            if changed := changed_params_line(each, [replace(ref, asset=each.table) for ref in outputs]):
                context.log.warning(f"Tables are made with other parameters than before. {changed}.")
        told = progress_callback(session, progress_logger(context.log.info))
        with signals_as_keyboard_interrupt(), told, trusting(curation.trust):
            reports = session.run_phase(params_from_config(config), inputs, outputs)
        has_failed = False
        for each in (reports, *further_reports(reports)):
            context.log.info(summary_line(each))
            for line in precedence_lines(each):
                context.log.warning(line)
    except CurationError as error:
        removed = remove_invented_partitions_of_run(
            curation, context.instance, partition_keys_of_run(context), storage.open()
        )
        raise dg.Failure(description=f"{error}{removed}", allow_retries=False) from error
    finally:
        if has_failed:  # for any reason, such as a full disk or a cancelled run
            for reports_of_phase in session.reports[reports_before:]:
                _log_materializations(context, reports_of_phase, storage)
    yield _materialize_result(context, reports, storage)
    yield from evaluate_checks(context, curation.checks, storage.open(), reports)


def partition_keys_of_run(context: dg.AssetExecutionContext) -> list[str]:
    """Keys of the run, one or a range; an unpartitioned asset has the one key ``all``.

    A run of a partitioned job has a key also in the steps of unpartitioned assets, where `context.partition_keys`
    would be wrong.
    """
    return [ALL] if context.assets_def.partitions_def is None else list(context.partition_keys)


def _materialize_result(context: dg.AssetExecutionContext, reports: Reports, storage: Storage) -> dg.MaterializeResult:
    """One materialization a partition, each with metadata of its own.

    Dagster takes metadata by partition, but one data version for all partitions of a run.
    """
    for partition, metadata in materialization_metadata(reports, storage):
        context.add_asset_metadata(metadata, partition_key=None if partition == ALL else partition)
    return dg.MaterializeResult(data_version=dg.DataVersion(data_version(reports)))


def _log_materializations(context: dg.AssetExecutionContext, reports: Reports, storage: Storage) -> None:
    """Log a materialization of each committed partition of a step that fails."""
    for partition, metadata in materialization_metadata(reports, storage):
        context.log_event(
            dg.AssetMaterialization(
                asset_key=context.asset_key,
                partition=None if partition == ALL else partition,
                metadata=metadata,
                tags={"dagster/data_version": _version_of(reports[partition])},
            )
        )


def data_version(reports: Reports) -> str:
    """Digest of the items of all partitions of the run; of a single table, the digest in its commit."""
    versions = {key: _version_of(report) for key, report in reports.items()}
    if len(versions) == 1:
        return next(iter(versions.values()))
    return _digest(versions)


def _version_of(report: PhaseReport) -> str:
    """The digest of a table; with further tables, of all of them."""
    further = {name: each.data_version for name, each in report.further.items()}
    return _digest({"": report.data_version, **further}) if further else report.data_version


def _digest(versions: Mapping[str, str]) -> str:
    lines = "\n".join(sorted(f"{key} {version}" for key, version in versions.items()))
    return hashlib.sha256(lines.encode()).hexdigest()
