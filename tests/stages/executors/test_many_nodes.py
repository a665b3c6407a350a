"""The scheduler on a simulated cluster: its real code, simulated nodes and time.

1. Nine of ten workers that fit are at work soon after the first could be.
2. No item fails or is lost where nodes are lost.
"""

import re
import subprocess
import sys

import pytest

from benchmarks.simulated_cluster import SET_UP_S, START_S
from tests.faults.command import PROJECT

pytestmark = pytest.mark.system


def measure(**options: float) -> str:
    arguments = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    command = [sys.executable, "-m", "benchmarks.many_nodes", *arguments]
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True).stdout


def test_workers_are_at_work_soon_after_there_is_room() -> None:
    told = measure(nodes=20, cpus=8, items=20_000, losses=0)
    (seconds,) = re.findall(r"nine of ten workers at work after (\d+) s", told)
    assert int(seconds) < START_S + SET_UP_S + 10


def test_no_item_is_lost_with_nodes() -> None:
    told = measure(nodes=10, cpus=4, items=20_000, losses=3)
    ((failed, lost),) = re.findall(r"(\d+) failed, (\d+) nodes lost", told)
    assert (int(failed), int(lost) > 0) == (0, True)
