"""Folders for temporary files of workers: clips being cut, frame stores, hundreds of MB each."""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path


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
        own = Path(tempfile.gettempdir(), given.name)
        own.mkdir(mode=0o700, exist_ok=True)
        return own


def fault_file(folder: str | Path, worker_id: str) -> Path:
    """The file in which faulthandler writes the signal that ended a worker."""
    return Path(folder) / f"{worker_id}.fault"
