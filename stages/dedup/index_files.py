"""Which files of the index of vectors nothing needs any more."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from stages.dedup.arrow import pc
from stages.dedup.copy_columns import COPIES_FOLDER
from stages.dedup.segment_files import INDEX_FOLDER, KEYS, VECTORS, read_table
from stages.manifest import COLLECTED_FOLDER
from stages.storage import FileInfo, Storage


def unneeded_files(storage: Storage, used: pa.ChunkedArray) -> list[FileInfo]:
    """Files of the index of vectors that hold nothing used, or nothing that a larger segment does not hold.

    Where a run needs one of them after all, it reads row files.

    Args:
        storage: of the root.
        used: row keys of the embeddings that any kept version of ``unique_clips`` was made from.
    """
    folders: dict[str, list[FileInfo]] = {}
    for info in storage.list(INDEX_FOLDER):
        if not info.path.startswith((f"{COLLECTED_FOLDER}/", f"{COPIES_FOLDER}/")):
            folders.setdefault(info.path.rpartition("/")[0], []).append(info)
    return [info for infos in folders.values() for info in _unneeded_of_model(storage, infos, used)]


def _unneeded_of_model(storage: Storage, infos: list[FileInfo], used: pa.ChunkedArray) -> Iterator[FileInfo]:
    names = {info.path.rpartition("/")[2]: info for info in infos}
    needed = _needed_segments(storage, names, used)
    lists = {name for name in names if name.startswith("lists-") and name.removesuffix(KEYS).split("-")[2] in needed}
    centres = {name.split("-")[1] for name in lists}
    for name, info in names.items():
        stem = name.partition(".")[0]
        is_needed = stem in needed or name in lists or (name.startswith("centres-") and stem.split("-")[2] in centres)
        if not is_needed:  # layouts too: each serves one run
            yield info


def _needed_segments(storage: Storage, names: dict[str, FileInfo], used: pa.ChunkedArray) -> set[str]:
    """Segments that hold a used vector which no larger one holds."""
    stems = [name.removesuffix(VECTORS) for name in names if name.endswith(VECTORS)]
    tables = {
        stem: found[0]["row_key"]
        for stem in stems
        if f"{stem}{KEYS}" in names and (found := read_table(storage, names[f"{stem}{KEYS}"].path)) is not None
    }
    needed: set[str] = set()
    wanted = used.unique()
    for stem in sorted(tables, key=lambda stem: (-len(tables[stem]), stem)):
        found = pc.is_in(wanted, value_set=tables[stem].combine_chunks())
        if np.any(held := found.to_numpy(zero_copy_only=False)):
            needed.add(stem)
            wanted = wanted.filter(pa.array(~held))
    return needed
