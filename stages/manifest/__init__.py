"""The tables between phases: row files of whole items, and commits that name the files of a version.

In: rows of an item under its keys, from the phase that computed or redecided them. Out: the newest version of a table,
or a given one; which items have rows already; the lineage of a clip.
"""

from stages.manifest.commits import (
    Commit,
    commit_table,
    committed_partitions,
    last_commit,
    lineage_of,
    load_commit,
    read_commit,
    read_manifest,
    reusable_items,
)
from stages.manifest.row_files import ALL, DAMAGE, CommittedFile, ManifestRef, read_items, read_rows
from stages.manifest.row_writer import RowWriter

__all__ = [
    "ALL",
    "DAMAGE",
    "Commit",
    "CommittedFile",
    "ManifestRef",
    "RowWriter",
    "commit_table",
    "committed_partitions",
    "last_commit",
    "lineage_of",
    "load_commit",
    "read_commit",
    "read_items",
    "read_manifest",
    "read_rows",
    "reusable_items",
]
