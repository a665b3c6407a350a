"""The Ray that the work runs on: a private one for this process, or one that is there already.

A session has a folder, in which all of a private Ray lies, and one for files of its workers. A guardian ends what is
left of that Ray and removes both.
"""

import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import ray
import ray._private.ray_constants
import ray._private.worker
from ray._private.client_mode_hook import client_mode_should_convert
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from stages.errors import PoolError
from stages.executors import guardian
from stages.executors.scratch import Scratch
from stages.resources import Resources

logger = logging.getLogger(__name__)

DEFAULT_GPU_MEMORY_GB = 24.0
"""Assumed where no GPU says how much memory it has."""
CONNECTED = "connected"
"""The address that stands for the Ray that this process is connected to already."""
VITAL = {"raylet", "gcs_server"}
"""Processes of Ray, in its own words, that a private Ray cannot do without."""
LONGEST_PARENT = 24
"""Bytes; the path of a socket may have 107, and Ray's own part of it takes up to 83 of them."""
SPILLING = {"RAY_TMPDIR", "RAY_object_spilling_directory", "RAY_object_spilling_config"}
"""By these users say themselves where Ray may put objects that memory does not hold."""
_NOT_THERE = ConnectionError | TimeoutError | RuntimeError | RayError
"""What Ray raises where it does not start, or is not found."""
_PRIVATE = {"gcs_rpc_server_reconnect_timeout_s": 10}
"""Seconds until Ray ends this process where its GCS is lost while it answers; 60 by default, for one that moves."""


class Shape(NamedTuple):
    """What a worker takes of the cluster; workers of one shape can stand in for one another."""

    cpus: float
    gpus: float


class Cluster:
    """A connection to Ray. Ends the Ray that it started and no other.

    Attributes:
        is_joined: the process was connected before.
        is_private: it started this Ray, for itself.
        folder: all of a private Ray lies in it.
        scratch: for files of the workers; a private Ray also puts there what memory does not hold.
        node_id: of this machine; empty where it is no node of the cluster.
        environment: what workers need to import what the driver can.
    """

    def __init__(self, address: str) -> None:
        self._environment = {name: os.environ.get(name) for name in ("RAY_AUTH_MODE",)}
        self.is_joined = ray.is_initialized()
        if address == CONNECTED and not self.is_joined:
            raise PoolError(
                f"executor.address={CONNECTED} requires that this process is connected to a Ray, and it is not. Let "
                "the resource connect while it is set up (lifecycle.connect of dagster-ray), or give an address."
            )
        self.is_private = not self.is_joined and address == "local"
        self.folder = _new_folder()
        scratch = _new_scratch(self.folder)
        self._guardian = _start_guardian(self.folder, scratch)
        try:
            if self.is_private:
                _start(self.folder, scratch)
            elif not self.is_joined:
                _connect(address)
            self.node_id = _own_node_id()
            self.scratch = Scratch(scratch, self.node_id)
        except BaseException:  # an interrupt too: what has started meanwhile must not stay
            self.close()
            raise
        self.environment = _worker_environment()

    def close(self) -> None:
        """Disconnect; a private Ray ends with that, and the folders go."""
        if not self.is_joined:
            ray.shutdown()
            ray._private.worker._worker_logs_enabled = True
        self._guardian.communicate(guardian.FAREWELL)
        # A private Ray turns token authentication on for the whole process, where later connections may not want it.
        for name, value in self._environment.items() if not self.is_joined else ():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value

    def check(self) -> None:
        """Raise where the private Ray lost a process that it cannot go on without.

        To be asked before anything is asked of Ray: without its raylet Ray ends this process without a word, and
        without its GCS it waits.

        Raises:
            PoolError: it did.
        """
        node: Any = ray._private.worker._global_node
        lost = sorted({name for name, _ in node.dead_processes()} & VITAL) if self.is_private and node else []
        if lost:
            raise PoolError(
                f"Ray must run until the work is done, but its process {lost[0]} ended: it was killed, or the machine "
                "ran out of memory. What is done stays, and the same command goes on from there."
            )

    def shape_of(self, resources: Resources) -> Shape:
        """What a worker of these resources takes here: a share of the smallest GPU, CPUs of one node at most."""
        memory_gb = self.gpu_memory_gb if resources.gpu_memory_gb else DEFAULT_GPU_MEMORY_GB
        most = max((node.get("CPU", 0.0) for node in self._nodes()), default=1.0)
        return Shape(min(resources.cpus, most), resources.gpu_share(memory_gb))

    @property
    def total(self) -> Shape:
        """Everything the cluster has."""
        nodes = self._nodes()
        return Shape(sum(node.get("CPU", 0.0) for node in nodes), sum(node.get("GPU", 0.0) for node in nodes))

    @property
    def free(self) -> Shape:
        """What nobody holds, a moment ago; all of a private Ray, of which nobody else holds anything."""
        if self.is_private:
            return self.total
        available = ray.available_resources()
        return Shape(available.get("CPU", 0.0), available.get("GPU", 0.0))

    def _nodes(self) -> list[dict[str, float]]:
        """What each machine has. A private Ray is asked once: without its GCS, the answer would not come."""
        return self._own if self.is_private else _nodes()

    @cached_property
    def _own(self) -> list[dict[str, float]]:
        return _nodes()

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


