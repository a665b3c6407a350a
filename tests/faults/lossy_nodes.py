"""A Ray of a head without CPUs and of nodes that can be lost, each started as a person starts one."""

import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.deploy.ray_nodes import running_node
from tests.faults.command import PROJECT
from tests.faults.waiting import wait_until
from tests.object_store import free_port

ENVIRONMENT = {"RAY_AUTH_MODE": "disabled", "PYTHONPATH": str(PROJECT)}
"""Alike for nodes and drivers: who starts Ray on this machine alone turns authentication on for all that follows."""
NODE_LOSS_SETTINGS = {
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_failure_threshold": "5",
    "RAY_NUM_REDIS_GET_RETRIES": "120",
}
"""Of the head: a node that answers no more is lost after five seconds instead of fifteen; on a busy machine its control
store has two minutes to start instead of 20 s, after which the head would end."""


@dataclass
class LossyNodes:
    """The nodes, without the head.

    Attributes:
        address: of the control store.
        folder: of logs, and of what each node has in place of a machine's folder for temporary files.
        num_cpus: of each node.
        env: environment variables of each node, beside `ENVIRONMENT`.
        running: by number, the process that holds the node; numbers are not used again.
    """

    address: str
    folder: Path
    num_cpus: int
    env: Mapping[str, str]
    running: dict[int, subprocess.Popen[bytes]] = field(default_factory=lambda: {})
    _stack: ExitStack = field(default_factory=ExitStack)
    _num_started: int = 0

    def add(self) -> None:
        """Start one more node."""
        number = self._num_started
        self._num_started += 1
        self.temporary(number).mkdir()
        env = {**ENVIRONMENT, **self.env, "TMPDIR": str(self.temporary(number))}
        arguments = [f"--address={self.address}", f"--num-cpus={self.num_cpus}", "--num-gpus=0"]
        node = running_node(self.folder / f"node-{number}.log", *arguments, env=env)
        self.running[number] = self._stack.enter_context(node)

    def temporary(self, number: int) -> Path:
        """The folder for temporary files of a node."""
        return self.folder / f"tmp-{number}"

    def lose_node(self, number: int) -> None:
        """SIGKILL the raylet of a node, whose other processes end with it, and start another node in its place."""
        node = self.running.pop(number)
        os.kill(_raylet(node), signal.SIGKILL)
        wait_until(lambda: node.poll() is not None, describe=lambda: node.pid)
        self.add()

    def worker_pids(self) -> list[int]:
        """Process ids of the workers of all nodes, in ascending order."""
        raylets = [_raylet(node) for node in self.running.values()]
        return sorted(pid for raylet in raylets for pid in _children(raylet) if "ray::Worker" in _command_line(pid))

    def lose_worker(self, choice: int) -> None:
        """SIGKILL one worker, once there is one."""
        wait_until(lambda: bool(self.worker_pids()), describe=self.worker_pids, pid=os.getpid())
        pids = self.worker_pids()
        os.kill(pids[choice % len(pids)], signal.SIGKILL)

    def close(self) -> None:
        """End all nodes."""
        self._stack.close()


@contextmanager
def lossy_nodes(
    folder: Path, count: int, *, num_cpus: int = 1, env: Mapping[str, str] | None = None
) -> Iterator[LossyNodes]:
    """A head without CPUs, and so many nodes."""
    port = free_port()
    # Short, for the paths of sockets.
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True) as session:
        head = [
            "--head",
            f"--temp-dir={session}",
            "--include-dashboard=false",
            "--num-cpus=0",
            "--num-gpus=0",
            f"--port={port}",
            f"--ray-client-server-port={free_port()}",
            "--min-worker-port=0",
            "--max-worker-port=0",
        ]
        with running_node(folder / "head.log", *head, env={**ENVIRONMENT, **NODE_LOSS_SETTINGS}):
            nodes = LossyNodes(f"127.0.0.1:{port}", folder, num_cpus, env or {})
            try:
                for _ in range(count):
                    nodes.add()
                yield nodes
            finally:
                nodes.close()


def _raylet(node: subprocess.Popen[bytes]) -> int:
    """Process id of the raylet that `ray start` started."""
    (pid,) = [pid for pid in _children(node.pid) if "raylet/raylet" in _command_line(pid).partition(" ")[0]]
    return pid


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:  # it has ended
        return []


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""
