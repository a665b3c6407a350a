"""Weights files in installed packages, and their hashes, which enter keys and rows. Does not import torch."""

import functools
import hashlib
import importlib.util
import os
from pathlib import Path

from stages.errors import ParamsError

HASH_DIGITS = 16


def package_file(package: str, relative: str) -> Path:
    """Path of a file in an installed package, found without importing the package.

    Raises:
        ParamsError: the package is not installed or lacks the file.
    """
    spec = importlib.util.find_spec(package)
    folders = spec.submodule_search_locations if spec else None
    if not folders:
        raise ParamsError(f"Package {package!r} must be installed, got none. Run: pip install curator-dagster")
    path = Path(folders[0]) / relative
    if not path.is_file():
        raise ParamsError(
            f"Package {package!r} must hold {relative!r}, got no such file in {folders[0]}. Reinstall it."
        )
    return path


def file_hash(path: str | os.PathLike[str]) -> str:
    """First 16 hex digits of a file's SHA-256; cached while its size and modification time stay the same.

    Raises:
        FileNotFoundError: the file does not exist.
    """
    stat = os.stat(path)
    return _cached_hash(os.fspath(path), stat.st_size, stat.st_mtime_ns)


@functools.lru_cache(maxsize=256)
def _cached_hash(path: str, size: int, modified_ns: int) -> str:
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()[:HASH_DIGITS]
