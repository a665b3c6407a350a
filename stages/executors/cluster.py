"""The Ray that the work runs on: a private one for this process, or one that is there already."""

import logging
import os
import subprocess
import sys
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import ray
import ray._private.ray_constants
import ray._private.worker
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from stages.errors import PoolError
from stages.executors import guardian
from stages.resources import Resources

logger = logging.getLogger(__name__)

DEFAULT_GPU_MEMORY_GB = 24.0
"""Assumed where no GPU says how much memory it has."""


class Shape(NamedTuple):
    """What a worker takes of the cluster; workers of one shape can stand in for one another."""

    cpus: float
    gpus: float


class Cluster:
    """A connection to Ray. Ends the Ray that it started and no other."""

    def __init__(self, address: str) -> None:
        self._environment = {name: os.environ.get(name) for name in ("RAY_AUTH_MODE",)}
        self.is_joined = ray.is_initialized()
        self.is_private = not self.is_joined and address == "local"
        self._guardian: subprocess.Popen[bytes] | None = None
        if not self.is_joined:
            _connect(address)
        if self.is_private:
            self._guardian = _start_guardian()
        self.node_id = ray.get_runtime_context().get_node_id()
        self.environment = _worker_environment()

    def close(self) -> None:
        """Disconnect; a private Ray ends with that."""
        if self.is_joined:
            return
        ray.shutdown()
        if self._guardian is not None:
            self._guardian.communicate()
        ray._private.worker._worker_logs_enabled = True
        # A private Ray turns token authentication on for the whole process, where later connections may not want it.
        for name, value in self._environment.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value

    def shape_of(self, resources: Resources) -> Shape:
        """What a worker of these resources takes here: a share of the smallest GPU, CPUs of one node at most."""
        memory_gb = self.gpu_memory_gb if resources.gpu_memory_gb else DEFAULT_GPU_MEMORY_GB
        most = max((node.get("CPU", 0.0) for node in _nodes()), default=1.0)
        return Shape(min(resources.cpus, most), resources.gpu_share(memory_gb))

    @property
    def total(self) -> Shape:
        """Everything the cluster has."""
        nodes = _nodes()
        return Shape(sum(node.get("CPU", 0.0) for node in nodes), sum(node.get("GPU", 0.0) for node in nodes))

    @property
    def free(self) -> Shape:
        """What nobody holds, a moment ago."""
        available = ray.available_resources()
        return Shape(available.get("CPU", 0.0), available.get("GPU", 0.0))

    @cached_property
    def gpu_memory_gb(self) -> float:
        """GiB of the smallest GPU of the cluster, asked of each node that has one."""
        ask = ray.remote(num_cpus=0, max_retries=0)(_smallest_gpu_gb)
        nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"] and node["Resources"].get("GPU")]
        there = [NodeAffinitySchedulingStrategy(node, soft=False) for node in nodes]
        asked = [ask.options(scheduling_strategy=node).remote() for node in there]
        found = [size for size in ray.get(asked) if size]
        if not found:
            logger.warning("No GPU of the cluster says how much memory it has; taking %s GiB", DEFAULT_GPU_MEMORY_GB)
        return min(found, default=DEFAULT_GPU_MEMORY_GB)


def _connect(address: str) -> None:
    # Ray has no option for these two. The first: under `uv run` it would build the environment anew on each node.
    if "RAY_ENABLE_UV_RUN_RUNTIME_ENV" not in os.environ:
        ray._private.ray_constants.RAY_ENABLE_UV_RUN_RUNTIME_ENV = False
    # The second: it prints "(raylet) A worker died" on stdout, where data goes. The pool reports deaths itself.
    ray._private.worker._worker_logs_enabled = False
    started: dict[str, Any] = {"include_dashboard": False} if address == "local" else {}
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **started)
    except ConnectionError as error:
        raise PoolError(f"executor.address must lead to a running Ray, got {address!r}: {error}") from error


def _start_guardian() -> subprocess.Popen[bytes]:
    """The process that ends this private Ray where the driver is killed; it ends when its input is closed."""
    session = ray.get_runtime_context().get_session_name()
    command = [sys.executable, "-I", guardian.__file__, session]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True)


def _worker_environment() -> dict[str, Any]:
    """A runtime environment in which workers import what the driver can; empty, hence faster, where they do already.

    Ray itself hands on the folder of the script and the current one; what the interpreter has, the worker's has too.
    """
    known = {os.getcwd(), str(Path(sys.argv[0]).resolve().parent)}
    installed = (sys.prefix, sys.base_prefix)
    paths = [os.path.abspath(path) for path in sys.path]
    missing = [path for path in paths if path not in known and not path.startswith(installed) and os.path.exists(path)]
    return {"env_vars": {"PYTHONPATH": os.pathsep.join(missing)}} if missing else {}


def _nodes() -> list[dict[str, float]]:
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _smallest_gpu_gb() -> float | None:
    """GiB of this machine's smallest GPU; None where the driver's tool is missing or fails."""
    command = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return smallest_gb(answer)


def smallest_gb(answer: str) -> float | None:
    """The smallest figure of ``nvidia-smi``'s answer, one line of MiB a GPU, in GiB; None if there is none."""
    return min((int(line) / 1024 for line in answer.split() if line.isdigit()), default=None)
