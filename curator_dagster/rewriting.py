"""Partitions whose dedup decisions changed after they were written, and the sensor that has them written again.

Earlier decisions stand, so a new partition changes none of the old ones. They change where a clip that was kept is
gone (its source was superseded, a filter turned it down), with another `eps` or rule, and with a rebuild. Then clips
of any partition may be lost or come back, and Dagster, for which `unique_clips` is one thing, cannot tell of which.
The tables can: a partition is behind where the clips of its `dataset` are not those that `unique_clips` keeps.

The sensor asks for runs of the job that writes `dataset` alone, one for each contiguous stretch of such partitions,
with the parameters that they were written with. Clips that stay are reused; only what came back is cut.
"""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple

import dagster as dg

from curator_dagster.curation import Curation
from curator_dagster.partitions import partition_tags, stretches
from curator_dagster.watch.in_progress import STATUSES
from stages.manifest import ALL_PARTITIONS, Commit, ManifestRef, last_commit, read_commit_rows
from stages.params import WriteParams
from stages.retry import SHORT_BACKOFF, using
from stages.sources import registered_partitions
from stages.storage import Storage

LOOK_EVERY_S = 60
LOOK_FOR_S = 20.0
"""A look ends after so long, and the next one goes on; Dagster gives it a minute."""

_ABOUT = """Writes partitions again whose clips dedup decides otherwise by now.

Waits until no run is writing, and leaves alone what was never written. Only clips that came back are cut; the files of
those that went are removed.
"""


class Cursor(NamedTuple):
    """How far a look has come.

    Attributes:
        version: of `unique_clips`, that the partitions are compared with.
        looked_at: how many partitions were, in the order of registration.
    """

    version: int = 0
    looked_at: int = 0

    @classmethod
    def parse(cls, text: str | None) -> "Cursor":
        """The cursor of a text; the beginning where there is none."""
        return cls(*json.loads(text)) if text else cls()

    def text(self) -> str:
        """As Dagster keeps it."""
        return json.dumps(self)


@dataclass(frozen=True)
class Behind:
    """A partition to be written again, and the parameters of `write` that it was written with."""

    partition: str
    params: Mapping[str, Any]


def partitions_behind(storage: Storage, decided: Commit, partitions: Sequence[str]) -> Iterator[Behind | None]:
    """For each partition, in order: what is to be written again; None where it stands as decided or was never written.

    Costs two requests a partition that was written after the decision, and its row files of one that was not.

    Args:
        storage: the root's.
        decided: a version of `unique_clips`.
        partitions: to look at.
    """
    kept: dict[str, set[str]] | None = None
    for partition in partitions:
        ref = ManifestRef(storage.root, "dataset", partition)
        written = last_commit(storage, ref)
        if written is None or written.lineage["inputs"].get("unique_clips", {}).get(ALL_PARTITIONS) == decided.number:
            yield None
            continue
        if kept is None:
            kept = _kept_clips(storage, decided)
        clips = set(read_commit_rows(storage, ref, written, ["clip_id"])["clip_id"].to_pylist())
        yield None if clips == kept.get(partition, set()) else Behind(partition, written.lineage["params"])


def _kept_clips(storage: Storage, decided: Commit) -> dict[str, set[str]]:
    table = read_commit_rows(storage, _unique_clips(storage), decided, ["partition", "clip_id", "status"])
    is_kept = [status == "kept" for status in table["status"].to_pylist()]
    clips = table.filter(is_kept).group_by("partition").aggregate([("clip_id", "list")])
    lists = zip(clips["partition"].to_pylist(), clips["clip_id_list"].to_pylist(), strict=True)
    return {partition: set(clip_ids) for partition, clip_ids in lists}


def _unique_clips(storage: Storage) -> ManifestRef:
    return ManifestRef(storage.root, "unique_clips", ALL_PARTITIONS)


def rewrite_job(curation: Curation, assets: Sequence[dg.AssetsDefinition]) -> Any:
    """Writes `dataset` alone. Dagster has no public name for the class of what this is."""
    dataset = [asset for asset in assets if curation.asset_key("dataset") in asset.keys]
    return dg.define_asset_job(
        curation.scoped("rewrite_dataset"),
        selection=dg.AssetSelection.assets(*dataset),
        executor_def=dg.in_process_executor,
        description="Writes the dataset of partitions again, by the decisions that dedup has taken by now.",
    )


