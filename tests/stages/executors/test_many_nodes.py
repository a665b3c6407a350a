"""The scheduler on a simulated cluster: its real code, simulated nodes and time.

1. Nine of ten workers that fit are at work soon after the first could be.
2. No item fails or is lost where nodes are lost.
3. Calls are few where batches are short, and hold one batch where these are long.
4. Workers are asked for signs of life node by node, within a hundredth of the driver's time.
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


def test_a_call_holds_several_batches_where_calls_would_take_the_driver() -> None:
    """16 workers with batches of 5 ms would make 3,200 calls a second."""
    told = measure(nodes=4, cpus=4, items=50_000, losses=0, batch_s=0.005)
    (calls,) = re.findall(r"(\d+) calls with batches", told)
    assert int(calls) < 50_000 / 16 / 4


def test_a_call_of_long_batches_holds_one() -> None:
    told = measure(nodes=4, cpus=4, items=5_000, losses=0, batch_s=10)
    (calls,) = re.findall(r"(\d+) calls with batches", told)
    assert int(calls) >= 5_000 / 16


def test_no_item_is_lost_with_nodes() -> None:
    told = measure(nodes=10, cpus=4, items=20_000, losses=3)
    ((failed, lost),) = re.findall(r"(\d+) failed, (\d+) nodes lost", told)
    assert (int(failed), int(lost) > 0) == (0, True)


def test_workers_are_asked_node_by_node() -> None:
    """640 workers on 20 nodes, each with one batch of minutes: 20 polls a second, of half a millisecond."""
    told = measure(nodes=20, cpus=32, items=640, losses=0, batch_s=200, batch_size=1)
    ((polls, share),) = re.findall(r"(\d+) polls, ([0-9.]+) % of the driver's time", told)
    (seconds,) = re.findall(r"  (\d+) s, \d+ items/s", told)
    assert int(polls) <= 20 * int(seconds)
    assert 0.1 < float(share) <= 1.0
