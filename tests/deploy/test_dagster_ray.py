"""Any resource that connects to Ray in the place of `RayPool`, such as those of dagster-ray.

1. A run works on the Ray that the resource connected, in one session for all of its steps.
2. Its workers are gone before the resource is given back; the Ray is left running.
3. KubeRay's resources fit the same place; a cluster of Kubernetes is nothing that a test here has.
"""

import json
from collections.abc import Callable, Iterator

import dagster as dg
import pytest
import ray
from dagster_ray import RayResource
from dagster_ray.kuberay import KubeRayCluster, KubeRayInteractiveJob

from curator_dagster.curation import Curation
from curator_dagster.definitions import curation_definitions
from curator_dagster.partition_keys import sync_partitions
from curator_dagster.resources import Storage
from stages.manifest.row_files import read_footer
from stages.params import ExecutorParams
from tests.curator_dagster.conftest import QUIET
from tests.faults.command import run_process
from tests.faults.session_ray import wait_for_free_cpus
from tests.faults.tables import row_files

CURATION = Curation(executor=ExecutorParams(num_workers=2))


@pytest.fixture
def key(partitions: list[str], _tiny_phases: None) -> str:
    """A partition to work on by the tiny phases."""
    return partitions[0]


def sessions(storage: Storage) -> set[str]:
    """Of all rows under the root, the sessions that they were made in."""
    files = storage.open()
    return {read_footer(files, path)["lineage"]["run_id"] for path in row_files(files.root)}


@pytest.mark.system
def test_run_works_on_the_ray_that_a_resource_connected(storage: Storage, key: str, ray_cluster: None) -> None:
    @dg.resource
    def connection(context: dg.InitResourceContext) -> Iterator[None]:
        wait_for_free_cpus()
        yield
        freed_s.append(wait_for_free_cpus())

    freed_s: list[float] = []
    job = curation_definitions(CURATION, connection, storage).resolve_job_def("curate")
    with dg.DagsterInstance.ephemeral() as instance:
        sync_partitions(instance, storage.open())
        result = job.execute_in_process(instance=instance, run_config=QUIET, partition_key=key)
    assert len(result.get_asset_materialization_events()) == 7
    assert len(sessions(storage)) == 1
    assert len(freed_s) == 1, "workers are gone although the connection is still there"
    assert ray.is_initialized()


@pytest.mark.system
def test_run_rejects_a_resource_that_does_not_connect(storage: Storage, partitions: list[str]) -> None:
    code, output = run_process([storage.root, "unconnected"], module="tests.deploy.local_ray")
    assert code == 1
    assert "executor.address=connected requires that this process is connected to a Ray, and it is not" in output


@pytest.mark.long
def test_run_works_on_local_ray_of_dagster_ray(storage: Storage, partitions: list[str], ray_cluster: None) -> None:
    environment = {"RAY_ADDRESS": ray.get_runtime_context().gcs_address}
    code, output = run_process([storage.root, "LocalRay"], module="tests.deploy.local_ray", env=environment)
    assert code == 0, output
    assert json.loads(output.splitlines()[-1]) == {"is_connected": True, "events": 7}
    assert len(sessions(storage)) == 1
    wait_for_free_cpus()


@pytest.mark.parametrize(
    ("resource", "field"), [(KubeRayInteractiveJob, "ray_job"), (KubeRayCluster, "ray_cluster")], ids=["job", "cluster"]
)
def test_resources_of_kuberay_fit_the_place_of_ray_pool(
    resource: Callable[..., RayResource], field: str, storage: Storage
) -> None:
    ray_pool = resource(image="registry.example/curator:1", ray_init_options={"log_to_driver": False})
    job = curation_definitions(CURATION, ray_pool, storage).resolve_job_def("curate")
    settings = {"timeout": 900.0, field: {"metadata": {"name": "curation"}}}
    assert dg.validate_run_config(job, {"resources": {"ray_pool": {"config": settings}}})
    with pytest.raises(dg.DagsterInvalidConfigError, match="num_workers"):
        dg.validate_run_config(job, {"resources": {"ray_pool": {"config": {"num_workers": 2}}}})
