"""Plans and executes runs of the job `curate` in this process, in one session of workers, without a Dagster server."""

import errno
import itertools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg

from curator_dagster.asset_specs import ASSET_GRAPH
from curator_dagster.commands.shown_runs import attribute_runs, command_tags
from curator_dagster.curation import UNPARTITIONED_ASSETS, Curation
from curator_dagster.definitions import curation_definitions
from curator_dagster.partition_keys import dynamic_partition_keys, partition_ranges, partition_tags, sync_partitions
from curator_dagster.phase_summary import changed_params_line
from curator_dagster.resources import Storage
from stages.errors import ParamsError
from stages.manifest import ALL
from stages.params import PHASES
from stages.run import Session, check_embedder, check_phases, check_ranking, check_reachable, check_signals
from stages.sources import Register, list_sources, register_sources

# Dagster writes every event to standard error; the caller prints a summary instead.
_NO_CONSOLE_LOGS = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass(frozen=True)
class RunPlan:
    """Assets and partitions to materialize, and the parameters.

    Attributes:
        root: where everything is written.
        params: validated, by group.
        assets: in phase order.
        num_sources: videos that were listed and not forgotten; None where the source was not listed.
        partitions: keys of the partitions that hold the listed videos, or other versions of them.
    """

    root: str
    params: dict[str, Any]
    assets: list[str]
    num_sources: int | None
    partitions: list[str]


def plan_run(
    source: str, root: str, params: dict[str, Any], *, until: str, register_root: str | None = None
) -> RunPlan:
    """List the sources and register each in a partition, without reading the videos.

    Args:
        source: a folder of videos, one video, or an fsspec URL.
        root: of the tables.
        params: validated, by group.
        until: the last asset to make.
        register_root: another root to register below, such as a copy for a dry run.

    Raises:
        ParamsError: a parameter names a missing class, the source is missing or empty, or the root cannot be
            written.
        OSError: the root's disk is full.
    """
    assets = assets_up_to(until)
    check_phases((params[phase] for phase, model in PHASES.items() if model.asset in assets), root)
    if PHASES["filter"].asset in assets:
        check_signals(params["split"], params["filter"])
    if PHASES["dedup"].asset in assets:
        check_ranking(params["filter"], params["dedup"])
        check_embedder(params["embed"], params["dedup"], root)
    read = params["read"]
    storage = Storage(root=root).open()
    for location in (storage.root, source):
        check_reachable(location, params["executor"])
    # Clips written to a root inside the source folder are no sources.
    sources = list_sources(source, read, excluded_folder=storage.root)
    if not sources:
        raise ParamsError(
            f"SOURCE must hold at least one video, got {source!r} with no file that read.include admits: "
            f"{', '.join(read.include)}."
        )
    try:
        register_storage = Storage(root=register_root or root).open()
        register_sources(register_storage, sources, read)
        register = Register(register_storage)
        # Also partitions of other versions of a source, whose clips leave the dataset.
        partitions = register.partitions_of({listed.uri for listed in sources})
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise  # a full disk, not a wrong request
        raise ParamsError(f"--root must be a place that can be written to, got {root!r}: {error}.") from error
    forgotten = sum(register.is_forgotten(listed.uri) for listed in sources)
    if forgotten == len(sources):
        raise ParamsError(
            f"SOURCE must hold a video that the root may take up, got {source!r}, all of which `curator forget` took "
            "out of it for good."
        )
    return RunPlan(storage.root, params, assets, len(sources) - forgotten, partitions)


def changed_tables(run_plan: RunPlan) -> list[str]:
    """For each asset of the plan whose tables were last made with other parameters, a line that says which."""
    storage = Storage(root=run_plan.root)
    lines = []
    for phase, params in PHASES.items():
        if params.asset in run_plan.assets:
            keys = [ALL] if params.asset in UNPARTITIONED_ASSETS else run_plan.partitions
            made_by = run_plan.params[phase]
            for each in (made_by, *made_by.further()):
                lines.append(changed_params_line(each, [storage.ref(each.table, key) for key in keys]))
    return [line for line in lines if line]


def dagster_instance() -> dg.DagsterInstance:
    """The instance of DAGSTER_HOME, so that its UI shows the run, else an ephemeral one.

    Raises:
        ParamsError: DAGSTER_HOME is not usable.
    """
    home = os.environ.get("DAGSTER_HOME")
    if not home:
        return dg.DagsterInstance.ephemeral()
    if not os.path.isabs(home) or not os.path.isdir(home):
        raise ParamsError(f"DAGSTER_HOME must be the absolute path of a folder, got {home!r}. Create or unset it.")
    return dg.DagsterInstance.get()


def execute_plan(run_plan: RunPlan, session: Session, instance: dg.DagsterInstance) -> None:
    """Materialize the assets of the plan, for its partitions.

    Raises:
        dg.Failure: a phase stopped; what it committed stays.
    """
    storage = Storage(root=run_plan.root)
    curation = Curation(checks=run_plan.params["checks"], is_trusted=True)
    job = curation_definitions(curation, session, storage).resolve_job_def(curation.job_name)
    attribute_runs(instance, curation.job_name)
    sync_partitions(instance, storage.open())
    ranges = partition_ranges(dynamic_partition_keys(instance), run_plan.partitions)
    for assets, keys in job_runs(run_plan.assets, ranges):
        job.execute_in_process(
            run_config={**_NO_CONSOLE_LOGS, "ops": _run_config(run_plan.params, assets)},
            instance=instance,
            tags={**partition_tags(keys), **command_tags()},
            asset_selection=[dg.AssetKey(asset) for asset in assets],
        )


def assets_up_to(until: str) -> list[str]:
    """An asset and all of its upstream assets, in phase order."""
    assets = {until}
    for asset, node in reversed(ASSET_GRAPH.items()):
        if asset in assets:
            assets.update(node.deps)
    return [asset for asset in ASSET_GRAPH if asset in assets]


def job_runs(assets: Sequence[str], ranges: Sequence[list[str]]) -> Iterator[tuple[list[str], list[str]]]:
    """The runs of the job, in order: assets and partition keys of each; no keys for an unpartitioned asset.

    A run takes one contiguous range. Where there are several, the assets before an unpartitioned one run over all
    ranges, then that asset runs once, then the assets after it run over all ranges.
    """
    if len(ranges) == 1:
        yield list(assets), ranges[0]
        return
    for is_unpartitioned, group in itertools.groupby(assets, UNPARTITIONED_ASSETS.__contains__):
        group_assets = list(group)
        for keys in [[]] if is_unpartitioned else ranges:
            yield group_assets, keys


def _run_config(params: dict[str, Any], assets: list[str]) -> dict[str, Any]:
    """Run config of the assets with every value written out, so that the run records its parameters."""
    return {
        model.asset: {"config": params[phase].model_dump(mode="json", exclude_none=True)}
        for phase, model in PHASES.items()
        if model.asset in assets
    }
