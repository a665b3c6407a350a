"""A small process that outlives its driver just long enough to end the Ray that the driver started.

Ray's own processes notice a driver that was killed, but some of its agents stay for a long time. This one waits for the
end of its standard input, which the system closes however the driver ends, then kills what is left of that Ray, and
removes the folders that it lived in. It imports nothing but the standard library, so that it costs some 10 MB.

    python guardian.py FOLDER ANOTHER... < pipe

The first folder is the one that the processes of that Ray carry in their environment.
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

LOOK_EVERY_S = 2.0
SEARCHES = 50
PAUSE_S = 0.2
"""Between two searches at the end; a process that is just starting shows up late."""
FAREWELL = b"end"
"""What a driver writes that ends in good order."""
LAST_WORDS = (
    "curator: the process at work ended without a word: it was killed, or its Ray was. What is done stays, and the "
    "same command goes on from there."
)
RAYLET_LOGS = ("/raylet.out", "/raylet.err")
VARIABLE = "CURATOR_SESSION"
"""Holds the folder in the environment of a private Ray's processes, and of all that they start."""


class Process(NamedTuple):
    """One process; the time of its start tells it from a later one with the same number."""

    pid: int
    started: str


def guard(folder: str, *others: str) -> None:
    """Wait for the driver's end, then kill the Ray of the folder, for ten seconds at most, and remove all folders."""
    seen = set(processes_of(folder))
    while not select.select([sys.stdin], [], [], LOOK_EVERY_S)[0]:
        seen.update(processes_of(folder))
    if os.read(sys.stdin.fileno(), len(FAREWELL)) != FAREWELL:
        # Killed, or ended by Ray itself, which says nothing where it finds its raylet gone.
        print(LAST_WORDS, file=sys.stderr, flush=True)  # noqa: T201 - the driver cannot say it any more
    for _ in range(SEARCHES):
        left = (seen | set(processes_of(folder))) & {process for process, _ in _running()}
        if not left:
            break
        for process in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        time.sleep(PAUSE_S)
    for path in (folder, *others):
        shutil.rmtree(path, ignore_errors=True)


def processes_of(folder: str) -> Iterator[Process]:
    """Processes of the Ray that lives in a folder, and all that descend from them; this one left out.

    They carry the folder in their environment, or, where their title is written over that as agents and workers do,
    write to the raylet's log. A process that names the folder or reads in it is somebody else's.
    """
    running = dict(_running())
    by_pid = {process.pid: process for process in running}
    children: dict[int, list[int]] = {}
    for process, parent in running.items():
        children.setdefault(parent, []).append(process.pid)
    pids = [process.pid for process in running]
    waiting = [pid for pid in pids if _carries(pid, folder) or _writes_for_raylet(pid, folder)]
    found: set[int] = set()
    while waiting:
        pid = waiting.pop()
        if pid not in found and pid != os.getpid():
            found.add(pid)
            waiting.extend(children.get(pid, []))
    return (by_pid[pid] for pid in found)


def _running() -> Iterator[tuple[Process, int]]:
    """Every process of this machine that is no zombie, with its parent's number."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                # The name, in parentheses, may hold anything; the fields after it are: state, parent, ...
                fields = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
                if fields[0] != "Z":
                    yield Process(int(folder.name), fields[19]), int(fields[1])


def _carries(pid: int, folder: str) -> bool:
    try:
        return f"{VARIABLE}={folder}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False


def _writes_for_raylet(pid: int, folder: str) -> bool:
    """Whether it has the raylet's log open to write, as all that it started; the driver has other files there."""
    try:
        with os.scandir(f"/proc/{pid}/fd") as entries:
            held = {os.readlink(entry.path) for entry in entries if os.lstat(entry.path).st_mode & stat.S_IWUSR}
    except OSError:
        return False
    return any(path.startswith(f"{folder}/") and path.endswith(RAYLET_LOGS) for path in held)


if __name__ == "__main__":
    guard(*sys.argv[1:])
