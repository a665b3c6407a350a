"""A node of a cluster that is at fault, or is lost.

1. No item fails for a fault of a machine: a set-up that fails on one node, a device that is lost, a full disk.
2. The node is left out, and the statistics of the run name it.
3. A node that is lost while workers start does not end the run.
4. The autoscaler is asked for room for what waits, and at the end for none.
5. Items whose intermediate results lay on a lost node begin again from their root, and have one result each.
6. A task whose workers were lost time and again, of which it may be the cause, runs where nothing else does; other
   nodes go on meanwhile.
7. Of a call on all nodes, one that is lost meanwhile is left out.
"""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.faults.cluster_faults import NUM_TASKS
from tests.faults.command import PROJECT

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def told() -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.faults.cluster_faults"]
    env = {**os.environ, "PYTHONPATH": str(PROJECT)}
    done = subprocess.run(command, cwd=PROJECT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("scenario", ["setup", "device", "disk", "growth", "start", "objects"])
def test_fault_of_a_machine_fails_no_item(told: dict[str, Any], scenario: str) -> None:
    assert told[scenario]["failed"] == {}
    assert told[scenario]["results"] == NUM_TASKS


@pytest.mark.parametrize(
    ("scenario", "cause"),
    [("setup", "cannot be set up there"), ("device", "answers this process no more"), ("disk", "a disk is full")],
)
def test_node_at_fault_is_left_out_and_named(told: dict[str, Any], scenario: str, cause: str) -> None:
    (text,) = told[scenario]["left_out"]
    assert cause in text


def test_items_whose_objects_are_lost_begin_again(told: dict[str, Any]) -> None:
    assert told["objects"]["retries"] > 0
    assert told["objects"]["event_came"]
    assert told["start"]["event_came"]


def test_autoscaler_is_asked_for_what_waits(told: dict[str, Any]) -> None:
    """Four workers have room, and each batch that waits is worth another."""
    requested = told["growth"]["requested"]
    assert 4 < len(requested) <= NUM_TASKS
    assert all(bundle == {"CPU": 1.0} for bundle in requested)
    assert told["growth"]["requested_at_the_end"] == []


def test_task_in_quarantine_is_alone_on_its_node_and_others_go_on(told: dict[str, Any]) -> None:
    worked = told["quarantine"]
    assert [each for each in worked if each[1] == "failed"] == []
    (big,) = [each for each in worked if each[:2] == ["big", "first"]]
    _, _, node, started, ended = big
    meanwhile = [each for each in worked if each is not big and each[3] < ended and each[4] > started]
    assert node not in {each[2] for each in meanwhile}
    assert {each[0] for each in meanwhile} == {"long"}, "its children come while the node is closed to others"
    assert len({(each[0], each[1]) for each in worked}) == 2 * (NUM_TASKS + 2)


def test_call_on_all_nodes_leaves_out_one_that_is_lost(told: dict[str, Any]) -> None:
    assert told["calls"]["answered"] == told["calls"]["others"] != []
