"""Folders for temporary files of workers: clips being cut, frame stores, hundreds of MB each.

On each machine a session has one folder, which its processes there hold by a lock. It is removed at the end of the
session. Where that end did not come, the next worker on the machine finds that nobody holds it, and removes it.
"""

import fcntl
import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

PREFIX = "curator-"
"""Of the names of scratch folders."""
LOCK_NAME = "in-use.lock"
"""The file by which processes hold a scratch folder; the system lets go of it when they end."""
MAX_RELEASE_S = 5.0
"""Workers that are killed let go of their folder within this time."""


@dataclass(frozen=True, slots=True)
class ScratchFolder:
    """The scratch folder of a session's workers, inside the folder for temporary files of each machine.

    Attributes:
        path: on the driver's machine; no other session has a folder of this name.
        node_id: of the driver's machine.
    """

    path: str
    node_id: str

    def path_on(self, node_id: str) -> Path:
        """The folder on the machine of this process, whose node id is given; made if it is missing.

        On the driver's machine it is the driver's, which is removed with the session, unless this process cannot write
        there (another user, or another container).
        """
        given = Path(self.path)
        if node_id == self.node_id and os.access(given, os.W_OK | os.X_OK):
            return given
        own = self._own()
        own.mkdir(mode=0o700, exist_ok=True)
        return own

    def remove_here(self) -> None:
        """Remove the folder on the machine of this process, once its workers are gone; not where others hold it."""
        deadline = time.monotonic() + MAX_RELEASE_S
        while not _remove_if_free(self._own()) and time.monotonic() < deadline:
            time.sleep(0.05)

    def _own(self) -> Path:
        return Path(tempfile.gettempdir(), Path(self.path).name)


def hold(folder: Path) -> IO[str]:
    """Hold a scratch folder until the file that is returned is closed, or this process ends."""
    while True:
        folder.mkdir(mode=0o700, exist_ok=True)
        lock = (folder / LOCK_NAME).open("w")
        fcntl.flock(lock, fcntl.LOCK_SH)
        if _is_in_place(lock, folder / LOCK_NAME):
            return lock
        lock.close()  # the folder was removed before it was held


def remove_abandoned(parent: Path) -> None:
    """Remove the scratch folders in a folder for temporary files whose sessions ended without a word."""
    for folder in parent.glob(f"{PREFIX}*"):
        _remove_if_free(folder)


def _remove_if_free(folder: Path) -> bool:
    """Remove a scratch folder of this user that nobody holds; false where somebody holds it."""
    try:
        if folder.is_symlink() or folder.stat().st_uid != os.getuid():
            return True
        lock = (folder / LOCK_NAME).open("r+")
    except OSError:  # it is gone, or no scratch folder
        return True
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        if _is_in_place(lock, folder / LOCK_NAME):
            shutil.rmtree(folder, ignore_errors=True)
    return True


def _is_in_place(lock: IO[str], path: Path) -> bool:
    """Whether an open file is still the one that has its name."""
    try:
        return os.path.samestat(os.fstat(lock.fileno()), path.stat())
    except FileNotFoundError:
        return False


def fault_file(folder: str | Path, worker_id: str) -> Path:
    """The file in which faulthandler writes the signal that ended a worker."""
    return Path(folder) / f"{worker_id}.fault"
