"""What the step of every asset does: find the tables, run the phase, report what it did."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence

import dagster as dg

from curator_dagster.account import account
from curator_dagster.checks import evaluated
from curator_dagster.config import check_run_config, plain_params
from curator_dagster.curation import SPANNING_ASSETS, Curation
from curator_dagster.interrupts import plain_interrupts
from curator_dagster.metadata import metadata_by_partition
from curator_dagster.partitions import complete_partitions
from curator_dagster.progress import lines, reported
from curator_dagster.resources import Storage
from curator_dagster.specs import ABOUT
from curator_dagster.watch.source import SourceBucket
from curator_dagster.watch.windows import Windows
from stages.errors import CurationError, ManifestError
from stages.manifest import ALL_PARTITIONS
from stages.params import Params
from stages.run import Inputs, PhaseReport, Session

Reports = Mapping[str, PhaseReport]
Made = dg.MaterializeResult | dg.AssetCheckResult


def run_phase(curation: Curation, context: dg.AssetExecutionContext, config: Params) -> Iterator[Made]:
    """Bring the asset's tables of all partitions of the run up to date, report each, then check each.

    Raises:
        dg.Failure: the phase stopped. Partitions that were committed before are materialized all the same. Or a check
            that blocks failed; all partitions are materialized then.
    """
    asset = config.asset
    session: Session = getattr(context.resources, curation.scoped("session"))
    storage: Storage = getattr(context.resources, curation.scoped("storage"))
    earlier, stopped = len(session.reports), True
    try:
        check_run_config(curation, context.run.run_config, storage.root)
        partitions = partitions_to_make(context)
        if isinstance(curation.partitioning, Windows) and asset == "videos":
            source: SourceBucket = getattr(context.resources, curation.scoped("source"))
            curation.partitioning.take_up(partitions, storage.open(), source.location, config)
        inputs = tables_to_read(storage, ABOUT[asset].deps, partitions)
        outputs = [storage.ref(asset, partition) for partition in partitions]
        with plain_interrupts(), reported(session, lines(context.log.info)):
            reports = session.run_phase(plain_params(config), inputs, outputs)
        stopped = False
        context.log.info(account(reports))
    except CurationError as error:
        raise dg.Failure(description=str(error), allow_retries=False) from error
    finally:
        if stopped:  # by whatever, a full disk or a cancelled run too
            for finished in session.reports[earlier:]:
                _log_finished(context, finished, storage)
    yield _result(context, reports, storage)
    yield from evaluated(context, curation.checks, storage.open(), reports)


def partitions_to_make(context: dg.AssetExecutionContext) -> list[str]:
    """Keys of the run, one or a range; an asset that looks across partitions has the one key ``all``.

    A run of a partitioned job has a key even in its steps without partitions, so the context's own answer is wrong
    for those.
    """
    return [ALL_PARTITIONS] if context.assets_def.partitions_def is None else list(context.partition_keys)


def tables_to_read(storage: Storage, upstream: Sequence[str], partitions: list[str]) -> Inputs:
    """The tables that the partitions are made from, by asset.

    Raises:
        ManifestError: an asset that looks across partitions finds none that is complete.
    """
    if partitions == [ALL_PARTITIONS]:
        partitions = complete_partitions(storage.open(), upstream)
        if not partitions:
            raise ManifestError(
                f"No partition under {storage.root} has {' and '.join(upstream)} committed. Materialize them first."
            )
    return {
        asset: [storage.ref(asset, key) for key in ([ALL_PARTITIONS] if asset in SPANNING_ASSETS else partitions)]
        for asset in upstream
    }


def _result(context: dg.AssetExecutionContext, reports: Reports, storage: Storage) -> dg.MaterializeResult:
    """One event a partition, each with its own metadata.

    Dagster takes metadata by partition, but only one data version for all partitions of a run.
    """
    for partition, metadata in metadata_by_partition(reports, storage):
        context.add_asset_metadata(metadata, partition_key=None if partition == ALL_PARTITIONS else partition)
    return dg.MaterializeResult(data_version=dg.DataVersion(data_version(reports)))


def _log_finished(context: dg.AssetExecutionContext, reports: Reports, storage: Storage) -> None:
    """Partitions that are committed stay finished although the step fails."""
    for partition, metadata in metadata_by_partition(reports, storage):
        context.log_event(
            dg.AssetMaterialization(
                asset_key=context.asset_key,
                partition=None if partition == ALL_PARTITIONS else partition,
                metadata=metadata,
                tags={"dagster/data_version": reports[partition].data_version},
            )
        )


def data_version(reports: Reports) -> str:
    """Digest of the items of all partitions of the run; of one partition, the digest that its commit holds."""
    if len(reports) == 1:
        return next(iter(reports.values())).data_version
    digests = "\n".join(sorted(f"{key} {report.data_version}" for key, report in reports.items()))
    return hashlib.sha256(digests.encode()).hexdigest()
