from pathlib import Path

import dagster as dg
import pytest

from curator_dagster.resources import RayPool, Storage
from stages.manifest import ManifestRef
from stages.params import ExecutorParams, ReadParams
from stages.run import Session


@pytest.mark.parametrize("resource", [RayPool, Storage])
def test_every_field_is_described(resource: type[dg.ConfigurableResource[object]]) -> None:
    assert all(field.description for field in resource.model_fields.values())


def test_ray_pool_says_the_bounds_of_its_fields() -> None:
    assert str(RayPool.model_fields["max_tries"].description).endswith("[1 <= integer <= 100]")
    assert "[" not in str(ExecutorParams.model_fields["max_tries"].description)


@pytest.mark.usefixtures("_tiny_phases")
def test_ray_pool_is_one_session_for_all_steps_and_closed_after_them(storage: Storage, partitions: list[str]) -> None:
    seen: list[Session] = []

    @dg.asset
    def first(ray_pool: dg.ResourceParam[Session]) -> None:
        ray_pool.run_phase(ReadParams(), {}, [storage.ref("videos", partitions[0])])
        seen.append(ray_pool)

    @dg.asset(deps=[first])
    def second(ray_pool: dg.ResourceParam[Session]) -> None:
        assert ray_pool._executor is not None
        seen.append(ray_pool)

    dg.materialize([first, second], resources={"ray_pool": RayPool(mode="local", num_workers=2)})
    assert seen[0] is seen[1]
    assert seen[0].executor_params == ExecutorParams(mode="local", num_workers=2)
    assert seen[0]._executor is None


@pytest.mark.parametrize("field", ["num_workers", "stall_timeout_s"])
def test_ray_pool_rejects_values_out_of_bounds(field: str) -> None:
    with pytest.raises(ValueError, match=field):
        RayPool.model_validate({field: -1})


def test_storage_names_tables_by_the_root_in_its_stored_form(tmp_path: Path) -> None:
    assert Storage(root=f"{tmp_path}/a/../b/").ref("clips", "p") == ManifestRef(f"{tmp_path}/b", "clips", "p")
