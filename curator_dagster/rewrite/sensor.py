"""The sensor that has stale partitions of `dataset` written again.

It requests runs of the job that writes `dataset` alone, one for each range of stale partitions, with the parameters
that they were written with. Clips that are still kept are reused; only clips that returned are cut.
"""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import dagster as dg

from curator_dagster.curation import Curation
from curator_dagster.partition_keys import partition_ranges, partition_tags
from curator_dagster.rewrite.stale_partitions import StalePartition, last_dedup_commit, stale_partitions
from curator_dagster.runs_in_progress import IN_PROGRESS_STATUSES
from stages.manifest import Commit
from stages.params import WriteParams
from stages.retry import SHORT_BACKOFF, using
from stages.sources import registered_partitions
from stages.storage import Storage

SENSOR_INTERVAL_S = 60
TICK_LIMIT_S = 20.0
"""A tick stops comparing after so long, and the next tick continues; Dagster allows a tick one minute."""

_DESCRIPTION = """Writes partitions again whose clips dedup decides otherwise by now.

Waits until no run is writing, and leaves alone what was never written. Only clips that came back are cut; the files of
those that went are removed.
"""


class RewriteCursor(NamedTuple):
    """How far the ticks have compared the partitions with one version of `unique_clips`.

    Attributes:
        version: number of the commit of `unique_clips`.
        num_compared: partitions compared with it so far, in the order of registration.
    """

    version: int = 0
    num_compared: int = 0

    @classmethod
    def parse(cls, text: str | None) -> "RewriteCursor":
        """Inverse of `serialize`; no text gives the initial cursor."""
        return cls(*json.loads(text)) if text else cls()

    def serialize(self) -> str:
        """The text that Dagster stores."""
        return json.dumps(self)


def rewrite_sensor(curation: Curation, job: Any) -> dg.SensorDefinition:
    """Compares once a minute; running by default where the curation is automated, else stopped."""

    @dg.sensor(
        name=curation.scoped("changed_decisions"),
        target=job,
        minimum_interval_seconds=SENSOR_INTERVAL_S,
        required_resource_keys={curation.scoped("storage")},
        description=_DESCRIPTION,
        default_status=dg.DefaultSensorStatus.RUNNING if curation.automated else dg.DefaultSensorStatus.STOPPED,
    )
    def changed_decisions(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        with using(SHORT_BACKOFF):
            return evaluate_tick(context)

    def evaluate_tick(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        storage: Storage = getattr(context.resources, curation.scoped("storage")).open()
        dedup_commit = last_dedup_commit(storage)
        cursor = RewriteCursor.parse(context.cursor)
        if dedup_commit is None:
            return dg.SensorResult(skip_reason="Dedup has not run.")
        if dedup_commit.number != cursor.version:
            # The run or backfill that ran dedup goes on to write; the daemon takes half a minute to request that.
            skip_reason = f"Dedup has decided anew, version {dedup_commit.number}. The next tick compares."
            return dg.SensorResult(skip_reason=skip_reason, cursor=RewriteCursor(dedup_commit.number).serialize())
        if _is_writing(context.instance, curation, job.name):
            return dg.SensorResult(skip_reason="A run writes the dataset. The next tick after its end compares.")
        stale, num_compared = _compare_partitions(storage, dedup_commit, cursor)
        requests = list(_run_requests(curation, context.instance, dedup_commit, stale))
        return dg.SensorResult(
            run_requests=requests,
            skip_reason=None
            if requests
            else f"All {num_compared} compared partitions hold the clips that dedup keeps.",
            cursor=RewriteCursor(dedup_commit.number, num_compared).serialize(),
        )

    return changed_decisions


def _compare_partitions(
    storage: Storage, dedup_commit: Commit, cursor: RewriteCursor
) -> tuple[list[StalePartition], int]:
    """Stale partitions after the cursor, and how many partitions are compared by the end of this tick."""
    ends_at = time.monotonic() + TICK_LIMIT_S
    found: list[StalePartition] = []
    num_compared = cursor.num_compared
    for stale in stale_partitions(storage, dedup_commit, registered_partitions(storage)[num_compared:]):
        num_compared += 1
        if stale:
            found.append(stale)
        if time.monotonic() > ends_at:
            break
    return found, num_compared


def _is_writing(instance: dg.DagsterInstance, curation: Curation, rewrite_job_name: str) -> bool:
    dataset = curation.asset_key("dataset")
    jobs = {curation.job_name, rewrite_job_name}
    return any(
        run.job_name in jobs if run.asset_selection is None else dataset in run.asset_selection
        for run in instance.get_runs(dg.RunsFilter(statuses=IN_PROGRESS_STATUSES))
    )


def _run_requests(
    curation: Curation, instance: dg.DagsterInstance, dedup_commit: Commit, stale: Sequence[StalePartition]
) -> Iterator[dg.RunRequest]:
    """One run for each range of partitions written with the same parameters; the run key is unique per dedup commit."""
    known = curation.partitions_def.get_partition_keys(dynamic_partitions_store=instance)
    known_keys = set(known)  # a root may hold partitions of another instance
    params = {each.partition: _launch_params(each.params) for each in stale if each.partition in known_keys}
    for keys_of_range in partition_ranges(known, params):
        for _, group in groupby(keys_of_range, key=lambda key: json.dumps(params[key], sort_keys=True)):
            keys = list(group)
            yield dg.RunRequest(
                run_key=f"{dedup_commit.number}:{dedup_commit.digest[:12]}:{keys[0]}:{keys[-1]}",
                run_config={"ops": {curation.op_name("dataset"): {"config": params[keys[0]]}}},
                tags=partition_tags(keys),
            )


def _launch_params(params: Mapping[str, Any]) -> dict[str, Any]:
    """As run config; a parameter that this version of the code lacks is left out, and no failed row is retried."""
    known = {name: value for name, value in params.items() if name in WriteParams.model_fields and value is not None}
    return {**known, "retry_reasons": []}
