"""A file system of a few kilobytes, mounted for a test, that can be enlarged."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


class SmallDisk:
    """A file system in memory, with a capacity in pages of 4 KiB.

    Attributes:
        path: the mount point.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def resize(self, size_bytes: int) -> None:
        """Change the capacity; existing files stay."""
        _mount("-o", f"remount,size={size_bytes}", str(self.path))


@contextmanager
def small_disk(path: Path, size_bytes: int) -> Iterator[SmallDisk]:
    """A disk that is unmounted after the block. Without the right to mount, the test skips, or
    fails if `CURATOR_REQUIRE_SHARED` is set.
    """
    path.mkdir()
    mounted = _mount("-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(path))
    if mounted.returncode != 0:
        if os.environ.get("CURATOR_REQUIRE_SHARED"):
            pytest.fail(f"CURATOR_REQUIRE_SHARED is set and no disk can be mounted: {mounted.stderr}")
        pytest.skip(f"needs the right to mount a disk: {mounted.stderr}")
    try:
        yield SmallDisk(path)
    finally:
        subprocess.run(["umount", str(path)], check=True)


def _mount(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
