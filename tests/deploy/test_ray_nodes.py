"""A Ray of several nodes, on this machine.

1. A run works on all nodes, whether it joins them by address, from outside of the cluster (ray://), or is connected.
2. Its workers are gone when it ends; the nodes are left running.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from stages.manifest import read_manifest
from tests.deploy.ray_nodes import running_node
from tests.faults.command import PROJECT, arguments, run_process
from tests.object_store import free_port
from tests.videos import noise_shot, three_shots, write_video

ENVIRONMENT = {"RAY_AUTH_MODE": "disabled", "PYTHONPATH": str(PROJECT)}
"""Alike for nodes and drivers: who starts Ray on this machine alone turns authentication on for all that follows."""


class Nodes(NamedTuple):
    """Where two nodes answer."""

    address: str
    client_address: str


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    logs, port, client_port = tmp_path_factory.mktemp("logs"), free_port(), free_port()
    ports = [f"--port={port}", f"--ray-client-server-port={client_port}", "--min-worker-port=0", "--max-worker-port=0"]
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp") as folder:  # short, for the paths of sockets
        head = ["--head", f"--temp-dir={folder}", "--include-dashboard=false", "--num-cpus=1", "--num-gpus=0"]
        with running_node(logs / "head", *head, *ports, env=ENVIRONMENT):
            second = [f"--address=127.0.0.1:{port}", "--num-cpus=1", "--num-gpus=0"]
            with running_node(logs / "second", *second, env=ENVIRONMENT):
                yield Nodes(f"127.0.0.1:{port}", f"ray://127.0.0.1:{client_port}")


def alive_and_free(address: str) -> tuple[set[str], float]:
    """Nodes of a Ray, and CPUs that nobody holds, as a third process sees them."""
    program = (
        "import json, sys, ray; ray.init(sys.argv[1], log_to_driver=False, logging_level='ERROR');"
        "alive = [node['NodeID'] for node in ray.nodes() if node['Alive']];"
        "print(json.dumps([alive, ray.available_resources().get('CPU', 0)]))"
    )
    command = [sys.executable, "-c", program, address]
    answer = subprocess.run(command, env={**ENVIRONMENT}, capture_output=True, text=True, check=True).stdout
    node_ids, free = json.loads(answer.splitlines()[-1])
    return set(node_ids), free


@pytest.mark.long
@pytest.mark.parametrize("address_kind", Nodes._fields)
def test_run_works_on_every_node_and_leaves_them(address_kind: str, nodes: Nodes) -> None:
    node_ids, free = alive_and_free(nodes.address)
    assert len(node_ids) == free == 2
    code, output = run_process([getattr(nodes, address_kind)], module="tests.deploy.joining_driver", env=ENVIRONMENT)
    assert code == 0, output
    worked = json.loads(output.splitlines()[-1])
    assert worked == {"joined": sorted(node_ids), "connected": sorted(node_ids)}
    assert alive_and_free(nodes.address) == (node_ids, 2)


@pytest.mark.long
def test_curate_on_two_nodes_by_address(nodes: Nodes, tmp_path: Path) -> None:
    sources = tmp_path / "sources"
    sources.mkdir()
    three_shots(sources / "three.mp4")
    write_video(sources / "one.mp4", noise_shot(9, 100))
    settings = {"executor.address": nodes.address, "filter.score_only": ["all"]}  # filters reject noise
    command = arguments(sources, tmp_path / "root", settings)
    code, output = run_process(command, env=ENVIRONMENT)
    assert code == 0, output
    made = [row for row in read_manifest(str(tmp_path / "root"), "dataset").to_pylist() if row["status"] == "kept"]
    assert made
    assert all((tmp_path / "root" / "dataset" / row["path"]).stat().st_size == row["bytes"] for row in made)
    assert alive_and_free(nodes.address)[1] == 2
