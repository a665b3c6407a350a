"""Shares of a GPU follow reference P8, rounding included."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.errors import ParamsError
from stages.resources import MIN_GPU_SHARE, Resources


@pytest.mark.parametrize(
    ("device_gb", "requested_gb", "share"),
    [
        *[
            (24.0, requested, share)
            for requested, share in [(1, 0.1), (2, 0.1), (10, 0.4), (20, 0.8), (24, 1.0), (25, 1.0)]
        ],
        *[(48.0, requested, share) for requested, share in [(10, 0.2), (20, 0.4), (25, 0.5), (30, 0.6), (48, 1.0)]],
        *[(79.6, requested, share) for requested, share in [(10, 0.1), (20, 0.3), (24, 0.3), (48, 0.6), (80, 1.0)]],
        *[(250.0, requested, share) for requested, share in [(10, 0.1), (24, 0.1), (30, 0.1), (48, 0.2), (80, 0.3)]],
    ],
)
def test_gpu_share_by_nemos_rounding_is_in_tenths(device_gb: float, requested_gb: float, share: float) -> None:
    assert Resources(gpu_memory_gb=requested_gb).gpu_share(device_gb, "nemo") == share


@pytest.mark.parametrize(
    ("device_gb", "requested_gb", "share"),
    [
        (80.0, 20, 0.25),
        (79.6, 20, 0.26),
        (100.0, 29, 0.29),
        (250.0, 1, 0.01),
        (24.0, 24, 1.0),
        (79.6, 80, 1.0),
        (22.5, 22.6, 1.0),
    ],
)
def test_gpu_share_is_the_part_of_the_device_rounded_up(device_gb: float, requested_gb: float, share: float) -> None:
    assert Resources(gpu_memory_gb=requested_gb).gpu_share(device_gb) == share


@given(device_gb=st.floats(8, 288), requested_gb=st.floats(0.1, 288))
def test_as_many_workers_as_ray_places_on_a_device_fit_into_its_memory(device_gb: float, requested_gb: float) -> None:
    if requested_gb > device_gb:
        return
    share = Resources(gpu_memory_gb=requested_gb).gpu_share(device_gb)
    workers = int((1 + 1e-9) / share)
    assert workers >= 1
    assert workers * requested_gb <= device_gb * (1 + 1e-6)


@pytest.mark.parametrize(("device_gb", "requested_gb"), [(24.0, 25), (24.0, 30), (48.0, 80), (22.5, 24)])
def test_gpu_share_rejects_more_than_one_device(device_gb: float, requested_gb: float) -> None:
    with pytest.raises(ParamsError, match="gpu_memory_gb is too large for a single GPU"):
        Resources(gpu_memory_gb=requested_gb).gpu_share(device_gb)


@pytest.mark.parametrize(
    ("resources", "share"),
    [
        (Resources(), 0.0),
        (Resources(entire_gpu=True), 1.0),
        (Resources(gpus=2), 2.0),
        (Resources(gpus=0.5), 0.5),
        (Resources(nvdecs=1), MIN_GPU_SHARE),
        (Resources(nvencs=1), MIN_GPU_SHARE),
        (Resources(gpu_memory_gb=12, nvdecs=1), 0.5),
    ],
)
def test_gpu_share_without_memory_is_what_was_asked(resources: Resources, share: float) -> None:
    assert resources.gpu_share(24.0) == share
    assert resources.requires_gpu == (share > 0)


@pytest.mark.parametrize(
    ("requested", "rule"),
    [
        ({"gpus": 1, "gpu_memory_gb": 1}, "Cannot specify both gpus and gpu_memory_gb"),
        ({"entire_gpu": True, "gpus": 1}, "entire_gpu already takes one whole device"),
        ({"cpus": -1.0}, "Resources.cpus must be 0 or more, got -1.0"),
        ({"gpus": 2.5}, "must be a whole number, got 2.5"),
    ],
)
def test_resources_rejects_contradictions(requested: dict[str, float], rule: str) -> None:
    with pytest.raises(ParamsError, match=rule):
        Resources(**requested)  # type: ignore[arg-type]
