"""A driver with default parameters, on a Ray that was there before, that is killed.

1. The tables after a second run are row for row those of a run that was never disturbed.
2. The second run works only on items that had no rows in a file.
3. A Ray that was there before is left running, its CPUs free again.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import ray

from stages.manifest import committed_partitions
from stages.storage import Storage
from tests.faults.curating import Tables, tables, undisturbed_tables
from tests.videos import noise_shot, three_shots, write_video

LIMIT_S = 120


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four videos: three shots, one shot, a copy of it in another folder, and no video at all."""
    folder = tmp_path_factory.mktemp("sources")
    (folder / "more").mkdir()
    three_shots(folder / "three.mp4")
    write_video(folder / "one.mp4", noise_shot(9, 100))
    write_video(folder / "more" / "one.mp4", noise_shot(9, 100))
    (folder / "text.mp4").write_text("no video")
    return folder


def start(sources: Path, root: Path) -> subprocess.Popen[bytes]:
    """`curator run` as a person starts it, on the Ray of the test session."""
    address = ray.get_runtime_context().gcs_address
    command = [sys.executable, "-c", "from curator_dagster.cli import main; main()", "run", str(sources)]
    command += ["--root", str(root), "--set", f"executor.address={address}"]
    environment = {key: value for key, value in os.environ.items() if key not in ("DAGSTER_HOME", "CURATOR_ROOT")}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def finish(process: subprocess.Popen[bytes]) -> str:
    """What it printed, once it ended well."""
    text = process.communicate(timeout=LIMIT_S)[0].decode()
    assert process.returncode == 0, text
    return text


@pytest.fixture(scope="module")
def undisturbed(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Tables:
    """The tables of a run that nothing disturbed."""
    return undisturbed_tables(sources, tmp_path_factory.mktemp("undisturbed"), {})


def kill_when(process: subprocess.Popen[bytes], reached: Callable[[], bool]) -> None:
    """SIGKILL as soon as the moment has come."""
    limit = time.monotonic() + LIMIT_S
    while not reached():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < limit, "the moment of the kill never came"
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=LIMIT_S)


def row_files(root: Path) -> set[str]:
    return {info.path for info in Storage(root).list("manifests") if info.path.endswith(".parquet")}


@pytest.mark.parametrize(
    "moment",
    [
        "manifests/embeddings/*/_commits/1.json",
        pytest.param("frames/*/*.parquet", marks=pytest.mark.long),
        pytest.param("dataset/*/*.mp4", marks=pytest.mark.long),
    ],
)
def test_killed_driver_resumes_to_equal_tables(
    moment: str, sources: Path, tmp_path: Path, undisturbed: Tables, ray_cluster: None
) -> None:
    kill_when(start(sources, tmp_path), lambda: any(tmp_path.glob(moment)))
    assert not committed_partitions(Storage(tmp_path), "dataset")
    before = row_files(tmp_path)
    finish(start(sources, tmp_path))
    assert before <= row_files(tmp_path), "row files are never rewritten"
    assert tables(tmp_path) == undisturbed
