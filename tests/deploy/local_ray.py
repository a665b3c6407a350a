"""A run of the tiny phases on a Ray that a resource connects, in a process of its own, as tests start it.

Prints, as JSON, how the connection was found when the run gave it back, and what the run made.
"""

import json
import sys

import dagster as dg
import ray
from dagster_ray import LocalRay
from dagster_ray.configs import Lifecycle
from dagster_ray.types import AnyDagsterContext

from curator_dagster.curation import Curation
from curator_dagster.definitions import curation_definitions
from curator_dagster.partition_keys import sync_partitions
from curator_dagster.resources import Storage
from stages.params import ExecutorParams
from stages.run.phases import PHASE_CLASSES
from tests.curator_dagster import tiny_phases
from tests.curator_dagster.conftest import QUIET
from tests.faults.session_ray import wait_for_free_cpus

CONNECTION_AT_CLEANUP: dict[str, object] = {}
OPTIONS = {"log_to_driver": False}


class RecordingRay(LocalRay):
    """Notes how things stand when the run gives it back, by when nobody may hold a CPU any more."""

    def cleanup(self, context: AnyDagsterContext, exception: BaseException | None) -> None:
        if self.connected:
            wait_for_free_cpus()
            CONNECTION_AT_CLEANUP["is_connected"] = ray.is_initialized()
        super().cleanup(context, exception)


RESOURCES = {
    "LocalRay": RecordingRay(ray_init_options=OPTIONS),
    "unconnected": RecordingRay(ray_init_options=OPTIONS, lifecycle=Lifecycle(connect=False)),
}


def main() -> None:
    """Run all phases for the first partition of the root that the command line names, on the named resource."""
    PHASE_CLASSES.update(tiny_phases.PHASES)
    storage, ray_pool = Storage(root=sys.argv[1]), RESOURCES[sys.argv[2]]
    curation = Curation(executor=ExecutorParams(num_workers=2))
    job = curation_definitions(curation, ray_pool, storage).resolve_job_def("curate")
    with dg.DagsterInstance.ephemeral() as instance:
        key = sync_partitions(instance, storage.open())[0]
        result = job.execute_in_process(instance=instance, run_config=QUIET, partition_key=key)
    made = len(result.get_asset_materialization_events())
    print(json.dumps({**CONNECTION_AT_CLEANUP, "events": made}))  # noqa: T201 - read by the test