def rewrite_sensor(curation: Curation, job: Any) -> dg.SensorDefinition:
    """Looks once a minute for partitions that are behind; on from the start where the curation is automated."""

    @dg.sensor(
        name=curation.scoped("changed_decisions"),
        target=job,
        minimum_interval_seconds=LOOK_EVERY_S,
        required_resource_keys={curation.scoped("storage")},
        description=_ABOUT,
        default_status=dg.DefaultSensorStatus.RUNNING if curation.automated else dg.DefaultSensorStatus.STOPPED,
    )
    def changed_decisions(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        with using(SHORT_BACKOFF):
            return look(context)

    def look(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        storage: Storage = getattr(context.resources, curation.scoped("storage")).open()
        decided = last_commit(storage, _unique_clips(storage))
        cursor = Cursor.parse(context.cursor)
        if decided is None:
            return dg.SensorResult(skip_reason="Dedup has not run.")
        if decided.number != cursor.version:
            # The run or backfill that decided goes on to write, and the daemon takes half a minute to ask for that.
            why = f"Dedup has decided anew, version {decided.number}. The next look compares."
            return dg.SensorResult(skip_reason=why, cursor=Cursor(decided.number).text())
        if _is_being_written(context.instance, curation, job.name):
            return dg.SensorResult(skip_reason="A run writes the dataset. The look waits for its end.")
        behind, looked_at = _look(storage, decided, cursor)
        requests = list(_requests(curation, context.instance, decided, behind))
        return dg.SensorResult(
            run_requests=requests,
            skip_reason=None if requests else f"All {looked_at} partitions looked at stand as decided.",
            cursor=Cursor(decided.number, looked_at).text(),
        )

    return changed_decisions


def _look(storage: Storage, decided: Commit, cursor: Cursor) -> tuple[list[Behind], int]:
    """What is behind from the cursor on, and how many partitions were looked at by the end of this look."""
    ends = time.monotonic() + LOOK_FOR_S
    found: list[Behind] = []
    looked_at = cursor.looked_at
    for behind in partitions_behind(storage, decided, registered_partitions(storage)[looked_at:]):
        looked_at += 1
        if behind:
            found.append(behind)
        if time.monotonic() > ends:
            break
    return found, looked_at


def _is_being_written(instance: dg.DagsterInstance, curation: Curation, rewrite_job_name: str) -> bool:
    dataset = curation.asset_key("dataset")
    whole = {curation.job_name, rewrite_job_name}
    return any(
        run.job_name in whole if run.asset_selection is None else dataset in run.asset_selection
        for run in instance.get_runs(dg.RunsFilter(statuses=STATUSES))
    )


def _requests(
    curation: Curation, instance: dg.DagsterInstance, decided: Commit, behind: Sequence[Behind]
) -> Iterator[dg.RunRequest]:
    """One run a stretch of partitions that were written alike; asked for once a decision, however often looked for."""
    known = curation.partitions_def.get_partition_keys(dynamic_partitions_store=instance)
    theirs = set(known)  # a root may hold partitions that another instance looks after
    params = {each.partition: _launch_params(each.params) for each in behind if each.partition in theirs}
    for stretch in stretches(known, params):
        for _, alike in groupby(stretch, key=lambda key: json.dumps(params[key], sort_keys=True)):
            keys = list(alike)
            yield dg.RunRequest(
                run_key=f"{decided.number}:{decided.digest[:12]}:{keys[0]}:{keys[-1]}",
                run_config={"ops": {curation.op_name("dataset"): {"config": params[keys[0]]}}},
                tags=partition_tags(keys),
            )


def _launch_params(made_with: Mapping[str, Any]) -> dict[str, Any]:
    """As a launch takes them; what this version of the code no longer knows is left out, and nothing is retried."""
    known = {name: value for name, value in made_with.items() if name in WriteParams.model_fields and value is not None}
    return {**known, "retry_reasons": []}
