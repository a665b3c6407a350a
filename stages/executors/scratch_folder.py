"""Where the files lie that workers need for a while: clips being cut, frame stores, hundreds of MB each."""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Scratch:
    """The folder of a session's workers, in the folder for temporary files of each machine.

    Attributes:
        path: on the driver's machine; its name is no other session's.
        node_id: of that machine.
    """

    path: str
    node_id: str

    def on(self, node_id: str) -> Path:
        """The folder on the machine where this is called, made if it is missing.

        On the driver's machine it is the driver's, which goes with the session, unless it is closed to this process
        (of another user, or in another container).
        """
        given = Path(self.path)
        if node_id == self.node_id and os.access(given, os.W_OK | os.X_OK):
            return given
        here = Path(tempfile.gettempdir(), given.name)
        here.mkdir(mode=0o700, exist_ok=True)
        return here


def fault_file(folder: str | Path, worker_id: str) -> Path:
    """Where a worker says which signal ended it."""
    return Path(folder) / f"{worker_id}.fault"
