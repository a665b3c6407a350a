"""Executes a plan as runs of the job `curate`, in this process and on one session of workers, without a server."""

import itertools
import os
from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg

from curator_dagster.asset_graph import UNPARTITIONED_ASSETS
from curator_dagster.commands.run_plan import RunPlan, expected_params
from curator_dagster.commands.shown_runs import attribute_runs, command_tags
from curator_dagster.curation import Curation
from curator_dagster.curation_in_dagster import curation_definitions
from curator_dagster.partition_keys import dynamic_partition_keys, partition_ranges, partition_tags, sync_partitions
from curator_dagster.resources import Storage
from stages.errors import ParamsError, PhaseError
from stages.params import PHASES
from stages.run import Session

# Dagster writes every event to standard error; the caller prints a summary instead.
_NO_CONSOLE_LOGS = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def dagster_instance() -> dg.DagsterInstance:
    """The instance of DAGSTER_HOME, so that its UI shows the run.

    Raises:
        ParamsError: DAGSTER_HOME is not usable.
    """
    home = os.environ["DAGSTER_HOME"]
    if not os.path.isabs(home) or not os.path.isdir(home):
        raise ParamsError(f"DAGSTER_HOME must be the absolute path of a folder, got {home!r}. Create or unset it.")
    return dg.DagsterInstance.get()


def execute_plan(run_plan: RunPlan, session: Session, instance: dg.DagsterInstance) -> None:
    """Materialize the assets of the plan, for its partitions.

    Raises:
        PhaseError: a phase stopped; what it committed stays.
        KeyboardInterrupt: the run was interrupted, whatever Dagster made of that.
    """
    try:
        _execute(run_plan, session, instance)
    except dg.Failure as error:
        raise PhaseError(error.description or "a phase stopped") from error
    except dg.DagsterExecutionInterruptedError as error:
        raise KeyboardInterrupt from error


def _execute(run_plan: RunPlan, session: Session, instance: dg.DagsterInstance) -> None:
    storage = Storage(root=run_plan.root)
    curation = Curation(checks=run_plan.params["checks"], is_trusted=True)
    job = curation_definitions(curation, session, storage).resolve_job_def(curation.job_name)
    attribute_runs(instance, curation.job_name)
    sync_partitions(instance, storage.open())
    ranges = partition_ranges(dynamic_partition_keys(instance), run_plan.partitions)
    session.expect(expected_params(run_plan.params, run_plan.assets), run_plan.root)
    for assets, keys in job_runs(run_plan.assets, ranges):
        job.execute_in_process(
            run_config={**_NO_CONSOLE_LOGS, "ops": _run_config(run_plan.params, assets)},
            instance=instance,
            tags={**partition_tags(keys), **command_tags()},
            asset_selection=[dg.AssetKey(asset) for asset in assets],
        )


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
