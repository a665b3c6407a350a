"""The cleanup process: kills the remaining processes of a private Ray and removes its folders after the driver's end.

Ray's own processes notice that a driver was killed, but some of its agents stay for a long time. This process waits for
the end of its standard input, which the system closes however the driver ends. Then it kills the remaining processes of
that Ray and removes the folders. It imports only the standard library, so that it needs only some 10 MB.

    python cleanup_process.py FOLDER ANOTHER... < pipe

The first folder identifies the Ray: its processes have the folder in their environment.
"""

import contextlib
import os
import select
import shutil
import signal
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

SCAN_INTERVAL_S = 2.0
MAX_KILL_ROUNDS = 50
KILL_INTERVAL_S = 0.2
"""Wait between two rounds of the kill; a process that is just starting shows up late."""
CLEAN_EXIT = b"end"
"""Written to the standard input of this process by a driver that ends normally."""
DRIVER_LOST_MESSAGE = (
    "curator: the process at work ended without a word: it was killed, or its Ray was. What is done stays, and the "
    "same command goes on from there."
)
RAYLET_LOGS = ("/raylet.out", "/raylet.err")
SESSION_VARIABLE = "CURATOR_SESSION"
"""Environment variable with the folder, set for the processes of a private Ray and inherited by their children."""


class Process(NamedTuple):
    """One process. Its start time distinguishes it from a later process with the same id."""

    pid: int
    start_time: str


def clean_up_after_driver(folder: str, *others: str) -> None:
    """Wait for the driver's end, then kill the Ray of the folder, for ten seconds at most, and remove all folders."""
    seen = set(processes_of(folder))
    while not select.select([sys.stdin], [], [], SCAN_INTERVAL_S)[0]:
        seen.update(processes_of(folder))
    if os.read(sys.stdin.fileno(), len(CLEAN_EXIT)) != CLEAN_EXIT:
        # The driver was killed, or Ray ended it, which prints nothing when its raylet is gone.
        print(DRIVER_LOST_MESSAGE, file=sys.stderr, flush=True)  # noqa: T201 - the driver cannot print it any more
    for _ in range(MAX_KILL_ROUNDS):
        left = (seen | set(processes_of(folder))) & {process for process, _ in _running()}
        if not left:
            break
        for process in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        time.sleep(KILL_INTERVAL_S)
    for path in (folder, *others):
        shutil.rmtree(path, ignore_errors=True)


def processes_of(folder: str) -> Iterator[Process]:
    """Processes of the Ray of a folder and all their descendants, without this process.

    They have the folder in their environment, or have the raylet's log open for writing: agents and workers set a title
    that overwrites their environment. A process that only names the folder or reads in it is not one of them.
    """
    running = dict(_running())
    by_pid = {process.pid: process for process in running}
    children: dict[int, list[int]] = {}
    for process, parent in running.items():
        children.setdefault(parent, []).append(process.pid)
    pids = [process.pid for process in running]
    waiting = [pid for pid in pids if _has_session_variable(pid, folder) or _writes_raylet_log(pid, folder)]
    found: set[int] = set()
    while waiting:
        pid = waiting.pop()
        if pid not in found and pid != os.getpid():
            found.add(pid)
            waiting.extend(children.get(pid, []))
    return (by_pid[pid] for pid in found)


def _running() -> Iterator[tuple[Process, int]]:
    """Every process of this machine except zombies, with its parent's id."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                # The name, in parentheses, may hold anything; the fields after it are: state, parent, ...
                fields = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
                if fields[0] != "Z":
                    yield Process(int(folder.name), fields[19]), int(fields[1])


def _has_session_variable(pid: int, folder: str) -> bool:
    try:
        return f"{SESSION_VARIABLE}={folder}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False


def _writes_raylet_log(pid: int, folder: str) -> bool:
    """True if it has the raylet's log open for writing, as all that the raylet started; the driver has other logs."""
    try:
        with os.scandir(f"/proc/{pid}/fd") as entries:
            held = {os.readlink(entry.path) for entry in entries if os.lstat(entry.path).st_mode & stat.S_IWUSR}
    except OSError:
        return False
    return any(path.startswith(f"{folder}/") and path.endswith(RAYLET_LOGS) for path in held)


if __name__ == "__main__":
    clean_up_after_driver(*sys.argv[1:])
