"""A large object is never loaded whole.

1. A probe reads header, index and one frame, however large the object is.
2. A split reads the video's bytes about once, and nothing of what is no video.
"""

import struct
from pathlib import Path

import fsspec
import pytest

from stages.params import ExecutorParams, SplitParams
from tests.faults.first_phases import read_and_split
from tests.faults.measurements import record
from tests.videos import noisy_video

MIB = 1 << 20


def with_gap(video: Path, path: Path, gap_bytes: int) -> Path:
    """The same MP4 with an empty box of some size between pictures and index; on disk the box takes no room."""
    data = video.read_bytes()
    index = data.rindex(b"moov") - 4
    with path.open("wb") as handle:
        handle.write(data[:index])
        handle.write(struct.pack(">I4s", gap_bytes, b"free"))
        handle.seek(gap_bytes - 8, 1)
        handle.write(data[index:])
    return path


def bytes_read(sources: str, root: str) -> tuple[float, float]:
    """What read and split took from the store, as their reports say."""
    params = SplitParams(method="fixed_stride", clip_length_s=1, min_length_s=0.5)
    read, split = read_and_split(sources, root, params, ExecutorParams(mode="local"))
    assert split.counts["kept"] == 3
    return read.counters["source_bytes"], split.counters["source_bytes"]


@pytest.mark.system
@pytest.mark.parametrize("gap_bytes", [64 * MIB, pytest.param(1024 * MIB, marks=pytest.mark.long)])
def test_large_object_is_read_by_ranges(gap_bytes: int, s3_bucket: str, tmp_path: Path) -> None:
    video = noisy_video(tmp_path / "video.mp4", 75)
    large = with_gap(video, tmp_path / "large.mp4", gap_bytes)
    fsspec.filesystem("s3").put(str(large), f"{s3_bucket}/in/large.mp4")
    probed, split = bytes_read(f"{s3_bucket}/in", f"{s3_bucket}/out")
    assert probed < MIB
    assert split < video.stat().st_size + 2 * MIB
    record(
        "ranged reads",
        object_bytes=large.stat().st_size,
        video_bytes=video.stat().st_size,
        probe_bytes=probed,
        split_bytes=split,
    )
