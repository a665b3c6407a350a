"""Life signs: what each worker of a node says of its progress, in a file, so that any worker there can tell of all.

A file is written anew each second, in place: a disk that is full by then makes no worker look as if it hung. A worker
whose C code holds the GIL writes nothing, and shows no progress.
"""

import json
import os
import threading
import time
import zlib
from pathlib import Path
from typing import NamedTuple

from stages import heartbeat
from stages.executors.process_memory import private_bytes

INTERVAL_S = 1.0
MAX_AGE_S = 600.0
"""A file that was not written for so long is that of a worker that ended, or hangs: both make no progress."""
_SUFFIX = ".signs"
_BYTES = 4096


class Signs(NamedTuple):
    """What a worker says of itself: heartbeats so far, private memory, and what the batch in work has counted."""

    beats: int
    memory_bytes: int
    counters: dict[str, float]


def own_signs() -> Signs:
    """The signs of this process."""
    return Signs(heartbeat.beats(), private_bytes() or 0, heartbeat.counts())


def write_signs(folder: Path, worker_id: str) -> None:
    """Write the signs of this process into a folder, each second from now on, in a thread.

    Raises:
        OSError: the disk is full, or the folder is gone.
    """
    file = os.open(folder / f"{worker_id}{_SUFFIX}", os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    _write(file)
    threading.Thread(target=_write_on, args=(file,), name="life signs", daemon=True).start()


def read_signs(folder: Path) -> dict[str, Signs]:
    """The signs of the workers of this node by their ids, as far as they can be read."""
    found: dict[str, Signs] = {}
    oldest = time.time() - MAX_AGE_S
    with os.scandir(folder) as entries:
        files = [entry for entry in entries if entry.name.endswith(_SUFFIX) and entry.stat().st_mtime >= oldest]
    for entry in files:
        signs = _decoded(Path(entry.path).read_bytes())
        if signs is not None:
            found[entry.name.removesuffix(_SUFFIX)] = signs
    return found


def _write_on(file: int) -> None:
    while True:
        time.sleep(INTERVAL_S)
        _write(file)


def _write(file: int) -> None:
    signs = own_signs()
    data = _encoded(signs)
    os.pwrite(file, data if len(data) == _BYTES else _encoded(signs._replace(counters={})), 0)


def _encoded(signs: Signs) -> bytes:
    text = json.dumps(signs).encode()
    return b"%08x %s" % (zlib.crc32(text), text.ljust(_BYTES - 9))


def _decoded(data: bytes) -> Signs | None:
    """The signs; None where they are being written."""
    text = data[9:].rstrip()
    return Signs(*json.loads(text)) if data[:8] == b"%08x" % zlib.crc32(text) else None
