"""A local root or source that not every node of a cluster sees is refused before work, and left as it was."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.ray_nodes import running_node
from tests.faults.command import PROJECT
from tests.object_store import free_port

ENVIRONMENT = {"RAY_AUTH_MODE": "disabled", "PYTHONPATH": str(PROJECT)}
CHECK = """
import sys
from stages.errors import PoolError
from stages.executors.cluster import Cluster
from stages.executors.shared_folders import check_shared

cluster = Cluster(sys.argv[1])
for path in sys.argv[2:]:
    is_folder = path.endswith("/")
    try:
        check_shared(cluster, [path] * is_folder, [path] * (not is_folder))
        print("seen")
    except PoolError as error:
        print(error)
cluster.close()
"""

pytestmark = pytest.mark.system


@pytest.fixture
def private(tmp_path: Path) -> Path:
    """A folder that each machine has for itself."""
    folder = tmp_path / "private"
    folder.mkdir()
    (folder / "video.mp4").touch()
    return folder


@pytest.fixture
def address(tmp_path: Path, private: Path) -> Iterator[str]:
    """Of two nodes, of which the second has a `private` of its own."""
    port = free_port()
    shared = ["--include-dashboard=false", "--num-cpus=1", "--num-gpus=0"]
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp") as folder:  # short, for the paths of sockets
        ports = [
            f"--port={port}",
            f"--ray-client-server-port={free_port()}",
            "--min-worker-port=0",
            "--max-worker-port=0",
        ]
        head = ["--head", f"--temp-dir={folder}", *ports, *shared]
        with running_node(tmp_path / "head.log", *head, env=ENVIRONMENT):
            second = [f"--address=127.0.0.1:{port}", *shared[1:]]
            with running_node(tmp_path / "second.log", *second, env=ENVIRONMENT, hidden=private):
                yield f"127.0.0.1:{port}"


def test_local_folder_that_a_node_does_not_see_is_refused(address: str, private: Path, tmp_path: Path) -> None:
    public = tmp_path / "public"
    paths = [f"{public}/", f"{private}/", f"{private}/video.mp4"]
    done = subprocess.run(
        [sys.executable, "-c", CHECK, address, *paths],
        env={**ENVIRONMENT, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    seen, folder, file = done.stdout.splitlines()[-3:]
    assert seen == "seen"
    assert folder.startswith(f"All nodes of the cluster must see {private}/, but 1 of 1 other nodes do not")
    assert file.startswith(f"All nodes of the cluster must see {private}/video.mp4, but 1 of 1")
    assert (list(public.iterdir()), [path.name for path in private.iterdir()]) == ([], ["video.mp4"])