def _start(folder: str, scratch: str) -> None:
    """A private Ray, whose processes carry its folder in their environment, for the guardian."""
    spilling = {} if SPILLING & os.environ.keys() else {"object_spilling_directory": scratch}
    before = os.environ.get(guardian.VARIABLE)
    os.environ[guardian.VARIABLE] = folder
    try:
        _connect("local", include_dashboard=False, _temp_dir=folder, _system_config=_PRIVATE, **spilling)
    finally:
        os.environ.pop(guardian.VARIABLE)
        if before is not None:
            os.environ[guardian.VARIABLE] = before


def _connect(address: str, **started: Any) -> None:
    # Ray has no option for these two. The first: under `uv run` it would build the environment anew on each node.
    if "RAY_ENABLE_UV_RUN_RUNTIME_ENV" not in os.environ:
        ray._private.ray_constants.RAY_ENABLE_UV_RUN_RUNTIME_ENV = False
    # The second: it prints "(raylet) A worker died" on stdout, where data goes. The pool reports deaths itself.
    ray._private.worker._worker_logs_enabled = False
    with _own_sigterm():
        try:
            ray.init(
                address=address,
                log_to_driver=False,
                logging_level=logging.ERROR,
                runtime_env=_job_environment(),
                **started,
            )
        except Exception as error:  # a node that is late is a bare Exception
            if not isinstance(error, _NOT_THERE) and type(error) is not Exception:
                raise
            if not started:
                raise PoolError(f"executor.address must lead to a running Ray, got {address!r}: {error}") from error
            raise PoolError(
                f"Ray must start on this machine, got {type(error).__name__}: {str(error).strip().rstrip('.')}. "
                "Run the same command again when the machine has less to do."
            ) from error


@contextmanager
def _own_sigterm() -> Iterator[None]:
    """Whatever Ray does inside the block, SIGTERM is handled afterwards as before: Ray's handler exits the process."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    except SystemExit:
        if callable(before):
            before(signal.SIGTERM, None)
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


def _new_folder() -> str:
    """An empty folder where Ray would have its own; in /tmp where the paths of its sockets would be too long there."""
    wished = os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()
    parent = wished if len(wished) <= LONGEST_PARENT else "/tmp"
    os.makedirs(parent, exist_ok=True)
    # Resolved, as the system shows which files of it a process holds.
    return os.path.realpath(tempfile.mkdtemp(prefix="curator-", dir=parent))


def _new_scratch(folder: str) -> str:
    """An empty folder where the user wants temporary files; inside the session's folder where that lies there too."""
    parent = os.path.realpath(tempfile.gettempdir())
    path = os.path.join(folder if os.path.dirname(folder) == parent else parent, os.path.basename(folder))
    os.mkdir(path, mode=0o700)
    return path


def _start_guardian(*folders: str) -> subprocess.Popen[bytes]:
    """The process that ends the Ray of the first folder, and removes all, however this one ends, or its input."""
    command = [sys.executable, "-I", guardian.__file__, *folders]
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


def _job_environment() -> dict[str, Any] | None:
    """What each worker does first where a folder that it may search before ours has another `stages`."""
    ours = Path(__file__).resolve().parent.parent
    # The folder of the script and the current one come first in a worker; an empty entry is the current one.
    searched = [Path.cwd(), Path(sys.argv[0]).resolve().parent, *map(Path, sys.path)]
    others = [folder / "stages" for folder in searched if (folder / "stages").is_dir()]
    if all(other.samefile(ours) for other in others):
        return None
    return {"worker_process_setup_hook": "curator_dagster.bundled_stages.import_bundled_stages"}


def _own_node_id() -> str:
    """Of this machine; over ray:// the driver stands outside the cluster, and Ray answers with the server's node."""
    return "" if client_mode_should_convert() else ray.get_runtime_context().get_node_id()


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
