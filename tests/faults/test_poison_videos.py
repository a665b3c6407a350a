"""Videos that crash, hang or fill their worker, through the whole of read and split.

1. The run ends in time.
2. The clip row of such a video is failed, with its cause, after `max_item_deaths` tries.
3. The rows of all other videos are those of a run without it.
"""

import math
import time
from pathlib import Path
from typing import Any

import pytest

from stages.errors import Reason
from stages.manifest import read_manifest
from stages.tasks import Row
from tests.faults.command import curate_in_process
from tests.faults.faulty_splitter import FRAMES_BY_FAULT
from tests.faults.measurements import record
from tests.faults.waiting import STALL_TIMEOUT_S
from tests.videos import noise_shot, write_video

pytestmark = [pytest.mark.system, pytest.mark.usefixtures("ray_cluster")]

START_S = 15.0
"""Time until a new worker runs the video again, at most; longer where a run without poison videos takes longer."""
CAUSES = {
    "segfault": (Reason.WORKER_DIED, "times its process crashed: Segmentation fault"),
    "hang": (Reason.STALLED, "times it made no progress for {stall_timeout_s:g} s"),
    "exhaust_memory": (Reason.OUT_OF_MEMORY, "times its private memory went above {worker_memory_gb:g} GiB"),
}


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four healthy videos."""
    folder = tmp_path_factory.mktemp("sources")
    for number in range(4):
        write_video(folder / f"{number}.mp4", noise_shot(number, 50, width=64))
    return folder


def curate(sources: Path, root: Path, **limits: float) -> None:
    """Read and split."""
    settings: dict[str, Any] = {f"executor.{name}": value for name, value in limits.items()}
    settings |= {"split.method": "tests.faults.faulty_splitter:FaultySplitter", "split.min_length_s": 0.2}
    settings |= {"split.clip_length_s": 0.5, "split.max_failed_fraction": 1, "executor.num_workers": 2}
    curate_in_process(sources, root, settings, until="clips")


def rows_by_video(root: Path) -> dict[str, list[Row]]:
    """Rows of the clips by the name of their video; without the partition, which is made of all sources."""
    found: dict[str, list[Row]] = {}
    names = {row["video_id"]: Path(row["uri"]).stem for row in read_manifest(str(root), "videos").to_pylist()}
    for row in read_manifest(str(root), "clips").to_pylist():
        del row["partition"]
        found.setdefault(names[row["video_id"]], []).append(row)
    return found


def check_poison_videos(sources: Path, folder: Path, kinds: tuple[str, ...], **limits: float) -> None:
    started = time.monotonic()
    curate(sources, folder / "without", **{**limits, "stall_timeout_s": STALL_TIMEOUT_S})
    without_s = time.monotonic() - started
    start_s = max(START_S, without_s)
    # A machine so busy that a whole run takes longer than the limit lets a worker at work seem to stall.
    limits["stall_timeout_s"] = max(limits["stall_timeout_s"], math.ceil(without_s))
    poison_videos = [
        write_video(sources / f"{kind}.mp4", noise_shot(9, FRAMES_BY_FAULT[kind], width=64)) for kind in kinds
    ]
    try:
        started = time.monotonic()
        curate(sources, folder / "with", **limits)
        seconds = time.monotonic() - started
    finally:
        for video in poison_videos:
            video.unlink()
    found = rows_by_video(folder / "with")
    for kind in kinds:
        (row,) = found.pop(kind)
        reason, text = CAUSES[kind]
        assert (row["status"], row["reason"]) == ("failed", reason.value)
        assert f"{limits['max_item_deaths']:g} {text.format(**limits)}" in row["error"]
    assert found == rows_by_video(folder / "without")
    allowed = {"hang": limits["stall_timeout_s"]}
    assert seconds < sum(limits["max_item_deaths"] * (start_s + allowed.get(kind, 0)) for kind in kinds)
    record(f"poison {' '.join(kinds)}", rows=len(kinds) + len(found), seconds=round(seconds, 1), **limits)


def test_videos_that_harm_their_worker_fail_alone_and_in_time(sources: Path, tmp_path: Path) -> None:
    check_poison_videos(
        sources, tmp_path, tuple(FRAMES_BY_FAULT), max_item_deaths=2, stall_timeout_s=4, worker_memory_gb=1
    )


@pytest.mark.long
@pytest.mark.parametrize("kind", list(FRAMES_BY_FAULT))
def test_video_that_harms_its_worker_costs_bounded_time(kind: str, sources: Path, tmp_path: Path) -> None:
    check_poison_videos(sources, tmp_path, (kind,), max_item_deaths=3, stall_timeout_s=5, worker_memory_gb=1)
