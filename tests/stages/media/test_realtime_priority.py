"""SVT-AV1 takes no real-time priority, also where the process may give it: as root."""

import os
import sys
from pathlib import Path

import pytest

from benchmarks.damaged_videos import Source, encode
from stages.media.encode import Encoding, check_encoder
from stages.media.realtime_priority import no_realtime_priority
from tests.videos import noise_shot

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="scheduling policies are Linux's")


def policies() -> set[int]:
    """Of all threads of this process."""
    return {os.sched_getscheduler(int(thread)) for thread in os.listdir("/proc/self/task")}


def effective_capabilities() -> int:
    lines = Path("/proc/thread-self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("CapEff")).split()[1], 16)


def test_encoder_leaves_the_scheduling_of_all_threads() -> None:
    check_encoder(Encoding("av1", 35))
    assert policies() == {os.SCHED_OTHER}


def test_encoded_video_leaves_the_scheduling_of_all_threads(tmp_path: Path) -> None:
    source = Source("noise", 25, list(noise_shot(1, 5, height=64, width=64)))
    encode(source, "av1", tmp_path / "a.mp4", gop=5, with_sound=False)
    assert policies() == {os.SCHED_OTHER}


def test_capabilities_are_those_before() -> None:
    before = effective_capabilities()
    with no_realtime_priority():
        assert effective_capabilities() == before & ~(1 << 23)
    assert effective_capabilities() == before
