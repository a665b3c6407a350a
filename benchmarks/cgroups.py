"""Measures a command with all processes that it leaves behind, by a control group of its own.

Ray's processes are daemons: who only sums the children of a command misses most of what it costs.
"""

import subprocess
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

CGROUPS = Path("/sys/fs/cgroup")
SAMPLE_INTERVAL_S = 0.1
MIB = 1 << 20


@dataclass(frozen=True)
class Cost:
    """What a command took.

    Attributes:
        wall_s: until it ended.
        cpu_s: of all processes in its group, user and system.
        peak_mib: most anonymous and shared memory that they held at once; no page cache.
        output: its standard output and errors.
    """

    wall_s: float
    cpu_s: float
    peak_mib: float
    output: str


def measure(command: Sequence[str], *, env: dict[str, str] | None = None, cwd: Path | None = None) -> Cost:
    """Run a command in a control group of its own, then end whatever it left there.

    Raises:
        PermissionError: control groups cannot be made; who runs this must be root, or own a group.
        subprocess.CalledProcessError: the command failed; its output is part of the error.
    """
    with _group() as group, _peak_memory(group) as peak:
        started = time.monotonic()
        # The shell enters the group before it becomes the command, so that no child is ever outside.
        enter = " && ".join(f"echo $$ > {folder}/cgroup.procs" for folder in group.folders)
        entering = ["sh", "-c", f'{enter} && exec "$@"', "sh", *command]
        with TemporaryFile("w+") as file:  # a pipe would stay open as long as what is left behind
            run = subprocess.run(entering, env=env, cwd=cwd, stdout=file, stderr=subprocess.STDOUT)
            wall_s = time.monotonic() - started
            group.end_processes()
            file.seek(0)
            output = file.read()
        cpu_s = group.cpu_s()
    if run.returncode:
        failure = subprocess.CalledProcessError(run.returncode, command, output)
        failure.add_note(output[-4000:])
        raise failure
    return Cost(wall_s, cpu_s, peak.mib, output)


@dataclass(frozen=True)
class _Group:
    """A control group, of version 2, or of version 1 with a folder for each controller."""

    cpu: Path
    memory: Path

    @property
    def folders(self) -> list[Path]:
        return list(dict.fromkeys([self.cpu, self.memory]))

    def cpu_s(self) -> float:
        if (usage := self.cpu / "cpuacct.usage").exists():
            return int(usage.read_text()) / 1e9
        return _counts(self.cpu / "cpu.stat")["usage_usec"] / 1e6

    def memory_bytes(self) -> int:
        counts = _counts(self.memory / "memory.stat")
        if "total_rss" in counts:  # version 1, whose pages of shared memory count as cache
            return counts["total_rss"] + counts.get("total_shmem", 0)
        return counts["anon"] + counts["shmem"]

    def end_processes(self) -> None:
        while pids := (self.cpu / "cgroup.procs").read_text().split():
            subprocess.run(["kill", "-KILL", *pids], stderr=subprocess.DEVNULL)
            time.sleep(0.05)


@contextmanager
def _group() -> Iterator[_Group]:
    name = f"benchmark-{uuid.uuid4().hex[:8]}"
    if (CGROUPS / "cpuacct").is_dir():
        group = _Group(CGROUPS / "cpuacct" / name, CGROUPS / "memory" / name)
    else:
        (CGROUPS / "cgroup.subtree_control").write_text("+cpu +memory")
        group = _Group(CGROUPS / name, CGROUPS / name)
    for folder in group.folders:
        folder.mkdir()
    try:
        yield group
    finally:
        group.end_processes()
        for folder in group.folders:
            folder.rmdir()


class _Peak:
    mib = 0.0


@contextmanager
def _peak_memory(group: _Group) -> Iterator[_Peak]:
    """The most memory that the group held while the block ran, looked at ten times a second."""
    peak, ended = _Peak(), threading.Event()

    def watch() -> None:
        while not ended.wait(SAMPLE_INTERVAL_S):
            peak.mib = max(peak.mib, group.memory_bytes() / MIB)

    thread = threading.Thread(target=watch, name="peak memory")
    thread.start()
    try:
        yield peak
    finally:
        ended.set()
        thread.join()


def _counts(path: Path) -> dict[str, int]:
    return {name: int(value) for name, value in (line.split() for line in path.read_text().splitlines())}
