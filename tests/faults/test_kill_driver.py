"""A driver on a Ray that was there before, that is killed.

1. The tables after a second run are row for row those of a run that was never disturbed.
2. The second run works only on items that had no rows in a file.
3. A Ray that was there before is left running, its CPUs free again.
"""

import signal
import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import ray

from stages.manifest import committed_partitions
from stages.storage import Storage
from tests.faults.command import arguments, running_process, wait_for_exit
from tests.faults.curator_process import reference_tables
from tests.faults.measurements import record
from tests.faults.session_ray import free_cpus, wait_for_free_cpus
from tests.faults.tables import lasting_rows, row_files, tables
from tests.faults.waiting import wait_for
from tests.videos import noise_shot, three_shots, write_video

pytestmark = pytest.mark.system

SETTINGS = {
    "split.method": "fixed_stride",
    "split.clip_length_s": 1.5,
    "split.min_length_s": 1,
    "read.exact_copies": False,
    "filter.score_only": ["all"],  # filters reject noise, of which the videos are made
}


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


def running_curator(sources: Path, root: Path, until: str) -> AbstractContextManager[subprocess.Popen[str]]:
    """`curator run` on the Ray of the test session."""
    address = ray.get_runtime_context().gcs_address
    return running_process(arguments(sources, root, {**SETTINGS, "executor.address": address}, until=until))


def kill_when(process: subprocess.Popen[str], condition: Callable[[], bool]) -> list[float]:
    """SIGKILL the process once the condition holds; return the number of free CPUs at each check before."""
    free: list[float] = []

    def is_met() -> bool:
        free.append(free_cpus())
        return condition()

    wait_for(process, is_met)
    process.send_signal(signal.SIGKILL)
    wait_for_exit(process)
    return free


@pytest.mark.parametrize(
    ("moment", "until"),
    [
        ("manifests/filtered_clips/*/_commits/1.json", "embeddings"),
        pytest.param("frames/*/*.parquet", "dataset", marks=pytest.mark.long),
        pytest.param("manifests/embeddings/*/_commits/1.json", "dataset", marks=pytest.mark.long),
        pytest.param("former/*/*.mp4", "dataset", marks=pytest.mark.long),
    ],
)
def test_killed_driver_resumes_to_equal_tables(
    moment: str, until: str, sources: Path, tmp_path: Path, ray_cluster: None
) -> None:
    expected = reference_tables(sources, tmp_path / "reference", SETTINGS, until=until)
    root = tmp_path / "root"
    wait_for_free_cpus()
    with running_curator(sources, root, until) as driver:
        free = kill_when(driver, lambda: any(root.glob(moment)))
    freed_s = wait_for_free_cpus()
    assert min(free) < free_cpus(), "the driver worked on this Ray"
    assert not committed_partitions(Storage(root), until)
    before, done = row_files(root), lasting_rows(root)
    assert done
    with running_curator(sources, root, until) as driver:
        code, output = wait_for_exit(driver)
    assert code == 0, output
    wait_for_free_cpus()
    assert before <= row_files(root), "row files are never rewritten"
    assert set(lasting_rows(root).values()) == {1}, "what is in a file is not computed again"
    assert tables(root) == expected
    figures = {"items": len(done), "free_cpus": free[-1], "freed_s": round(freed_s, 1)}
    record("killed driver on a Ray of others", moment=moment, **figures)
