"""Curating without a server: the same job, run in this process, pass after pass, in one session of workers."""

import errno
import itertools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg

from curator_dagster.curation import SPANNING_ASSETS, Curation
from curator_dagster.definitions import curation_definitions
from curator_dagster.partitions import known_partitions, partition_tags, stretches, sync_partitions
from curator_dagster.resources import Storage
from curator_dagster.specs import ABOUT
from stages.errors import ParamsError
from stages.params import PHASES
from stages.run import Session, check_phases, check_reachable
from stages.sources import Register, list_sources, register_sources

# Dagster writes every event to standard error; what a person needs of it, the caller shows.
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass(frozen=True)
class Plan:
    """What is to be curated.

    Attributes:
        root: where everything is written.
        params: validated, by group.
        assets: to make, in phase order.
        sources: videos that were listed; None where none were looked for.
        partitions: the batches that hold them, or other versions of them.
    """

    root: str
    params: dict[str, Any]
    assets: list[str]
    sources: int | None
    partitions: list[str]


def plan(source: str, root: str, params: dict[str, Any], *, until: str) -> Plan:
    """List the sources and give each a partition; nothing is read of them yet.

    Raises:
        ParamsError: a parameter names what is not there, there is no such folder, no source in it, or the root
            cannot be written.
        OSError: the root's disk is full.
    """
    wanted = wanted_assets(until)
    check_phases((params[phase] for phase, model in PHASES.items() if model.asset in wanted), root)
    read = params["read"]
    storage = Storage(root=root).open()
    for location in (storage.root, source):
        check_reachable(location, params["executor"])
    # A root inside the source folder must not feed the clips of one run to the next.
    sources = list_sources(source, read, excluded_folder=storage.root)
    if not sources:
        raise ParamsError(
            f"SOURCE must hold at least one video, got {source!r} with no file that read.include admits: "
            f"{', '.join(read.include)}."
        )
    try:
        register_sources(storage, sources, read)
        # Also those of other versions, whose clips leave the dataset.
        partitions = Register(storage).partitions_of({listed.uri for listed in sources})
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise  # a full disk, not a wrong request
        raise ParamsError(f"--root must be a place that can be written to, got {root!r}: {error}.") from error
    return Plan(storage.root, params, wanted, len(sources), partitions)


def dagster_instance() -> dg.DagsterInstance:
    """The instance of DAGSTER_HOME, so that its UI shows the run, else one that is gone afterwards.

    Raises:
        ParamsError: DAGSTER_HOME is not usable.
    """
    home = os.environ.get("DAGSTER_HOME")
    if not home:
        return dg.DagsterInstance.ephemeral()
    if not os.path.isabs(home) or not os.path.isdir(home):
        raise ParamsError(f"DAGSTER_HOME must be the absolute path of a folder, got {home!r}. Create or unset it.")
    return dg.DagsterInstance.get()


def run_plan(work: Plan, session: Session, instance: dg.DagsterInstance) -> None:
    """Materialize what the plan names.

    Raises:
        dg.Failure: a phase stopped; what it had committed stays.
    """
    storage = Storage(root=work.root)
    curation = Curation(checks=work.params["checks"])
    job = curation_definitions(curation, session, storage).resolve_job_def(curation.job_name)
    sync_partitions(instance, storage.open())
    cut = stretches(known_partitions(instance), work.partitions)
    for assets, keys in passes(work.assets, cut):
        job.execute_in_process(
            run_config={**_QUIET, "ops": _config(work.params, assets)},
            instance=instance,
            tags=partition_tags(keys),
            asset_selection=[dg.AssetKey(asset) for asset in assets],
        )


def wanted_assets(until: str) -> list[str]:
    """An asset and all that it is made from, in phase order."""
    wanted = {until}
    for asset, about in reversed(ABOUT.items()):
        if asset in wanted:
            wanted.update(about.deps)
    return [asset for asset in ABOUT if asset in wanted]


def passes(assets: Sequence[str], cut: Sequence[list[str]]) -> Iterator[tuple[list[str], list[str]]]:
    """Which assets to run over which partitions, in order; no partition for an asset that looks across all.

    One run takes one contiguous stretch. Where there are several, what comes before such an asset runs over all of
    them first, then that asset once, then the rest.
    """
    if len(cut) == 1:
        yield list(assets), cut[0]
        return
    for spans, group in itertools.groupby(assets, SPANNING_ASSETS.__contains__):
        chosen = list(group)
        for stretch in [[]] if spans else cut:
            yield chosen, stretch


def _config(params: dict[str, Any], assets: list[str]) -> dict[str, Any]:
    """Run config of the assets, in which every value stands, so that the run says what it was made with."""
    return {
        model.asset: {"config": params[phase].model_dump(mode="json", exclude_none=True)}
        for phase, model in PHASES.items()
        if model.asset in assets
    }
