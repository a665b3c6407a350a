"""Videos of any length: the memory of the worker that splits one does not grow with it."""

from pathlib import Path

import pytest

from stages.params import ExecutorParams, SplitParams
from stages.pipeline import StageStats
from tests.faults.first_phases import read_and_split
from tests.faults.long_media import SHOT_S, repeat_video, sliding_minute
from tests.faults.measurements import record

pytestmark = pytest.mark.system

MARGIN_BYTES = 50 << 20
MARGIN_SHARE = 0.15
"""Of the worker of one minute. Nine more minutes of 720p would take 17 GiB."""
SMALL_MARGIN_BYTES = 20 << 20
"""Less than half of the 47 MiB that the frames of nine more small minutes would take; two runs differ by 5 MiB."""


@pytest.fixture(scope="module")
def minute(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One minute of 720p at 25 frames a second."""
    return sliding_minute(tmp_path_factory.mktemp("minute") / "minute.mp4")


def split(folder: Path, minute: Path, minutes: int, *, method: str, section_s: float = 120) -> StageStats:
    """What a real worker took to split a video of so many repeated minutes."""
    (folder / "in").mkdir(parents=True)
    repeat_video(minute, folder / "in" / "long.mp4", minutes)
    params = SplitParams(method=method, section_s=section_s)
    _, report = read_and_split(folder / "in", folder / "out", params, ExecutorParams(address="auto"))
    assert report.counts["kept"] == report.rows >= minutes * 60 / max(SHOT_S, SplitParams().clip_length_s)
    stats = report.stages["split"]
    record(
        "long videos", minutes=minutes, peak_memory_bytes=stats.peak_memory_bytes, busy_s=stats.busy_s, method=method
    )
    return stats


def check_flat(short: StageStats, long: StageStats, *, margin_bytes: float) -> None:
    assert 0 < long.peak_memory_bytes < short.peak_memory_bytes + margin_bytes


def margin_of(short: StageStats) -> float:
    """Bytes by which the worker of a large video may have more; its decoder and its network allocate in pools."""
    return MARGIN_BYTES + MARGIN_SHARE * short.peak_memory_bytes


@pytest.mark.parametrize(("section_s", "minutes"), [(0, (1, 10)), (120, (4, 13))], ids=["one pass", "sections"])
def test_memory_of_a_split_worker_is_flat_in_the_length_of_a_video(
    section_s: float, minutes: tuple[int, int], tmp_path: Path, ray_cluster: None
) -> None:
    small = sliding_minute(tmp_path / "small.mp4", width=96, height=64, rate=10)
    few, many = (
        split(tmp_path / f"{count}", small, count, method="fixed_stride", section_s=section_s) for count in minutes
    )
    check_flat(few, many, margin_bytes=SMALL_MARGIN_BYTES)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("method", "minutes"), [("shots", 10), ("fixed_stride", 60)])
def test_memory_of_a_split_worker_is_flat_at_720p(
    method: str, minutes: int, tmp_path: Path, minute: Path, ray_cluster: None
) -> None:
    one, many = (split(tmp_path / f"{count}", minute, count, method=method) for count in (1, minutes))
    check_flat(one, many, margin_bytes=margin_of(one))


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_memory_of_a_split_worker_is_flat_over_an_hour_with_the_network(tmp_path: Path, ray_cluster: None) -> None:
    sparse = sliding_minute(tmp_path / "sparse.mp4", rate=5)  # all of an hour, a fifth of its frames
    one, sixty = (split(tmp_path / f"{count}", sparse, count, method="shots") for count in (1, 60))
    check_flat(one, sixty, margin_bytes=margin_of(one))
