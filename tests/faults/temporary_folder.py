"""A folder for the temporary files of one driver."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """An empty folder for the TMPDIR of a process that starts a Ray; removed after the block."""
    # The short path leaves room for Ray's sockets below it, whose paths may have at most 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="k-", dir="/tmp"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
