"""The connection to Ray: a private Ray that this process starts, or a Ray that is running already.

A session has a folder for all files of a private Ray, and a scratch folder for files of its workers. A cleanup process
ends what is left of that Ray and removes both.
"""

import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import ray
import ray._private.worker
from ray._private.client_mode_hook import client_mode_should_convert
from ray.autoscaler.sdk import request_resources

from stages.errors import PoolError
from stages.executors import cleanup_process
from stages.executors.gpu_memory import smallest_gpu_gb
from stages.executors.node_calls import call_on_nodes
from stages.executors.ray_connection import connect, start_private_ray
from stages.executors.scratch_folder import MAX_RELEASE_S, PREFIX, ScratchFolder, hold
from stages.resources import GpuRounding, Resources

logger = logging.getLogger(__name__)

DEFAULT_GPU_MEMORY_GB = 24.0
"""Assumed GPU memory if no GPU reports its memory."""
CONNECTED = "connected"
"""The address that stands for the Ray that this process is connected to already."""
REQUIRED_PROCESSES = {"raylet", "gcs_server"}
"""Processes, by Ray's names for them, without which a private Ray cannot go on."""
NODES_ASKED_EVERY_S = 1.0
"""How old the list of nodes of a cluster may be."""
MAX_PARENT_BYTES = 24
"""Longest path of the folder's parent: the path of a socket may have 107 bytes, of which Ray itself uses up to 83."""


class Shape(NamedTuple):
    """CPUs and GPUs that a worker holds; workers of one shape are interchangeable."""

    cpus: float
    gpus: float

    def in_words(self) -> str:
        """For a message: "1 CPU", "2 CPUs and 0.25 GPUs"."""
        held = [(self.cpus, "CPU"), *([(self.gpus, "GPU")] if self.gpus else [])]
        return " and ".join(f"{count:g} {unit}{'' if count == 1 else 's'}" for count, unit in held)


class Node(NamedTuple):
    """A node of the cluster that is alive, with the CPUs, GPUs and bytes of its object store that it has in all."""

    node_id: str
    cpus: float
    gpus: float
    object_store_bytes: float = 0.0


def start_activity(address: str) -> str:
    """What making a `Cluster` does, in words."""
    return "starting Ray" if address == "local" and not ray.is_initialized() else "connecting to Ray"


class Cluster:
    """A connection to Ray. Ends the Ray that it started and no other.

    Args:
        address: as `executor.address`.
        with_api_server: a private Ray has the server of its dashboard, which answers questions about its actors.

    Attributes:
        was_connected: true if the process was connected to Ray before.
        is_private: true if this process started the Ray for itself.
        folder: folder of all files of a private Ray.
        scratch: folder for files of the workers; a private Ray also spills objects there.
        node_id: Ray's id of this machine; empty if it is not a node of the cluster.
        worker_environment: runtime environment in which workers can import the modules that the driver can import.
    """

    def __init__(self, address: str, *, with_api_server: bool = False) -> None:
        self._environment_before = {name: os.environ.get(name) for name in ("RAY_AUTH_MODE",)}
        self.was_connected = ray.is_initialized()
        if address == CONNECTED and not self.was_connected:
            raise PoolError(
                f"executor.address={CONNECTED} requires that this process is connected to a Ray, and it is not. Let "
                "the resource connect while it is set up (lifecycle.connect of dagster-ray), or give an address."
            )
        self.is_private = not self.was_connected and address == "local"
        self.folder = _make_session_folder()
        scratch = _make_scratch_folder(self.folder)
        self._held_scratch = hold(Path(scratch))
        self._cleanup_process = _start_cleanup_process(self.folder, scratch)
        try:
            if self.is_private:
                start_private_ray(self.folder, scratch, with_api_server=with_api_server)
            elif not self.was_connected:
                connect(address)
            self.node_id = _driver_node_id()
            self.scratch = ScratchFolder(scratch, self.node_id)
        except BaseException:  # an interrupt too: started processes and folders must not stay
            self.close()
            raise
        self.worker_environment = _worker_environment()
        self._nodes: list[Node] = []
        self._nodes_asked_at = 0.0

    def close(self) -> None:
        """Disconnect, which ends a private Ray, and remove the folders."""
        if not self.was_connected:
            ray.shutdown()
            ray._private.worker._worker_logs_enabled = True
        self._held_scratch.close()
        self._cleanup_process.communicate(cleanup_process.CLEAN_EXIT)
        # A private Ray enables token authentication for the whole process, which must not affect later connections.
        for name, value in self._environment_before.items() if not self.was_connected else ():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value

    def check_health(self) -> None:
        """Raise if the private Ray lost a process that it requires.

        To be called before any call to Ray: without its raylet, Ray ends this process without a message; without its
        GCS, the call waits.

        Raises:
            PoolError: a required process is gone.
        """
        node: Any = ray._private.worker._global_node
        lost = (
            sorted({name for name, _ in node.dead_processes()} & REQUIRED_PROCESSES) if self.is_private and node else []
        )
        if lost:
            raise PoolError(
                f"Ray must run until the work is done, but its process {lost[0]} ended: it was killed, or the machine "
                "ran out of memory. What is done stays, and the same command goes on from there."
            )

    def shape_of(self, resources: Resources, rounding: GpuRounding = "up") -> Shape:
        """The shape of a worker with these resources: a share of the smallest GPU, at most the CPUs of one node.

        That is the largest of the nodes that have the GPUs. Where none has a CPU, as a head that gets no work, an
        autoscaler brings nodes; then the CPUs stay as they are asked for.
        """
        memory_gb = self.gpu_memory_gb if resources.gpu_memory_gb else DEFAULT_GPU_MEMORY_GB
        gpus = resources.gpu_share(memory_gb, rounding)
        max_cpus = max((node.cpus for node in self.nodes if node.gpus >= gpus), default=0.0)
        return Shape(min(resources.cpus, max_cpus or resources.cpus), gpus)

    def request(self, shapes: list[Shape]) -> None:
        """Ask Ray's autoscaler, if there is one, for room for workers of these shapes, those that are there included.

        The request holds until the next one, also after this process has ended; so a run ends with an empty one.
        """
        if self.is_private:
            return
        bundles = [
            {name: count for name, count in (("CPU", shape.cpus), ("GPU", shape.gpus)) if count} for shape in shapes
        ]
        if self.node_id:
            request_resources(bundles=bundles)
        else:  # what keeps the request may be out of reach of a driver outside of the cluster
            ask = ray.remote(num_cpus=0, max_retries=0)(_request_resources)
            ray.get(ask.remote(bundles))

    def remove_scratch(self, node_ids: Iterable[str]) -> None:
        """Remove the scratch folders on other machines, whose workers have ended; one that is late stays.

        The next worker on that machine removes what stayed, of whatever session.
        """
        others = set(node_ids) - {self.node_id}
        if others:
            others.intersection_update(node.node_id for node in self.nodes)
            remove = ScratchFolder.remove_here
            timeout_s = 2 * MAX_RELEASE_S
            call_on_nodes(remove, others, self.scratch, environment=self.worker_environment, timeout_s=timeout_s)

    @property
    def total_resources(self) -> Shape:
        """CPUs and GPUs of the whole cluster."""
        return Shape(sum(node.cpus for node in self.nodes), sum(node.gpus for node in self.nodes))

    @property
    def object_store_bytes(self) -> float:
        """Bytes of the object stores of all nodes."""
        return sum(node.object_store_bytes for node in self.nodes)

    @property
    def available_resources(self) -> Shape:
        """CPUs and GPUs that were free a moment ago; all CPUs and GPUs of a private Ray, which has no other user."""
        if self.is_private:
            return self.total_resources
        available = ray.available_resources()
        return Shape(available.get("CPU", 0.0), available.get("GPU", 0.0))

    @property
    def nodes(self) -> list[Node]:
        """The nodes that are alive. A private Ray is asked once: without its GCS, the answer would not come."""
        now = time.monotonic()
        if not self._nodes or (not self.is_private and now - self._nodes_asked_at > NODES_ASKED_EVERY_S):
            self._nodes, self._nodes_asked_at = _alive_nodes(), now
        return self._nodes

    @cached_property
    def gpu_memory_gb(self) -> float:
        """GiB of the smallest GPU of the cluster, measured on each node that has one."""
        nodes = [node.node_id for node in self.nodes if node.gpus]
        answers = call_on_nodes(smallest_gpu_gb, nodes, environment=self.worker_environment)
        sizes = [size for size in answers.values() if size]
        if not sizes:
            logger.warning("No GPU of the cluster says how much memory it has; taking %s GiB", DEFAULT_GPU_MEMORY_GB)
        return min(sizes, default=DEFAULT_GPU_MEMORY_GB)


