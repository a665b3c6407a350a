"""Reads the contents of a root: tables, their versions, and their row files."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from stages.errors import TRANSIENT_REASONS
from stages.manifest import Commit, ManifestRef, committed_partitions, last_commit, load_commit, read_manifest
from stages.manifest.row_files import read_footer
from stages.schemas import ASSETS
from stages.signals import SIGNALS_FOLDER
from stages.storage import Storage
from stages.tasks import Row

Tables = dict[str, list[Row]]
"""Rows by asset."""


def tables(root: Path | str) -> Tables:
    """The rows of all tables that are committed."""
    assets = [asset for asset in ASSETS if committed_partitions(Storage(root), asset)]
    return {asset: read_manifest(str(root), asset).to_pylist() for asset in assets}


def committed_tables(storage: Storage) -> Iterator[ManifestRef]:
    """Every table that has a commit, asset by asset."""
    for asset in ASSETS:
        for partition in committed_partitions(storage, asset):
            yield ManifestRef(storage.root, asset, partition)


def versions(storage: Storage, ref: ManifestRef) -> Iterator[Commit]:
    """All versions of a table, oldest first. Fails if a number between is missing."""
    newest = last_commit(storage, ref)
    for number in range(1, newest.number + 1 if newest else 1):
        yield load_commit(storage, ref, number)


def check_files_whole(storage: Storage, ref: ManifestRef, commit: Commit) -> None:
    """Check that every file that a version of a table names exists with the committed SHA-256."""
    for entry in commit.files:
        sha256 = hashlib.sha256(storage.read_bytes(entry.path)).hexdigest()
        assert sha256 == entry.sha256, f"{entry.path}, of {ref.folder} version {commit.number}"


def row_files(root: Path | str) -> set[str]:
    """Paths of all row files below the root, committed or not."""
    found = {info.path for info in Storage(root).list("manifests") if info.path.endswith(".parquet")}
    return {path for path in found if not path.startswith(f"{SIGNALS_FOLDER}/")}


def lasting_rows(root: Path | str) -> Counter[str]:
    """By row key, the number of row files with lasting (not transient) rows of an item; above 1: computed twice."""
    found: Counter[str] = Counter()
    storage = Storage(root)
    for path in row_files(root):
        footer = read_footer(storage, path)
        passing = {key for key, reasons in footer["failed"].items() if set(reasons) & set(TRANSIENT_REASONS)}
        found.update(set(footer["items"]) - set(footer["transient"]) - passing)
    return found
