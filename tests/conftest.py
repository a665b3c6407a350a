"""Fixtures of the whole suite."""

import importlib
import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.object_store import ObjectStore, running_server

SHARED = Path(__file__).parents[2] / "shared"


def pytest_configure() -> None:
    """What holds for all tests.

    A shell that runs them in the background lets them ignore SIGINT, nohup lets them ignore SIGHUP, and all that they
    start would too. Ray gives its
    workers a niceness of 15, with which they get 3 % of a core that another process keeps busy. Several test files run
    at once, and threads of OpenMP that wait for one another on cores that others use take a sixth longer than one
    thread. How long an example of hypothesis takes depends on what else the machine does.
    """
    os.environ.setdefault("RAY_worker_niceness", "0")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)
    settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("any machine")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files that take longest come first, lest one process is left with them at the end."""
    longest = (
        "tests/faults/",
        "tests/stages/split/",
        "tests/curator_dagster/",
    )
    items.sort(
        key=lambda item: next((n for n, start in enumerate(longest) if item.nodeid.startswith(start)), len(longest))
    )


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Tests marked gpu skip without CUDA, or fail where it is required."""
    if item.get_closest_marker("gpu") is None or importlib.import_module("torch").cuda.is_available():
        return
    if os.environ.get("CURATOR_REQUIRE_GPU"):
        pytest.fail("CURATOR_REQUIRE_GPU is set and torch finds no CUDA device")
    pytest.skip("needs a CUDA device")


@pytest.fixture(autouse=True)
def no_error_logs(caplog: pytest.LogCaptureFixture, request: pytest.FixtureRequest) -> Iterator[None]:
    """A test that makes our own code log an ERROR fails, unless it is marked to expect one."""
    yield
    for record in caplog.get_records("call"):
        if record.levelno >= logging.ERROR and record.name.startswith(("stages", "curator_dagster")):
            pytest.fail(f"logged an error: {record.getMessage()}")


@pytest.fixture(scope="session")
def shared_media() -> Path:
    """Folder of real test videos beside the checkout; without it the test skips, or fails where it is required."""
    media = SHARED / "media"
    if not media.is_dir():
        if os.environ.get("CURATOR_REQUIRE_SHARED"):
            pytest.fail(f"CURATOR_REQUIRE_SHARED is set and {media} is missing")
        pytest.skip("needs the test videos beside the checkout")
    return media


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """A Ray with two CPUs and one GPU (in name only) for the whole session; executors join it and leave it running."""
    import ray  # takes a second, which tests without it need not wait

    from stages.executors.ray_connection import without_unused_processes

    with without_unused_processes():
        ray.init(
            address="local",
            num_cpus=2,
            num_gpus=1,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    yield
    ray.shutdown()


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    """A real S3 server. A test that stops it must start it again."""
    with running_server(tmp_path_factory.mktemp("s3")) as store:
        yield store


@pytest.fixture
def s3_bucket(s3_server: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty bucket, reached as a user reaches one: through the environment that fsspec reads."""
    import fsspec
    from fsspec.config import conf

    for name, value in s3_server.settings.items():
        monkeypatch.setenv(f"FSSPEC_S3_{name.upper()}", value)
    monkeypatch.setitem(conf, "s3", dict(s3_server.settings))
    filesystem = fsspec.filesystem("s3")
    bucket = f"bucket-{abs(hash(tmp_path)) % 10**10}"
    filesystem.mkdir(bucket)
    yield f"s3://{bucket}"
    filesystem.clear_instance_cache()
