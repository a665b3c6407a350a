"""A driver that is killed at any moment.

1. The tables after a second run are row for row those of a run that was never disturbed.
2. The second run works only on items that had no rows in a file.
3. A Ray that was there before is left running, its CPUs free again.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
import ray

from stages.manifest import committed_partitions, read_manifest
from stages.schemas import ASSETS
from stages.storage import Storage
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


def tables(root: Path) -> dict[str, pa.Table]:
    return {asset: read_manifest(str(root), asset) for asset in ASSETS}


@pytest.fixture(scope="module")
def undisturbed(sources: Path, tmp_path_factory: pytest.TempPathFactory, ray_cluster: None) -> dict[str, pa.Table]:
    """The tables of a run that nothing disturbed."""
    root = tmp_path_factory.mktemp("undisturbed")
    finish(start(sources, root))
    return tables(root)


def kill_when(process: subprocess.Popen[bytes], reached: Callable[[], bool]) -> bool:
    """SIGKILL as soon as the moment has come; False where the run ended before it came."""
    limit = time.monotonic() + LIMIT_S
    while not reached():
        if process.poll() is not None:
            return False
        assert time.monotonic() < limit, "the moment of the kill never came"
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=LIMIT_S)
    return True


def row_files(root: Path) -> set[str]:
    return {info.path for info in Storage(root).list("manifests") if info.path.endswith(".parquet")}


def check_recovery(sources: Path, root: Path, expected: dict[str, pa.Table]) -> None:
    before = row_files(root)
    finish(start(sources, root))
    assert before <= row_files(root), "row files are never rewritten"
    for asset, table in expected.items():
        assert read_manifest(str(root), asset).to_pylist() == table.to_pylist(), asset


@pytest.mark.parametrize("moment", ["frames/*/*.parquet", "manifests/embeddings/*/_commits/1.json"])
def test_killed_driver_resumes_to_equal_tables(
    moment: str, sources: Path, tmp_path: Path, undisturbed: dict[str, pa.Table]
) -> None:
    process = start(sources, tmp_path)
    assert kill_when(process, lambda: any(tmp_path.glob(moment)))
    assert not committed_partitions(Storage(tmp_path), "dataset")
    check_recovery(sources, tmp_path, undisturbed)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(20))
def test_driver_killed_at_random_resumes_to_equal_tables(
    seed: int, sources: Path, tmp_path: Path, undisturbed: dict[str, pa.Table]
) -> None:
    process = start(sources, tmp_path)
    moment = time.monotonic() + random.Random(seed).uniform(2, 25)
    kill_when(process, lambda: time.monotonic() > moment)
    check_recovery(sources, tmp_path, undisturbed)