def _make_session_folder() -> str:
    """Make an empty folder where Ray would; in /tmp where the paths of its sockets would be too long there."""
    preferred = os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()
    parent = preferred if len(preferred) <= MAX_PARENT_BYTES else "/tmp"
    os.makedirs(parent, exist_ok=True)
    # Resolved, because /proc shows the resolved paths of the files that a process has open.
    return os.path.realpath(tempfile.mkdtemp(prefix=PREFIX, dir=parent))


def _make_scratch_folder(folder: str) -> str:
    """Make an empty folder among the user's temporary files; inside the session's folder where that is there too."""
    parent = os.path.realpath(tempfile.gettempdir())
    path = os.path.join(folder if os.path.dirname(folder) == parent else parent, os.path.basename(folder))
    os.mkdir(path, mode=0o700)
    return path


def _start_cleanup_process(*folders: str) -> subprocess.Popen[bytes]:
    """Start the process that ends the Ray of the first folder, and removes all folders, however this one ends."""
    command = [sys.executable, "-I", cleanup_process.__file__, *folders]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True)


def _worker_environment() -> dict[str, Any]:
    """A runtime environment in which workers can import what the driver can; empty, hence faster, if they can anyway.

    Ray itself passes on the folder of the script and the current one; installed packages are the same in a worker.
    """
    known = {os.getcwd(), str(Path(sys.argv[0]).resolve().parent)}
    installed = (sys.prefix, sys.base_prefix)
    paths = [os.path.abspath(path) for path in sys.path]
    missing = [path for path in paths if path not in known and not path.startswith(installed) and os.path.exists(path)]
    return {"env_vars": {"PYTHONPATH": os.pathsep.join(missing)}} if missing else {}


def _driver_node_id() -> str:
    """Node id of this machine; empty over ray://: the driver is outside the cluster, and Ray gives the server's."""
    return "" if client_mode_should_convert() else ray.get_runtime_context().get_node_id()


def _request_resources(bundles: list[dict[str, float]]) -> None:
    request_resources(bundles=bundles)


def _alive_nodes() -> list[Node]:
    names = ("CPU", "GPU", "object_store_memory")
    return [
        Node(node["NodeID"], *(node["Resources"].get(name, 0.0) for name in names))
        for node in ray.nodes()
        if node["Alive"]
    ]
